package qos

import (
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/class"
)

// The lane gives threads the lowest real-time priority: enough to preempt all
// fair work, and no more than what a real-time audio thread has. Children do not
// inherit it: one that goes to another cgroup would take it along, out of sight.
var (
	laneSched = sys.Sched{Policy: sys.SCHED_RR, Priority: 1, ResetOnFork: true}
	fairSched = sys.Sched{Policy: sys.SCHED_OTHER}
	idleSched = sys.Sched{Policy: sys.SCHED_IDLE}
)

// threadScan is how often new threads are looked for.
const threadScan = time.Second

// schedule puts threads of the workloads that want it into the real-time lane,
// takes those out that use too much, and gives best-effort ones SCHED_IDLE where
// the policy asks for it. A group leaves one before it enters the other: there
// is one journal entry for the policies of its threads.
func (e *Engine) schedule(now time.Time) {
	e.shareRT()
	wanted := e.watchLanes(now)
	e.verdicts = e.ctl.Lanes(now, e.verdicts)
	idle := e.policy.BE.SchedIdle == "on" || (e.policy.BE.SchedIdle == "auto" && e.mechanism == actuate.Weight)
	for i, g := range e.order {
		lane, why := e.verdicts[i].In, e.verdicts[i].Why
		idle := idle && g.Class == class.BE
		if !lane && g.InLane && e.leave(g, laneSched, "SCHED_RR 1", why) {
			g.InLane, g.threads = false, 0
		}
		if !idle && g.idle && e.leave(g, idleSched, "SCHED_IDLE", "no longer wanted") {
			g.idle = false
		}
		if (!lane && !idle) || now.Sub(g.scanned) < threadScan && !g.scanned.After(now) {
			continue
		}
		g.scanned = now
		if lane {
			e.enterLane(g, why)
		} else {
			e.makeIdle(g)
		}
	}
	switch {
	case !wanted:
		delete(e.degraded, "rt lane")
	case e.cpus <= 1:
		e.degrade("rt lane", errors.New("the node has one CPU: a real-time thread that spins would take all of it"))
	}
}

// watchLanes looks at the threads of the groups that want the lane, and says
// whether there are any.
func (e *Engine) watchLanes(now time.Time) (wanted bool) {
	for _, g := range e.order {
		if g.WantLane {
			wanted = true
			e.watchSpins(g, now)
		}
	}
	return wanted
}

// watchSpins looks at the CPU time of each thread of a group that wants the
// lane, as often as new threads are looked for.
func (e *Engine) watchSpins(g *group, now time.Time) {
	if now.Sub(g.looked) < threadScan && !g.looked.After(now) {
		return
	}
	g.looked = now
	tids, err := threadsOf(g)
	if err != nil {
		return // the cgroup went away; the next look at the tree settles it
	}
	used := make(map[int]time.Duration, len(tids))
	for _, tid := range tids {
		if d, err := procfs.ThreadTime(tid); err == nil {
			used[tid] = d
		}
	}
	may := kernelRTShare
	if _, ok := e.rtGiven[g.w.Path]; ok && g.InLane {
		may = e.laneShare[g.w.Path]
	}
	g.Spinner, g.SpinUse = g.spins.Look(now, used, may, e.policy.lane().Window)
}

// kernelRTShare is what the kernel's own bound leaves real-time threads of a
// CPU: sched_rt_runtime_us of 950,000 in 1,000,000.
const kernelRTShare = 0.95

// leave gives the threads back what they had, and says whether that was done. If
// not it is tried again with the next scan.
func (e *Engine) leave(g *group, from sys.Sched, name, why string) bool {
	if since := e.last.Sub(g.left); since >= 0 && since < threadScan {
		return false
	}
	n := len(threadsWith(g, from))
	ino := g.cpu.CPU.Ino()
	errs := e.w.Restore(func(en *journal.Entry) bool {
		return en.Ino == ino && (en.Op == journal.OpSched || filepath.Base(en.Path) == fileRTRuntime)
	})
	err := errors.Join(errs...)
	e.recordSched(g, n, name, "SCHED_OTHER", why, err)
	if err != nil {
		g.left = e.last
		e.degrade("scheduling of "+g.w.ID, err)
		return false
	}
	delete(e.degraded, "scheduling of "+g.w.ID)
	delete(e.rtGiven, g.w.Path)
	g.scanned, g.left = time.Time{}, time.Time{}
	return true
}

