package resctrl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
)

// OpGroup is the journal's operation for a group that was made: its undo
// removes it, by which the kernel gives its tasks back to the group above.
const OpGroup journal.Op = "resctrl-group"

func init() { cgroup.Handle(OpGroup, func(e *journal.Entry) error { return remove(e.Path) }) }

// FS is the mounted file system. It is not safe for concurrent use.
type FS struct {
	Info  Info
	Mount Mount
}

// Open finds the file system of the node whose /proc is below root and reads
// what it can do. It changes nothing.
func Open(root string) (*FS, error) {
	m, err := Find(root)
	if err != nil {
		return nil, err
	}
	if err := writable(m.Dir); err != nil {
		return nil, err
	}
	return At(m, UnitOf(root, m))
}

// At is Open for a mount that was found already.
func At(m Mount, unit Unit) (*FS, error) {
	info, err := ReadInfo(m.Dir, unit)
	if err != nil {
		return nil, err
	}
	return &FS{Info: info, Mount: m}, nil
}

// Group is one group of the file system's.
type Group struct {
	// Fresh is what the kernel gave the group when it was made; nil for one that
	// only counts.
	Fresh Schemata
	dir   string
	fs    *FS
}

// Control makes a group whose share can be set. What is left under its name by
// a run whose journal is lost is removed first, so that the group starts with
// what the kernel gives a new one.
func (f *FS) Control(w *cgroup.Writer, name string) (*Group, error) {
	g, err := f.make(w, filepath.Join(f.Mount.Dir, name))
	if err != nil {
		return nil, err
	}
	if g.Fresh, err = g.Schemata(); err != nil {
		return nil, errors.Join(err, g.Remove(w))
	}
	return g, nil
}

// Monitor makes a group within the default one, of which only the use is
// counted: its tasks keep what the default group has.
func (f *FS) Monitor(w *cgroup.Writer, name string) (*Group, error) {
	return f.make(w, filepath.Join(f.Mount.Dir, "mon_groups", name))
}

func (f *FS) make(w *cgroup.Writer, dir string) (*Group, error) {
	if err := w.Record(journal.Entry{Op: OpGroup, Path: dir}); err != nil {
		return nil, err
	}
	err := unix.Mkdir(dir, 0o755)
	if errors.Is(err, unix.EEXIST) {
		if err := remove(dir); err != nil {
			return nil, err
		}
		err = unix.Mkdir(dir, 0o755)
	}
	if err == nil {
		return &Group{dir: dir, fs: f}, nil
	}
	err = &fs.PathError{Op: "make resctrl group", Path: dir, Err: f.explain(err)}
	if errors.Is(err, unix.ENOSPC) {
		err = &feature.UnsupportedError{
			Feature: featureName, Reason: feature.Conflict, Need: "a free group", Fix: "remove one of those in " + f.Mount.Dir + " that nobody needs", Err: err,
		}
	}
	return nil, errors.Join(err, forget(w, dir))
}

func forget(w *cgroup.Writer, dir string) error {
	return w.ForgetWhere(func(e *journal.Entry) bool { return e.Op == OpGroup && e.Path == dir })
}

// explain adds what the kernel says of its last refusal.
func (f *FS) explain(err error) error {
	b, rerr := os.ReadFile(filepath.Join(f.Mount.Dir, "info", "last_cmd_status"))
	say := strings.TrimSpace(string(b))
	if rerr != nil || say == "" || say == "ok" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, say)
}

// remove takes a group away; one that is gone is no error. The kernel moves its
// tasks to the group above, and removes those below with it.
func remove(dir string) error {
	err := unix.Rmdir(dir)
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &fs.PathError{Op: "remove resctrl group", Path: dir, Err: err}
}

// Remove takes the group away and ends its entry in the journal.
func (g *Group) Remove(w *cgroup.Writer) error {
	return errors.Join(w.Restore(func(e *journal.Entry) bool { return e.Op == OpGroup && e.Path == g.dir })...)
}

// Dir gives the group's directory.
func (g *Group) Dir() string { return g.dir }

// Alive says whether the group still is there: others may remove it, or unmount
// the file system.
func (g *Group) Alive() bool { return unix.Access(filepath.Join(g.dir, "tasks"), unix.F_OK) == nil }

// Schemata reads what the group may use.
func (g *Group) Schemata() (Schemata, error) {
	b, err := os.ReadFile(filepath.Join(g.dir, "schemata"))
	if err != nil {
		return nil, err
	}
	return ParseSchemata(b)
}

// Set gives the group what s says, writing the lines that differ, and tells
// them as they were and as they are.
func (g *Group) Set(s Schemata) (old, written Schemata, err error) {
	now, err := g.Schemata()
	if err != nil {
		return nil, nil, err
	}
	diff := s.Diff(now)
	if len(diff) == 0 {
		return nil, nil, nil
	}
	for _, l := range diff {
		if was := now.Line(l.Resource); was != nil {
			old = append(old, *was)
		}
	}
	return old, diff, g.fs.write(filepath.Join(g.dir, "schemata"), diff.String())
}

// Tasks lists the threads in the group.
func (g *Group) Tasks() ([]int, error) { return tasks(g.dir) }

func tasks(dir string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "tasks"))
	if err != nil {
		return nil, err
	}
	return cgroup.Procs(b)
}

// Add puts a thread into the group. Those that it starts later are in it too.
// One that has ended is no error.
func (g *Group) Add(tid int) error { return g.fs.move(g.dir, tid) }

// Release puts a thread back into the default group.
func (f *FS) Release(tid int) error { return f.move(f.Mount.Dir, tid) }

func (f *FS) move(dir string, tid int) error {
	err := f.write(filepath.Join(dir, "tasks"), strconv.Itoa(tid)+"\n")
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// write stores a value with one call.
func (f *FS) write(path, value string) error {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.WriteString(value); err != nil {
		var p *fs.PathError
		if errors.As(err, &p) {
			err = p.Err
		}
		return &fs.PathError{Op: "write " + strconv.Quote(strings.TrimSpace(value)) + " to", Path: path, Err: f.explain(err)}
	}
	return nil
}

// Taken reads which parts of the caches others have for themselves.
func (f *FS) Taken() map[string]map[int]Mask {
	out := map[string]map[int]Mask{}
	for _, c := range f.Info.shared() {
		b, err := os.ReadFile(filepath.Join(f.Mount.Dir, "info", c.Name, "bit_usage"))
		if err != nil {
			continue // before Linux 4.19: nobody can have any for himself
		}
		if m, err := ParseUsage(string(b)); err == nil {
			out[c.Name] = m
		}
	}
	return out
}

// Foreign gives the threads that are in groups of others, of whatever kind: they
// are not to be moved. own are the names of groups that are not foreign.
func (f *FS) Foreign(own ...string) (map[int]bool, error) {
	mine := map[string]bool{"info": true, "mon_groups": true, "mon_data": true}
	for _, n := range own {
		mine[n] = true
	}
	out := map[int]bool{}
	for _, dir := range []string{f.Mount.Dir, filepath.Join(f.Mount.Dir, "mon_groups")} {
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue // no monitoring here
		}
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if !e.IsDir() || mine[e.Name()] {
				continue
			}
			tids, err := tasks(filepath.Join(dir, e.Name()))
			if err != nil && !cgroup.Gone(err) {
				return nil, err
			}
			for _, tid := range tids {
				out[tid] = true
			}
		}
	}
	return out, nil
}

// Default gives the group that has every thread which is in no other.
func (f *FS) Default() *Group { return &Group{dir: f.Mount.Dir, fs: f} }
