package workload

import (
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
)

const (
	// exeTTL is how long an answer of Exe is believed. Programs of a workload
	// rarely change; the first seconds, before the real one is executed, are
	// covered by exeYoung.
	exeTTL   = 30 * time.Second
	exeYoung = time.Second
	// exeMax bounds the processes of one workload that are looked at.
	exeMax = 64
)

// exeCache keeps programs by the workload's inode.
type exeCache struct {
	mu    sync.Mutex
	known map[uint64]exeEntry
	swept time.Time
}

type exeEntry struct {
	first, asked time.Time
	exes         []string
}

// Exe gives the paths of the programs that the processes of w run, sorted,
// without doubles; the slice is shared. At most 64 processes are looked
// at; answers are kept for 30 s (1 s for a workload first asked about less than
// 30 s ago). A process that hides its program (a kernel thread, one of another
// user to an agent that is not root) is passed over. It reads /proc: some 10 µs
// a process.
func (t *Table) Exe(w *Workload, now time.Time) []string {
	c := &t.exes
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.known[w.Ino]
	ttl := exeTTL
	if !ok {
		e.first = now
	} else if e.asked.Sub(e.first) < exeTTL {
		ttl = exeYoung
	}
	if age := now.Sub(e.asked); ok && age >= 0 && age < ttl {
		return e.exes
	}
	e.asked, e.exes = now, t.readExes(w)
	c.sweep(now)
	c.known[w.Ino] = e
	return e.exes
}

// sweep forgets workloads nobody asked about for a while.
func (c *exeCache) sweep(now time.Time) {
	if c.known == nil {
		c.known = map[uint64]exeEntry{}
	}
	if d := now.Sub(c.swept); d >= 0 && d < 2*exeTTL {
		return
	}
	c.swept = now
	maps.DeleteFunc(c.known, func(_ uint64, e exeEntry) bool { return now.Sub(e.asked) > 2*exeTTL })
}

func (t *Table) readExes(w *Workload) []string {
	found := map[string]struct{}{}
	left := exeMax
	top := t.Dir(w)
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil
		}
		if path != top && !w.whole() {
			return fs.SkipDir
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		pids, _ := cgroup.Procs(b)
		for _, pid := range pids[:min(left, len(pids))] {
			if exe, err := procfs.Exe(t.opts.Root, pid); err == nil && exe != "" {
				found[exe] = struct{}{}
			}
			left--
		}
		if left == 0 {
			return fs.SkipAll
		}
		return nil
	})
	return slices.Sorted(maps.Keys(found))
}
