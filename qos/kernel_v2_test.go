package qos

import (
	"slices"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

// unified gives a node on cgroup v2 with one group of each class.
func unified(t *testing.T) (n *groups.Node, ls, be *groups.Group) {
	n = groups.Open(t)
	n.V2()
	return n, n.Make("ls.service"), n.Make("be.service")
}

func TestUnifiedProtectsAndRestores(t *testing.T) {
	n, ls, be := unified(t)
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
	r.close()
	same(t, was, ls, be)
}

func TestUnifiedBurstPlan(t *testing.T) {
	n, ls, _ := unified(t)
	ls.Write("cpu.max", "30000 100000")
	was := groups.Snapshot(ls)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond}
	r := openRig(t, n, p, nil)
	r.until("a bank", func() bool { return ls.Number("cpu.max.burst") > 0 })
	for _, w := range r.Status().Workloads {
		if w.Cgroup != ls.Rel {
			continue
		}
		if w.Limit == nil || *w.Limit != 0.3 || w.Burst == nil || w.Burst.Quota+w.Burst.Burst < 300_000 {
			t.Errorf("status: %+v", w)
		}
	}
	r.steps(20)
	before := r.writes()
	r.steps(50)
	if got := r.writes() - before; got != 0 {
		t.Errorf("%d writes in a steady state", got)
	}
	r.close()
	same(t, was, ls)
}

func TestUnifiedSuppressByCPUSet(t *testing.T) {
	n, ls, be := unified(t)
	be.Write("cpuset.cpus", "\n") // as on a node where nobody sets any
	was := groups.Snapshot(be)
	ls.Spin()
	be.Sleep()
	p := testPolicy(n)
	p.BE.Suppress = "cpuset"
	r := openRig(t, n, p, nil)
	r.until("confined", func() bool { return be.Read("cpuset.cpus") != "" })
	if be.Limited() {
		t.Error("a quota was set as well")
	}
	all := be.Read("cpuset.cpus.effective")
	r.close()
	// Some kernels let no set with tasks in it become empty again; the same CPUs
	// by name are as near as one can get.
	if got := be.Read("cpuset.cpus"); got != "" {
		if got == all || got != ls.Read("cpuset.cpus.effective") {
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

func TestUnifiedLaneAndSchedIdle(t *testing.T) {
	n, ls, be := unified(t)
	was := groups.Snapshot(ls, be)
	ls.Sleep()
	be.Sleep()
	p := testPolicy(n)
	p.LS.RTLane.Enabled = true
	p.BE.SchedIdle = "on"
	r := openRig(t, n, p, nil)
	r.until("in the lane", func() bool { return all(t, ls, sys.SCHED_RR) })
	r.until("idle", func() bool { return all(t, be, sys.SCHED_IDLE) })
	r.close()
	if !all(t, ls, sys.SCHED_OTHER) || !all(t, be, sys.SCHED_OTHER) {
		t.Errorf("after Close: %v, %v", policies(t, ls), policies(t, be))
	}
	same(t, was, ls, be)
}

// On v2 a group's own cpu.pressure tells who waits; the shadow group is for v1.
func TestUnifiedPressure(t *testing.T) {
	n, ls, _ := unified(t)
	for range 4 { // more than the node has CPUs for, so that some wait
		ls.Spin()
	}
	p := testPolicy(n)
	p.Control.PressureFrom = "auto"
	r := openRig(t, n, p, nil)
	r.until("pressure is seen", func() bool {
		for _, c := range r.Status().Classes {
			if c.Class == class.LS && c.PSI > 0 {
				return true
			}
		}
		return false
	})
	if d := r.degradedBy("pressure"); len(d) > 0 {
		t.Error(d)
	}
}

func TestUnifiedGroupsRemoved(t *testing.T) {
	n, ls, be := unified(t)
	ls.Spin()
	be.Spin()
	r := openRig(t, n, testPolicy(n), nil)
	r.until("capped", func() bool { return be.Limited() })
	be.Remove()
	r.until("forgotten", func() bool { return r.class(be) == "" })
	be = n.Make("be.service")
	be.Sleep()
	r.until("served again", func() bool { return be.Read("cpu.idle") == "1" })
	was := be.Read("cpu.weight")
	r.close()
	if be.Read("cpu.idle") != "0" || was == "" {
		t.Error("not restored")
	}
}
