package memory

import (
	"bytes"
	"fmt"
	"path/filepath"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
)

// OpOOMControl is the journal's operation for memory.oom_control of cgroup v1,
// whose file reads as three lines and takes one digit: Path is the cgroup's.
const OpOOMControl journal.Op = "memory.oom_control"

func init() {
	cgroup.Handle(OpOOMControl, undoOOMControl)
	journal.Together(limitsFirst)
}

// limitsFirst puts the limits of groups whose tasks wait at them back before
// anything else: whoever waits tries again when killing is on again, and is
// killed if the limit is still low (mem_cgroup_oom_control_write in
// mm/memcontrol-v1.c). Restore alone goes by age, which is right unless the limit
// was journalled first. What fails is tried again, and told, by who called.
func limitsFirst(_ *journal.Journal, entries []journal.Entry) {
	waits := map[string]uint64{}
	for i := range entries {
		if e := &entries[i]; e.Op == OpOOMControl {
			waits[filepath.Join(e.Path, FileLimitV1)] = e.Ino
		}
	}
	for i := range entries {
		e := &entries[i]
		if ino, ok := waits[e.Path]; ok && e.Op == journal.OpWrite && e.Ino == ino {
			_ = cgroup.Undo(e)
		}
	}
}

// OOMKillOff says whether tasks of a v1 group that run into its limit wait for
// memory instead of being killed.
func OOMKillOff(d *cgroup.Dir) (bool, error) {
	b, err := d.ReadFile(FileOOMV1)
	if err != nil {
		return false, err
	}
	switch {
	case bytes.HasPrefix(b, []byte("oom_kill_disable 0")):
		return false, nil
	case bytes.HasPrefix(b, []byte("oom_kill_disable 1")):
		return true, nil
	}
	return false, fmt.Errorf("parse %s: %q", filepath.Join(d.Path(), FileOOMV1), clip(b))
}

// SetOOMKillOff has tasks of the group wait, and journals that first.
func SetOOMKillOff(w *cgroup.Writer, d *cgroup.Dir) error {
	if err := w.Record(journal.Entry{Op: OpOOMControl, Path: d.Path(), Ino: d.Ino()}); err != nil {
		return err
	}
	return d.Tell(FileOOMV1, "1")
}

func undoOOMControl(e *journal.Entry) error {
	d, err := cgroup.OpenDir(e.Path)
	if err != nil {
		return err
	}
	defer d.Close()
	if d.Ino() != e.Ino {
		return journal.ErrGone
	}
	if off, err := OOMKillOff(d); err != nil || !off {
		return err
	}
	return d.Tell(FileOOMV1, "0")
}
