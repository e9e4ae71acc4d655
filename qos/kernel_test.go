package qos

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

func TestKernelProtectsAndRestores(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	was := groups.Snapshot(ls, be)
	ls.Spin()
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	r.until("classes", func() bool { return r.class(ls) == "LS" && r.class(be) == "BE" })
	r.until("BE yields", func() bool { return be.Read("cpu.idle") == "1" })
	r.until("BE is capped", func() bool { return be.Limited() })
	if ls.Read("cpu.idle") != "0" || ls.Limited() {
		t.Error("the LS group was touched")
	}
	r.until("the spinner's use is seen", func() bool {
		return slices.ContainsFunc(r.Status().Workloads, func(w WorkloadStatus) bool { return w.Cgroup == ls.Rel && w.Used > 0.3 })
	})
	if s := r.Status(); s.Cap == nil || *s.Cap <= 0 || s.CapWhy == "" {
		t.Errorf("cap %v, %q", s.Cap, s.CapWhy)
	}
	x, err := r.Explain(be.Rel)
	if err != nil || len(x.Files) < 2 || len(x.Decisions) < 2 {
		t.Errorf("explain: %+v, %v", x, err)
	}
	r.close()
	same(t, was, ls, be)
}

func TestKernelCapFollowsSensitiveWork(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Sleep()
	be.Sleep()
	p := testPolicy(n)
	p.Control.Deadband = 0.02
	r := openRig(t, n, p, nil)
	r.until("first cap", func() bool { return be.Limited() })
	spin := ls.Spin()
	quota := func() int { return be.Quota() }
	room := int((0.97*r.cpus - 0.6) * 100_000) // the spinner gets most of a CPU at the least
	r.until("the cap makes room for LS", func() bool { return quota() < room })
	_ = spin.Process.Kill()
	ls.Remove()
	r.until("no cap without LS", func() bool { return !be.Limited() })
	if s := r.Status(); s.Cap != nil || len(s.Workloads) > 0 && s.Workloads[0].Share != nil {
		t.Errorf("status still tells of a cap: %v", s.Cap)
	}
}

func TestKernelSteadyStateWritesNothing(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	ls.Sleep()
	for i := range 3 {
		n.Make(fmt.Sprintf("be%d.service", i)).Sleep()
	}
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 200 * time.Millisecond}
	r := openRig(t, n, p, nil)
	r.until("settled", func() bool { return ls.Burst() != 0 && r.Status().Cap != nil })
	r.steps(50)
	before := r.writes()
	r.steps(20)
	time.Sleep(1100 * time.Millisecond) // all that happens once a second
	r.steps(20)
	if got := r.writes() - before; got != 0 {
		t.Errorf("%d writes in a steady state: %+v", got, r.Status().Decisions[:got])
	}
}

func TestKernelBurstPlan(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	was := groups.Snapshot(ls)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond}
	r := openRig(t, n, p, nil)
	r.until("a bank", func() bool { return ls.Burst() > 0 })
	q, per, b := ls.Quota(), ls.Period(), ls.Burst()
	if q+b < 300_000 || b > q || float64(q)/float64(per) > 0.3+1e-9 {
		t.Errorf("quota %d period %d burst %d", q, per, b)
	}
	for _, w := range r.Status().Workloads {
		if w.Cgroup == ls.Rel && (w.Limit == nil || *w.Limit != 0.3 || w.Burst == nil || int(w.Burst.Quota) != q) {
			t.Errorf("status: %+v", w)
		}
	}
	r.close()
	same(t, was, ls)
}

