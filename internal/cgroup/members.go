package cgroup

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Threads lists the threads in the cgroup itself: "tasks" on v1,
// "cgroup.threads" on v2.
func (d *Dir) Threads() ([]int, error) {
	b, err := d.ReadFile("cgroup.threads")
	if err != nil && os.IsNotExist(err) {
		b, err = d.ReadFile("tasks")
	}
	if err != nil {
		return nil, err
	}
	return Procs(b)
}

// Procs lists the processes in the cgroup itself.
func (d *Dir) Procs() ([]int, error) {
	b, err := d.ReadFile("cgroup.procs")
	if err != nil {
		return nil, err
	}
	return Procs(b)
}

// AllThreads lists the threads in the cgroup and in all below it. What goes
// away meanwhile is left out.
func (d *Dir) AllThreads() ([]int, error) { return d.all((*Dir).Threads) }

// AllProcs lists the processes in the cgroup and in all below it. What goes
// away meanwhile is left out.
func (d *Dir) AllProcs() ([]int, error) { return d.all((*Dir).Procs) }

func (d *Dir) all(list func(*Dir) ([]int, error)) ([]int, error) {
	ids, err := list(d)
	if err != nil || !d.hasChildren() {
		return ids, err
	}
	children, err := os.ReadDir(d.path)
	if err != nil && !Gone(err) {
		return ids, err
	}
	for _, c := range children {
		if !c.IsDir() {
			continue
		}
		below, err := below(filepath.Join(d.path, c.Name()), list)
		if err != nil && !Gone(err) {
			return ids, err
		}
		ids = append(ids, below...)
	}
	return ids, nil
}

func below(path string, list func(*Dir) ([]int, error)) ([]int, error) {
	c, err := OpenDir(path)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.all(list)
}

// hasChildren spares the listing of a directory with some fifty files where it
// can: cgroupfs counts a directory's links as 2 and one for each directory in
// it. Other file systems may not, so only that very answer counts.
func (d *Dir) hasChildren() bool {
	var st unix.Stat_t
	return unix.Fstat(d.fd, &st) != nil || st.Nlink != 2
}

// Below lists the cgroups below the one at path, relative to it, parents first
// and no more than most. What goes away meanwhile is left out.
func Below(path string, most int) (out []string) {
	var walk func(rel string)
	walk = func(rel string) {
		d, err := OpenDir(filepath.Join(path, rel))
		if err != nil {
			return
		}
		more := d.hasChildren()
		_ = d.Close()
		if !more {
			return
		}
		kids, err := os.ReadDir(filepath.Join(path, rel))
		if err != nil {
			return
		}
		for _, k := range kids {
			if k.IsDir() && len(out) < most {
				out = append(out, filepath.Join(rel, k.Name()))
				walk(filepath.Join(rel, k.Name()))
			}
		}
	}
	walk("")
	return out
}
