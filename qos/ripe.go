package qos

import (
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/workload"
)

// A container's cgroup is its runtime's until the container's program runs:
// runc and crun write their limits and weight after they made it, some twice.
// What the Engine set before would make the kernel refuse them (a weight while
// cpu.idle is 1, a quota below the burst), and the container would not start.
// So a new container is left alone until somebody who knows says that it is
// made, or the process in it is no longer the runtime's.

const (
	// emptyFor is how long a container without processes may be one that is
	// being made; runtimes put the first one in at once.
	emptyFor = 2 * time.Second
	// madeWithin bounds the making of one, slow hooks of devices included. One
	// that was only created and waits to be started looks the same.
	madeWithin = 30 * time.Second
)

// ripe says whether a workload without a group may be touched.
func (e *Engine) ripe(w *workload.Workload) bool {
	if until, ok := e.lent[w.Ino]; ok {
		if e.last.Before(until) {
			return false
		}
		delete(e.lent, w.Ino)
	}
	if w.Kind != workload.KindContainer || w.Told != nil && w.Told.Running {
		delete(e.young, w.Ino)
		return true
	}
	since, ok := e.young[w.Ino]
	if !ok || since.IsZero() || since.After(e.last) {
		since = e.last
		e.young[w.Ino] = since
	}
	age := e.last.Sub(since)
	runs, empty := e.runsItsProgram(w)
	if runs || empty && age >= emptyFor || age >= madeWithin {
		delete(e.young, w.Ino)
		return true
	}
	return false
}

// forgetYoung drops what is no workload any more.
func (e *Engine) forgetYoung(seen map[uint64]bool) {
	for ino := range e.young {
		if !seen[ino] {
			delete(e.young, ino)
		}
	}
	for ino := range e.lent {
		if !seen[ino] {
			delete(e.lent, ino)
		}
	}
}

// lentFor bounds the time for which a container is left to a runtime that does
// not say that it is done.
const lentFor = 10 * time.Second

// Lend gives a container back to its runtime, which is about to change its
// limits: all is put back as the runtime set it, and left alone until Regain or
// for a few seconds. With what the Engine sets the kernel would refuse some of
// the runtime's values.
func (e *Engine) Lend(containerID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for ino, g := range e.groups {
		if e.closed || g.w.ContainerID != containerID {
			continue
		}
		e.drop(ino, g)
		e.lent[ino] = e.last.Add(lentFor)
		e.unripe = true
		e.arrange()
		return
	}
}

// Regain takes a lent container back: what its runtime set is its own from now
// on.
func (e *Engine) Regain(containerID string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, w := range e.table.All() {
		if w.ContainerID == containerID && !e.closed {
			delete(e.lent, w.Ino)
			e.unripe = true // the next Step looks
		}
	}
}

// runsItsProgram looks at a process of a container.
func (e *Engine) runsItsProgram(w *workload.Workload) (runs, empty bool) {
	b, err := os.ReadFile(filepath.Join(e.tree.Path("cpu", w.Path), "cgroup.procs"))
	if err != nil {
		return false, true
	}
	pids, err := cgroup.Procs(b)
	if err != nil || len(pids) == 0 {
		return false, true
	}
	exe, err := os.Readlink(filepath.Join(e.root, "/proc", strconv.Itoa(pids[0]), "exe"))
	return err == nil && !isRuntime(exe), false
}

// isRuntime says whether the program is that of a container runtime before it
// becomes the container's own: runc and crun run from a copy of themselves in
// memory.
func isRuntime(exe string) bool {
	if strings.HasPrefix(exe, "/memfd:") || exe == "/" {
		return true
	}
	switch strings.TrimSuffix(path.Base(exe), " (deleted)") {
	case "runc", "crun", "youki", "runsc", "kata-runtime", "runc-dmz":
		return true
	}
	return false
}