// enterLane gives all threads of the group the lane's policy. A v1 group has
// no real-time bandwidth of its own (RT_GROUP_SCHED) until it is written.
func (e *Engine) enterLane(g *group, why string) {
	if err := e.allowRT(g); err != nil {
		e.degrade("rt lane", err)
		return
	}
	if !g.InLane {
		s := cgroup.SchedUndo{Now: laneSched, Before: fairSched, Except: keysWith(g.cpu.CPU.AllThreads, laneSched)}
		if !e.journalled(e.w.Sched(g.cpu.CPU, s)) {
			return
		}
	}
	n, err := e.reschedule(g, fairSched, laneSched)
	if n > 0 || err != nil {
		e.recordSched(g, n, "SCHED_OTHER", "SCHED_RR 1", why, err)
	}
	g.InLane = true // some threads may be, even after an error
	g.threads = len(threadsWith(g, laneSched))
	if err != nil {
		e.degrade("rt lane", err)
		return
	}
	delete(e.degraded, "rt lane")
}

// reschedule changes the policy of the group's threads that have from.
func (e *Engine) reschedule(g *group, from, to sys.Sched) (n int, err error) {
	tids, err := threadsOf(g)
	if err != nil {
		return 0, err
	}
	for _, tid := range tids {
		now, err := sys.GetSched(tid)
		if err == nil && now == from {
			if err = sys.SetSched(tid, to); err == nil {
				n++
			}
		}
		if err != nil && !errors.Is(err, unix.ESRCH) {
			return n, fmt.Errorf("schedule thread %d: %w", tid, err)
		}
	}
	return n, nil
}

// threadsOf lists the group's threads, those in cgroups below it too, but for
// kernels with RT_GROUP_SCHED: there a cgroup takes real-time threads only with
// bandwidth of its own, which is given to the group alone.
func threadsOf(g *group) ([]int, error) {
	if g.WantLane && g.cpu.CPU.Has(fileRTRuntime) {
		return g.cpu.CPU.Threads()
	}
	return g.cpu.CPU.AllThreads()
}

func threadsWith(g *group, s sys.Sched) []string {
	return keysWith(func() ([]int, error) { return threadsOf(g) }, s)
}

// keysWith names the threads of a list that have the policy.
func keysWith(list func() ([]int, error), s sys.Sched) []string {
	tids, err := list()
	if err != nil {
		return nil
	}
	var out []string
	for _, tid := range tids {
		if now, err := sys.GetSched(tid); err == nil && now == s {
			out = append(out, cgroup.ThreadKey(tid))
		}
	}
	return out
}

func (e *Engine) recordSched(g *group, n int, from, to, why string, err error) {
	result := "ok"
	if err != nil {
		result = "error: " + err.Error()
	}
	e.totals.wrote("sched_setscheduler", result)
	e.history.add(Decision{
		Time: time.Now().UnixMilli(), Controller: "rt", Workload: g.w.ID, File: fmt.Sprintf("scheduling policy of %d threads", n), Old: from, New: to, Why: why, Result: result,
	})
}

// makeIdle gives a best-effort group's threads SCHED_IDLE: where groups cannot
// be idle, the scheduler at least sees that a CPU that runs only such threads is
// as good as idle for a waking one.
func (e *Engine) makeIdle(g *group) {
	if !g.idle {
		s := cgroup.SchedUndo{Now: idleSched, Before: fairSched, Except: keysWith(g.cpu.CPU.AllThreads, idleSched)}
		if !e.journalled(e.w.Sched(g.cpu.CPU, s)) {
			return
		}
	}
	n, err := e.reschedule(g, fairSched, idleSched)
	g.idle = true // some threads may be, even after an error
	if err != nil {
		e.degrade("sched idle", err)
	} else {
		delete(e.degraded, "sched idle")
	}
	if n > 0 || err != nil {
		e.recordSched(g, n, "SCHED_OTHER", "SCHED_IDLE", "best-effort threads", err)
	}
}
