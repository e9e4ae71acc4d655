package cgroup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/internal/sys"
)

var contextBackground = context.Background()

// Undo puts back what one journal entry recorded; it is the journal.Undo of
// all rooms.
func Undo(e *journal.Entry) error {
	switch e.Op {
	case journal.OpWrite:
		return undoWrite(e)
	case journal.OpMkdir:
		return Remove(e.Path, home(e))
	case journal.OpSched:
		return undoSched(e)
	}
	if undo := undoers[e.Op]; undo != nil {
		return undo(e)
	}
	return fmt.Errorf("undo %q: unknown operation; a newer anole wrote this journal", e.Op)
}

// undoers are those of other packages of the ground floor.
var undoers = map[journal.Op]journal.Undo{}

// Handle makes Undo know how to put back an operation that is no matter of
// cgroups. It is called from init, once for each.
func Handle(op journal.Op, undo journal.Undo) { undoers[op] = undo }

func home(e *journal.Entry) string {
	if len(e.Old) > 0 {
		return string(e.Old)
	}
	return filepath.Dir(e.Path)
}

// openSame opens the directory that the entry speaks of, or says ErrGone.
func openSame(path string, ino uint64) (*Dir, error) {
	d, err := OpenDir(path)
	if Gone(err) {
		return nil, journal.ErrGone
	}
	if err != nil {
		return nil, err
	}
	if d.ino != ino {
		_ = d.Close()
		return nil, journal.ErrGone
	}
	return d, nil
}

func undoWrite(e *journal.Entry) error {
	d, err := openSame(filepath.Dir(e.Path), e.Ino)
	if err != nil {
		return err
	}
	defer d.Close()
	name := filepath.Base(e.Path)
	now, err := d.ReadFile(name)
	if err != nil || bytes.Equal(now, e.Old) {
		return err
	}
	old := string(bytes.TrimSpace(e.Old))
	if old == "" {
		old = "\n" // the kernel does not look at a write of nothing
	}
	switch err := d.write(name, old); {
	case errors.Is(err, unix.ENOSPC) && old == "\n" && strings.HasPrefix(name, "cpuset."):
		return undoCPUSet(d, name)
	case err != nil:
		return err
	}
	if now, err = d.ReadFile(name); err == nil && !bytes.Equal(now, e.Old) {
		err = fmt.Errorf("it reads %q after %q was written", now, e.Old)
	}
	return err
}

// undoCPUSet gives a cpuset without a set of its own what that means: all that
// its parent has. Kernels that let no set with tasks in it become empty
// (validate_change in kernel/cgroup/cpuset.c) allow nothing closer to it.
func undoCPUSet(d *Dir, name string) error {
	all, err := os.ReadFile(filepath.Join(filepath.Dir(d.path), name+".effective"))
	if err != nil {
		return err
	}
	return d.write(name, string(bytes.TrimSpace(all)))
}

// SchedUndo says how to take back a scheduling policy that was given to the
// threads of one cgroup and of those below it, including the ones that
// inherited it since.
type SchedUndo struct {
	Now    sys.Sched `json:"now"`    // what anole gives
	Before sys.Sched `json:"before"` // what a restore gives
	// Except lists threads ("tid/starttime") that had Now on their own.
	Except []string `json:"except,omitempty"`
}

func (s SchedUndo) encode() ([]byte, error) { return json.Marshal(s) }

// cloneTime is longer than a clone(2) that is under way takes.
const cloneTime = 5 * time.Millisecond

func undoSched(e *journal.Entry) error {
	var s SchedUndo
	if err := json.Unmarshal(e.Old, &s); err != nil {
		return fmt.Errorf("decode scheduling entry: %w", err)
	}
	d, err := openSame(e.Path, e.Ino)
	if err != nil {
		return err
	}
	defer d.Close()
	// A thread that was not reached yet can start another one, which is not in
	// the list: look again until there is none. A clone(2) copies the policy
	// before it puts the new thread on the list, so the last look is a little
	// later.
	settled := true
	for range 50 {
		changed, err := s.apply(d)
		switch {
		case err != nil || settled && !changed:
			return err
		case changed:
			settled = false
		default:
			time.Sleep(cloneTime)
			settled = true
		}
	}
	return fmt.Errorf("threads with the policy keep starting in %s", e.Path)
}

// apply goes once over the threads of d and below.
func (s SchedUndo) apply(d *Dir) (changed bool, err error) {
	tids, err := d.AllThreads()
	if err != nil {
		return false, err
	}
	for _, tid := range tids {
		if slices.Contains(s.Except, ThreadKey(tid)) {
			continue
		}
		did, err := changeSched(tid, s.Now, s.Before)
		if err != nil {
			return changed, err
		}
		changed = changed || did
	}
	return changed, nil
}

// changeSched gives thread tid the policy to if it has from; a thread that
// ended meanwhile is no error.
func changeSched(tid int, from, to sys.Sched) (changed bool, err error) {
	now, err := sys.GetSched(tid)
	if err == nil && now == from && from != to {
		err, changed = sys.SetSched(tid, to), true
	}
	if err == unix.ESRCH {
		return false, nil
	}
	return changed, err
}

// ThreadKey names a thread so that a reused id is told apart.
func ThreadKey(tid int) string {
	start, err := procfs.StartTime(tid)
	if err != nil {
		return ""
	}
	return strconv.Itoa(tid) + "/" + strconv.FormatUint(start, 10)
}