func TestKernelForeignLimitIsAdopted(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond}
	r := openRig(t, n, p, nil)
	r.until("a bank", func() bool { return ls.Burst() > 0 })
	ls.Limit(25_000, 50_000, 0)
	theirs := groups.Snapshot(ls)
	r.until("a plan on their limit", func() bool {
		return ls.Burst() > 0 && 2*ls.Quota() == ls.Period()
	})
	r.set(func(p *Policy) { p.LS.Burst = BurstOff })
	r.until("restored to theirs", func() bool { return ls.Burst() == 0 })
	same(t, theirs, ls)

	r.set(func(p *Policy) { p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond} })
	r.until("a bank again", func() bool { return ls.Burst() > 0 })
	ls.Limit(60_000, 100_000, 0) // and the plan ends before the next look at it
	theirs = groups.Snapshot(ls)
	r.set(func(p *Policy) { p.Rules[0].Class = class.None })
	r.steps(5)
	same(t, theirs, ls)

	r.set(func(p *Policy) { p.Rules[0].Class = class.LS })
	r.until("a bank on 0.6", func() bool { return ls.Burst() > 0 })
	ls.Limit(70_000, 100_000, 0) // and the Engine does not get to see it
	theirs = groups.Snapshot(ls)
	r.close()
	same(t, theirs, ls)
}

// What somebody else writes to a priority or a CPU set is the group's own from
// then on; best-effort work keeps yielding on top of it.
func TestKernelForeignPriorityIsAdopted(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	be.Weight(512)
	ls.Sleep()
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	idle := func() bool { return be.Read("cpu.idle") == "1" }
	r.until("BE yields", idle)
	be.Write("cpu.idle", "0") // the kernel gives the default weight
	r.until("BE yields again", idle)
	r.set(func(p *Policy) { p.BE.Priority = "off" })
	r.until("free", func() bool { return !idle() })
	if w := be.WeightNow(); w != 512 {
		t.Errorf("weight %d, it was 512 before", w)
	}
	r.set(func(p *Policy) { p.BE.Priority = "auto" })
	r.until("BE yields", idle)
	be.Write("cpu.idle", "0")
	be.Weight(300)
	r.until("BE yields once more", idle)
	if !slices.ContainsFunc(r.Status().Decisions, func(d Decision) bool { return d.Result == "adopted" && strings.HasSuffix(d.File, "cpu.idle") }) {
		t.Error("no decision tells of it")
	}
	r.close()
	if w := be.WeightNow(); w != 300 || idle() {
		t.Errorf("after Close: weight %d, idle %v; somebody else wrote 300", w, idle())
	}
}

func TestKernelForeignCPUSetIsAdopted(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	n.CPUSets()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	all := be.Read("cpuset.cpus")
	ls.Spin()
	be.Sleep()
	p := testPolicy(n)
	p.BE.Suppress = "cpuset"
	r := openRig(t, n, p, nil)
	r.until("confined", func() bool { return be.Read("cpuset.cpus") != all })
	be.Write("cpuset.cpus", "0")
	r.steps(10)
	end := time.Now().Add(1500 * time.Millisecond)
	r.until("looked at again", func() bool { return time.Now().After(end) })
	r.close()
	if got := be.Read("cpuset.cpus"); got != "0" {
		t.Errorf("after Close: %s, somebody else wrote 0", got)
	}
}

func TestKernelOwnLimitOfBestEffortIsNotRaised(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	be.Limit(20_000, 100_000, 0)
	ls.Sleep()
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	r.until("a cap", func() bool { return r.Status().Cap != nil })
	for range 20 {
		r.steps(1)
		if q := be.Quota(); q > 20_000 {
			t.Fatalf("the cap raised the group's own limit from 20000 to %d", q)
		}
	}
}

// On v1 a child may not have more than its parent: the cap stays below the
// parent's limit, and follows when that is raised.
func TestKernelCapBelowALimitedParent(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	ls, parent := n.Make("ls.service"), n.Make("parent.slice")
	parent.Limit(50_000, 100_000, 0)
	be := n.Make("parent.slice/be.service")
	was := groups.Snapshot(parent, be)
	ls.Sleep()
	be.Sleep()
	p := testPolicy(n)
	p.Rules[1].Match.Path = n.Prefix + "parent.slice/be.service"
	p.BE.Floor = 0.9 // whatever else runs
	r := openRig(t, n, p, nil)
	r.until("capped", func() bool { return be.Limited() })
	if q := be.Quota(); q > 50_000 {
		t.Errorf("quota %d, the parent has 50000", q)
	}
	if d := r.degradedBy("limit"); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	parent.Limit(150_000, 100_000, 0)
	now := time.Now()
	for range 400 {
		now = now.Add(100 * time.Millisecond)
		r.Step(now)
	}
	if q := be.Quota(); q <= 50_000 || q > 150_000 {
		t.Errorf("quota %d, the parent has 150000", q)
	}
	r.close()
	parent.Limit(50_000, 100_000, 0)
	same(t, was, parent, be)
}

