package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
)

// group is a cgroup made for a bench, in each hierarchy that matters.
type group struct {
	rel  string
	tree *cgroup.Tree
	dirs []string // outermost first, per hierarchy
}

// group makes the cgroup at rel; its parents are made too, and removed with
// it when they are empty then.
func (r *rig) group(rel string) (*group, error) {
	g := &group{rel: rel, tree: r.tree}
	seen := map[string]bool{}
	for _, c := range []string{"cpu", "cpuacct", "blkio", "memory", cgroup.Unified} {
		if v, ok := r.tree.Version(c); !ok || (c == cgroup.Unified && v == cgroup.V2 && !r.v2()) {
			continue
		}
		if err := g.make(c, seen); err != nil {
			g.remove()
			return nil, err
		}
	}
	r.groups = append(r.groups, g)
	return g, nil
}

func (r *rig) v2() bool { v, _ := r.tree.Version("cpu"); return v == cgroup.V2 }

func (g *group) make(controller string, seen map[string]bool) error {
	at := ""
	for _, part := range strings.Split(strings.Trim(g.rel, "/"), "/") {
		parent := g.tree.Path(controller, "/"+at)
		at = filepath.Join(at, part)
		dir := g.tree.Path(controller, "/"+at)
		if seen[dir] {
			continue
		}
		seen[dir] = true
		if v, _ := g.tree.Version("cpu"); v == cgroup.V2 {
			// Without them in the parent's subtree_control the child has no such files.
			for _, c := range []string{"+cpu", "+memory"} {
				_ = os.WriteFile(filepath.Join(parent, "cgroup.subtree_control"), []byte(c), 0)
			}
		}
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("make cgroup: %w", err)
		}
		g.dirs = append(g.dirs, dir)
	}
	return nil
}

// enter puts a process into the group, in every hierarchy.
func (g *group) enter(pid int) error {
	for _, c := range []string{"cpu", "cpuacct", "blkio", "memory"} {
		if p := g.tree.Path(c, g.rel); p != "" {
			if err := cgroup.Move(pid, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove removes the group and its empty parents. Tasks that just died may
// still hold the group itself for a moment; a parent that is held is in use.
func (g *group) remove() {
	for i := len(g.dirs) - 1; i >= 0; i-- {
		tries := 1
		if strings.HasSuffix(g.dirs[i], g.rel) {
			tries = 100
		}
		for range tries {
			if err := unix.Rmdir(g.dirs[i]); !errors.Is(err, unix.EBUSY) {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
}

// leftovers are the cgroups that a bench that was killed may have left.
var leftovers = []string{"/anole-bench*", "/anole-ls/bench-*", "/anole-be/bench-*"}

// sweep removes those without processes; the parents too when they are empty
// then.
func sweep(t *cgroup.Tree) {
	for _, c := range []string{"cpu", "cpuacct", "blkio", cgroup.Unified} {
		root := t.Mount(c)
		if root == "" {
			continue
		}
		for _, pattern := range leftovers {
			found, _ := filepath.Glob(root + pattern)
			for _, dir := range found {
				sweepDir(dir)
			}
		}
		for _, home := range []string{"/anole-ls", "/anole-be"} {
			_ = unix.Rmdir(root + home) // refused while something is in it
		}
	}
}

// sweepDir removes a directory's empty subtree, children first.
func sweepDir(dir string) {
	kids, _ := os.ReadDir(dir)
	for _, k := range kids {
		if k.IsDir() {
			sweepDir(filepath.Join(dir, k.Name()))
		}
	}
	_ = unix.Rmdir(dir)
}

// meterDir is the directory with the group's CPU use.
func (g *group) meterDir() string { return g.tree.Path(g.tree.Usage(), g.rel) }

// usage is the CPU time that the group used.
func (g *group) usage() time.Duration {
	if g.tree.Usage() == "cpuacct" {
		b, err := os.ReadFile(filepath.Join(g.meterDir(), "cpuacct.usage"))
		n, perr := cgroup.Uint(b)
		if err != nil || perr != nil {
			return 0
		}
		return time.Duration(n)
	}
	return g.stat().Usage
}

// stat reads the group's bandwidth counters.
func (g *group) stat() cgroup.CPUStat {
	var s cgroup.CPUStat
	if b, err := os.ReadFile(filepath.Join(g.tree.Path("cpu", g.rel), "cpu.stat")); err == nil {
		_ = cgroup.ParseCPUStat(b, &s)
	}
	return s
}

// limit writes a CPU limit, as an operator or a rival would.
func (g *group) limit(to burst.Bandwidth) error {
	a, err := actuate.OpenGroup(g.tree, g.rel)
	if err != nil {
		return err
	}
	defer a.Close()
	from, err := a.Bandwidth()
	if err != nil {
		return err
	}
	for _, e := range a.Steps(from, to) {
		if err := os.WriteFile(a.Path(e.File), []byte(e.Value), 0); err != nil {
			return fmt.Errorf("limit %s: %w", g.rel, err)
		}
	}
	return nil
}
