package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/sys"
)

// Writer writes control files with the journal's promise: the old value is on
// disk before the kernel sees the new one. It is safe for concurrent use.
type Writer struct {
	j     *journal.Journal
	owner string
	// Fault, when set, is asked before each write and its error is taken for
	// the kernel's. Tests of the callers' error paths set it.
	Fault func(path, value string) error
}

// NewWriter makes a Writer that journals in j under the name of a room.
func NewWriter(j *journal.Journal, owner string) *Writer {
	return &Writer{j: j, owner: owner}
}

// Edit is one value for one control file.
type Edit struct {
	Dir   *Dir
	File  string
	Value string
}

// Journal records the current values of what edits will overwrite, with one
// fsync for all. Set does so too; calling Journal first saves fsyncs.
func (w *Writer) Journal(edits ...Edit) error {
	entries := make([]journal.Entry, 0, len(edits))
	for _, e := range edits {
		old, err := e.Dir.ReadFile(e.File)
		if err != nil {
			return fmt.Errorf("read old value: %w", err)
		}
		entries = append(entries, w.entry(e, old))
	}
	return w.j.Record(entries...)
}

func (w *Writer) entry(e Edit, old []byte) journal.Entry {
	return journal.Entry{
		Op: journal.OpWrite, Path: filepath.Join(e.Dir.path, e.File), Ino: e.Dir.ino, Old: old, Owner: w.owner,
	}
}

// Set writes one value unless the file already holds it, and says whether it
// wrote. Not writing an equal value matters: a write of the same quota refills
// the kernel's bandwidth pool and so breaks the limit that it states.
func (w *Writer) Set(e Edit) (wrote bool, err error) {
	old, err := e.Dir.ReadFile(e.File)
	if err != nil {
		return false, fmt.Errorf("read old value: %w", err)
	}
	if string(bytes.TrimSpace(old)) == e.Value {
		return false, nil
	}
	if err := w.j.Record(w.entry(e, old)); err != nil {
		return false, err
	}
	return true, w.write(e)
}

// Refill writes a value even when the file already holds it, for the one
// caller that wants the kernel's side effect: a quota written again refills the
// group's bandwidth pool.
func (w *Writer) Refill(e Edit) error {
	if err := w.Journal(e); err != nil {
		return err
	}
	return w.write(e)
}

func (w *Writer) write(e Edit) error {
	if w.Fault != nil {
		path := filepath.Join(e.Dir.path, e.File)
		if err := w.Fault(path, e.Value); err != nil {
			return &fs.PathError{Op: "write " + strconv.Quote(e.Value) + " to", Path: path, Err: err}
		}
	}
	return e.Dir.write(e.File, e.Value)
}

// Mkdir makes a cgroup, journalled so that a restore removes it; tasks still
// in it then go to the cgroup directory home. An existing one is left alone
// and not journalled.
func (w *Writer) Mkdir(path, home string) error {
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	return w.Own(path, home)
}

// Own is Mkdir for a name that only anole uses: one that exists was left by a
// run whose journal is lost, and is taken over.
func (w *Writer) Own(path, home string) error {
	err := w.j.Record(journal.Entry{Op: journal.OpMkdir, Path: path, Old: []byte(home), Owner: w.owner})
	if err != nil {
		return err
	}
	if err := os.Mkdir(path, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("make cgroup: %w", err)
	}
	return nil
}

// Sched records that threads of the cgroup d are about to get policy "from
// now on" and had "before" until now; threads that had now already are left
// alone by a restore.
func (w *Writer) Sched(d *Dir, s SchedUndo) error {
	old, err := s.encode()
	if err != nil {
		return err
	}
	return w.j.Record(journal.Entry{Op: journal.OpSched, Path: d.path, Ino: d.ino, Old: old, Owner: w.owner})
}

// Record journals what is about to be done beside control files; Undo must know
// the operations, see Handle.
func (w *Writer) Record(entries ...journal.Entry) error {
	for i := range entries {
		entries[i].Owner = w.owner
	}
	return w.j.Record(entries...)
}

// Restore undoes the journal entries that which selects, whoever wrote them.
func (w *Writer) Restore(which func(*journal.Entry) bool) []error {
	return w.j.RestoreWhere(contextBackground, Undo, which).Failed
}

// Undo removes the cgroup that Mkdir made at path, its tasks moved home.
func (w *Writer) Undo(path string) []error {
	return w.Restore(func(e *journal.Entry) bool { return e.Op == journal.OpMkdir && e.Path == path })
}

// RestoreDir undoes what was journalled for a cgroup.
func (w *Writer) RestoreDir(d *Dir) []error { return w.Restore(d.Owns) }

// Forget drops what was journalled for a cgroup that is gone.
func (w *Writer) Forget(d *Dir) error { return w.j.Forget(d.Owns) }

// Owns says whether an entry is of the cgroup. The inode alone does not tell:
// each hierarchy of v1 counts its own.
func (d *Dir) Owns(e *journal.Entry) bool {
	return e.Ino == d.ino && (e.Path == d.path || filepath.Dir(e.Path) == d.path)
}

// ForgetWhere drops the entries that which selects without undoing them:
// somebody else's later write is the node's own value now.
func (w *Writer) ForgetWhere(which func(*journal.Entry) bool) error { return w.j.Forget(which) }

// Remove removes the cgroup at path with all below it, its tasks moved to the
// cgroup home first. A cgroup that is gone already is no error.
func Remove(path, home string) error {
	kids, err := os.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list cgroup: %w", err)
	}
	for _, k := range kids {
		if !k.IsDir() {
			continue
		}
		if err := Remove(filepath.Join(path, k.Name()), home); err != nil {
			return err
		}
	}
	return rmdir(path, home)
}

// rmdir empties and removes one cgroup. A task that forks while its parent is
// moved can leave a child behind, so it looks again a few times.
func rmdir(path, home string) error {
	var err error
	for range 50 {
		if err = unix.Rmdir(path); err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		if !errors.Is(err, unix.EBUSY) {
			break
		}
		if err := moveAll(path, home); err != nil {
			return err
		}
		sys.Pause(2e6)
	}
	return &fs.PathError{Op: "remove cgroup", Path: path, Err: err}
}

func moveAll(from, to string) error {
	b, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
	if Gone(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list tasks: %w", err)
	}
	pids, err := Procs(b)
	if err != nil {
		return err
	}
	for _, pid := range pids {
		if err := Move(pid, to); err != nil {
			return err
		}
	}
	return nil
}

// Move puts process pid into the cgroup at path; one that has exited is no
// error.
func Move(pid int, path string) error {
	err := os.WriteFile(filepath.Join(path, "cgroup.procs"), strconv.AppendInt(nil, int64(pid), 10), 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("move process %d: %w", pid, err)
	}
	return nil
}
