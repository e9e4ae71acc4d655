package qos

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/control"
)

// The lane gives threads the lowest real-time priority: enough to preempt all
// fair work, and no more than what a real-time audio thread has.
var (
	laneSched = sys.Sched{Policy: sys.SCHED_RR, Priority: 1}
	fairSched = sys.Sched{Policy: sys.SCHED_OTHER}
	idleSched = sys.Sched{Policy: sys.SCHED_IDLE}
)

// threadScan is how often new threads are looked for. Threads inherit their
// creator's policy, so a scan finds only those that came from outside.
const threadScan = time.Second

// lanes puts threads of the workloads that want it into the real-time lane,
// and takes those out that use too much.
func (e *Engine) lanes(now time.Time) {
	n := 0
	for _, g := range e.groups {
		if g.wantLane {
			n++
		}
	}
	for _, g := range e.groups {
		want := g.wantLane && e.cpus > 1
		why := "the policy asks for it"
		if want {
			if g.lane == nil {
				g.lane = control.NewLane(e.policy.lane())
			}
			allowed, changed := g.lane.Step(now, g.used, e.cpus)
			if want = allowed; changed != "" {
				why = changed
			}
			if !allowed && changed != "" {
				e.totals.Demotions++
			}
		}
		e.lane(g, want, now, n, why)
	}
	if n > 0 && e.cpus <= 1 {
		e.degrade("rt lane", errors.New("the node has one CPU: a real-time thread that spins would take all of it"))
	}
}

func (e *Engine) lane(g *group, want bool, now time.Time, sharers int, why string) {
	switch {
	case want && (!g.inLane || now.Sub(g.laneScan) >= threadScan || g.laneScan.After(now)):
		g.laneScan = now
		e.enterLane(g, now, sharers, why)
	case !want && g.inLane:
		g.inLane, g.threads = false, 0
		n, err := e.reschedule(g, laneSched, fairSched)
		e.recordSched(g, now, n, "SCHED_RR 1", "SCHED_OTHER", why, err)
	}
}

// laneBandwidth is the share of each CPU that real-time groups may use in all,
// below the kernel's own 95 %.
const laneBandwidth = 0.9

// enterLane gives all threads of the group the lane's policy. A v1 group has
// no real-time bandwidth of its own (RT_GROUP_SCHED) until it is written.
func (e *Engine) enterLane(g *group, now time.Time, sharers int, why string) {
	if err := e.allowRT(g, sharers); err != nil {
		e.degrade("rt lane", err)
		return
	}
	if !g.inLane {
		s := cgroup.SchedUndo{Now: laneSched, Before: fairSched, Except: threadsWith(g.cpu.CPU, laneSched)}
		if err := e.w.Sched(g.cpu.CPU, s); err != nil {
			e.degrade("journal", err)
			return
		}
	}
	n, err := e.reschedule(g, fairSched, laneSched)
	if n > 0 || err != nil {
		e.recordSched(g, now, n, "SCHED_OTHER", "SCHED_RR 1", why, err)
	}
	if err != nil {
		e.degrade("rt lane", err)
		return
	}
	g.inLane = true
	g.threads = len(threadsWith(g.cpu.CPU, laneSched))
}

const fileRTRuntime = "cpu.rt_runtime_us"

// allowRT gives the group and its ancestors real-time bandwidth where the
// kernel asks for it: parents first, as a child may not exceed its parent.
func (e *Engine) allowRT(g *group, sharers int) error {
	if !g.cpu.CPU.Has(fileRTRuntime) {
		return nil
	}
	chain, err := e.ancestors(g)
	if err != nil {
		return err
	}
	for i := len(chain) - 1; i >= 0; i-- {
		a := chain[i]
		share := laneBandwidth
		if i == 0 {
			share /= float64(sharers)
		}
		if err := e.giveRT(a, share); err != nil {
			return fmt.Errorf("allow real-time threads in %s: %w", a.Rel, err)
		}
	}
	for _, a := range chain[1:] {
		_ = a.Close()
	}
	return nil
}

func (e *Engine) giveRT(a *actuate.Group, share float64) error {
	period, err := a.Number("cpu.rt_period_us")
	if err != nil {
		return err
	}
	now, err := a.Number(fileRTRuntime)
	if err != nil || now > 0 {
		return err
	}
	_, err = e.w.Set(cgroup.Edit{Dir: a.CPU, File: fileRTRuntime, Value: fmt.Sprint(int(float64(period) * share))})
	return err
}

// ancestors opens the group's parents below the root, nearest first, after the
// group itself.
func (e *Engine) ancestors(g *group) ([]*actuate.Group, error) {
	out := []*actuate.Group{g.cpu}
	for _, rel := range parents(g.w.Path) {
		a, err := actuate.OpenGroup(e.tree, rel)
		if err != nil {
			return out, err
		}
		out = append(out, a)
	}
	return out, nil
}

// reschedule changes the policy of the group's threads that have from.
func (e *Engine) reschedule(g *group, from, to sys.Sched) (n int, err error) {
	tids, err := g.cpu.CPU.Threads()
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

func threadsWith(d *cgroup.Dir, s sys.Sched) []string {
	tids, err := d.Threads()
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

func (e *Engine) recordSched(g *group, now time.Time, n int, from, to, why string, err error) {
	result := "ok"
	if err != nil {
		result = "error: " + err.Error()
	}
	e.totals.wrote("sched_setscheduler", result)
	e.history.add(Decision{
		Time: now.UnixMilli(), Controller: "rt", Workload: g.w.ID, File: fmt.Sprintf("scheduling policy of %d threads", n), Old: from, New: to, Why: why, Result: result,
	})
}

// idlers gives best-effort threads SCHED_IDLE where the policy asks for it:
// where groups cannot be idle, the scheduler at least sees that a CPU that
// runs only such threads is as good as idle for a waking one.
func (e *Engine) idlers(now time.Time) {
	on := e.policy.BE.SchedIdle == "on" || (e.policy.BE.SchedIdle == "auto" && e.mechanism == actuate.Weight)
	for _, g := range e.groups {
		want := on && g.class.String() == "BE"
		switch {
		case want && (!g.idle || now.Sub(g.laneScan) >= threadScan || g.laneScan.After(now)):
			g.laneScan = now
			e.makeIdle(g, now)
		case !want && g.idle:
			g.idle = false
			n, err := e.reschedule(g, idleSched, fairSched)
			e.recordSched(g, now, n, "SCHED_IDLE", "SCHED_OTHER", "no longer wanted", err)
		}
	}
}

func (e *Engine) makeIdle(g *group, now time.Time) {
	if !g.idle {
		s := cgroup.SchedUndo{Now: idleSched, Before: fairSched, Except: threadsWith(g.cpu.CPU, idleSched)}
		if err := e.w.Sched(g.cpu.CPU, s); err != nil {
			e.degrade("journal", err)
			return
		}
	}
	n, err := e.reschedule(g, fairSched, idleSched)
	g.idle = err == nil
	if n > 0 || err != nil {
		e.recordSched(g, now, n, "SCHED_OTHER", "SCHED_IDLE", "best-effort threads", err)
	}
}

// parents lists the paths above rel without the root, nearest first.
func parents(rel string) []string {
	var out []string
	for i := len(rel) - 1; i > 0; i-- {
		if rel[i] == '/' {
			out = append(out, rel[:i])
		}
	}
	return slices.Clip(out)
}
