package qos

import (
	"context"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/memory"
	"github.com/anole-os/anole/test/fault/groups"
)

// stuck brings a best-effort group to where a task waits at the agent's bound
// with memory that no reclaim can take, while nobody steps.
func stuck(t *testing.T) (r *rig, b box, was map[string]string, pid int) {
	t.Helper()
	n := groups.Open(t)
	n.V1()
	b = makeBox(t, n, 256*mib)
	for i := range 40 { // what is put back between this group's files takes its time
		n.Make("box/be" + strconv.Itoa(i) + ".service").Sleep()
	}
	was = groups.Snapshot(b.ls, b.be)
	b.ls.Touch(b.file, 0, 150*mib, 100*time.Millisecond)
	r = openRig(t, n, memoryOnly(n), nil)
	return r, b, was, r.stuck(b)
}

// bounded says whether the group's limit is the agent's.
func bounded(g *groups.Group) bool { return g.Number(memory.FileLimitV1) < 1<<40 }

// stuck gives the group a process that is larger than its bound. Who fills it
// before has ended by then: a system call does not wait, it fails.
func (r *rig) stuck(b box) (pid int) {
	r.t.Helper()
	filler := b.be.Stream(b.file, 1<<30, 1<<30, 64*mib)
	r.until("bounded", func() bool { return bounded(b.be) })
	_ = filler.Process.Kill()
	b.Write(memory.FileLimitV1, strconv.Itoa(512*mib)) // what comes back must have somewhere to go
	pid = b.be.Hold(int64(b.be.Number(memory.FileLimitV1) + 20*mib)).Process.Pid
	eventually(r.t, "it waits at the bound", func() bool { return count(r.t, b.be, memory.FileOOMV1, "under_oom") == 1 })
	return pid
}

// unharmed fails the test if the process was killed, or does not get its memory.
func (r *rig) unharmed(b box, pid, bound int) {
	r.t.Helper()
	alive := func() bool { return slices.Contains(b.be.Procs(), pid) }
	eventually(r.t, "it goes on", func() bool { return count(r.t, b.be, memory.FileStat, "rss") > bound || !alive() })
	if k := killed(r.t, r.n, b.be); k != 0 || !alive() {
		r.t.Errorf("oom_kill %d; alive: %v", k, alive())
	}
}

func TestKernelMemoryStopKillsNobodyAtTheBound(t *testing.T) {
	r, b, was, pid := stuck(t)
	bound := b.be.Number(memory.FileLimitV1)
	r.close()
	r.unharmed(b, pid, bound)
	same(t, was, b.ls, b.be)
}

// What the next start does after a kill -9, and anole revert: they know the
// journal and nothing else.
func TestKernelMemoryRevertKillsNobodyAtTheBound(t *testing.T) {
	r, b, was, pid := stuck(t)
	bound := b.be.Number(memory.FileLimitV1)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(r.dir)); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	if rep := j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 {
		t.Error(rep.Failed)
	}
	r.unharmed(b, pid, bound)
	same(t, was, b.ls, b.be)
}

func TestKernelMemoryBoundThatComesOffKillsNobody(t *testing.T) {
	r, b, was, pid := stuck(t)
	for range 5 {
		bound := b.be.Number(memory.FileLimitV1)
		r.set(func(p *Policy) { p.Memory.Bound = "off" })
		r.until("the bound is off", func() bool { return !bounded(b.be) })
		r.unharmed(b, pid, bound)
		r.until("and killing on", func() bool { return count(t, b.be, memory.FileOOMV1, "oom_kill_disable") == 0 })
		b.be.Remove()
		r.until("forgotten", func() bool { return r.class(b.be) == "" })
		b.be = r.n.Make("box/be.service")
		b.Write(memory.FileLimitV1, strconv.Itoa(256*mib))
		r.set(func(p *Policy) { p.Memory.Bound = "auto" })
		pid = r.stuck(b)
	}
	r.close()
	same(t, was, b.ls, b.be)
}