func TestKernelLane(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	was := groups.Snapshot(ls)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.RTLane.Enabled = true
	r := openRig(t, n, p, nil)
	r.until("in the lane", func() bool { return all(t, ls, sys.SCHED_RR) })
	ls.Sleep()
	r.until("a late thread too", func() bool { return policies(t, ls)[sys.SCHED_OTHER] == 0 })
	r.set(func(p *Policy) { p.LS.RTLane.Enabled = false })
	r.until("out of the lane", func() bool { return all(t, ls, sys.SCHED_OTHER) })
	same(t, was, ls)
	r.set(func(p *Policy) { p.LS.RTLane.Enabled = true })
	r.until("in the lane again", func() bool { return all(t, ls, sys.SCHED_RR) })
	r.close()
	if !all(t, ls, sys.SCHED_OTHER) {
		t.Errorf("threads after Close: %v", policies(t, ls))
	}
	same(t, was, ls)
}

// A child that goes to another cgroup would take the lane's policy along, where
// nobody watches it and no restore finds it.
func TestKernelLaneIsNotInherited(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Run("sh", "-c", "while :; do sleep 0.2; done")
	p := testPolicy(n)
	p.LS.RTLane.Enabled = true
	r := openRig(t, n, p, nil)
	r.until("the parent in the lane, its new child not", func() bool {
		now := policies(t, ls)
		return now[sys.SCHED_RR] == 1 && now[sys.SCHED_OTHER] == 1
	})
	r.close()
	r.t.Log("after Close:", policies(t, ls))
	if policies(t, ls)[sys.SCHED_RR] > 0 {
		t.Error("a thread was left in the lane")
	}
}

// Lanes share what real-time bandwidth there is, whatever the order in which
// they come, and give it back.
func TestKernelLanesShareTheBandwidth(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	if _, err := os.Stat(n.Make("ls-any").Path(fileRTRuntime)); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "real-time bandwidth of groups", Reason: feature.NoKernel, Need: "RT_GROUP_SCHED", Err: err})
	}
	p := testPolicy(n)
	p.LS.RTLane.Enabled = true
	r := openRig(t, n, p, nil)
	var gs []*groups.Group
	parent := n.Make("ls-parent.slice")
	was := groups.Snapshot(parent)
	for i := range 6 {
		name := fmt.Sprintf("ls%d.service", i)
		if i%2 == 1 {
			name = "ls-parent.slice/" + name
			r.set(func(p *Policy) {
				p.Rules[0].Match.Path = n.Prefix + "ls*/**"
				p.Rules[1] = Rule{Match: matchPath(n.Prefix + "ls*"), Class: class.LS}
			})
		}
		g := n.Make(name)
		for f, v := range groups.Snapshot(g) {
			was[f] = v
		}
		gs = append(gs, g)
		g.Sleep()
		r.until("in the lane: "+name, func() bool { return all(t, g, sys.SCHED_RR) })
	}
	if d := r.degradedBy("rt lane"); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
	for _, g := range gs {
		if got, want := g.Number("cpu.rt_runtime_us"), int(0.9/6*1e6); got != want {
			t.Errorf("%s has %d, want %d", g.Rel, got, want)
		}
	}
	if got, want := parent.Number("cpu.rt_runtime_us"), 450_000; got < want-3 || got > want+3 {
		t.Errorf("the parent of three has %d, want %d", got, want)
	}
	for _, g := range gs[2:] {
		g.Remove()
		for f := range groups.Snapshot(g) {
			delete(was, f)
		}
	}
	r.steps(5)
	r.close()
	for f := range was {
		if _, err := os.Stat(f); err != nil {
			delete(was, f)
		}
	}
	same(t, was, append(gs[:2:2], parent)...)
}

func TestKernelLaneDemotesASpinner(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	was := groups.Snapshot(ls)
	ls.Spin()
	p := testPolicy(n)
	p.LS.RTLane.Enabled = true // one thread is far from 60 % of the node
	r := openRig(t, n, p, nil)
	r.until("in the lane", func() bool { return all(t, ls, sys.SCHED_RR) })
	r.until("demoted", func() bool { return all(t, ls, sys.SCHED_OTHER) })
	if got := r.Totals().Demotions; got != 1 {
		t.Errorf("%d demotions", got)
	}
	if d := r.Status().Decisions[0]; !strings.Contains(d.Why, "demoted") {
		t.Errorf("last decision: %+v", d)
	}
	r.close()
	same(t, was, ls)
}

func TestKernelSchedIdle(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Sleep()
	be.Run("sh", "-c", "while :; do sleep 0.1; done")
	p := testPolicy(n)
	p.BE.SchedIdle = "on"
	r := openRig(t, n, p, nil)
	r.until("idle", func() bool { return all(t, be, sys.SCHED_IDLE) })
	be.Sleep()
	var inner *groups.Group
	if !n.Unified() { // part of the same workload; v2 has no processes above such a group
		inner = n.Make("be.service/inner")
		inner.Sleep()
	}
	r.until("one that came later", func() bool { return policies(t, be)[sys.SCHED_OTHER] == 0 })
	if !all(t, ls, sys.SCHED_OTHER) {
		t.Error("LS threads were touched")
	}
	r.set(func(p *Policy) { p.BE.SchedIdle = "off" })
	r.until("switched off", func() bool { return all(t, be, sys.SCHED_OTHER) })
	r.set(func(p *Policy) { p.BE.SchedIdle = "on" })
	r.until("idle again", func() bool { return all(t, be, sys.SCHED_IDLE) })
	if inner != nil {
		inner.Remove() // a lane takes only the group's own threads here: RT_GROUP_SCHED
	}
	// The class changes: from idle threads to the lane in one go.
	r.set(func(p *Policy) {
		p.Rules[1].Class, p.LS.RTLane.Enabled = class.LS, true
	})
	r.until("in the lane", func() bool { return all(t, be, sys.SCHED_RR) })
	r.close()
	if !all(t, be, sys.SCHED_OTHER) {
		t.Errorf("after Close: %v", policies(t, be))
	}
}

func TestKernelSuppressByCPUSet(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	n.CPUSets()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	was := groups.Snapshot(ls, be)
	all := be.Read("cpuset.cpus")
	ls.Spin() // idle latency-sensitive work leaves all CPUs to the others
	be.Sleep()
	p := testPolicy(n)
	p.BE.Suppress = "cpuset"
	r := openRig(t, n, p, nil)
	r.until("confined", func() bool { return be.Read("cpuset.cpus") != all })
	if be.Limited() {
		t.Error("a quota was set as well")
	}
	ls.Remove()
	r.until("free again", func() bool { return be.Read("cpuset.cpus") == all })
	r.close()
	for f := range was {
		if strings.HasPrefix(f, ls.Path("")) || strings.Contains(f, ls.Rel) {
			delete(was, f)
		}
	}
	same(t, was, be)
}

// A set that nobody filled is empty on v2, and means the parent's.
func TestKernelSuppressByEmptyCPUSet(t *testing.T) {
	n := groups.Open(t)
	n.V2()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	be.Write("cpuset.cpus", "\n")
	was := groups.Snapshot(be)
	ls.Spin()
	be.Sleep()
	p := testPolicy(n)
	p.BE.Suppress = "cpuset"
	r := openRig(t, n, p, nil)
	r.until("confined", func() bool { return be.Read("cpuset.cpus") != "" })
	confined := be.Read("cpuset.cpus.effective")
	r.close()
	// Some kernels let no set with tasks in it become empty again; the same CPUs
	// by name are as near as one can get.
	if got := be.Read("cpuset.cpus"); got != "" {
		if got == confined || got != ls.Read("cpuset.cpus.effective") {
			t.Errorf("after Close: %q", got)
		}
		delete(was, be.Path("cpuset.cpus"))
		is := groups.Snapshot(be)
		delete(is, be.Path("cpuset.cpus"))
		if d := groups.Differ(was, is); len(d) > 0 {
			t.Error(d)
		}
		return
	}
	same(t, was, be)
}
