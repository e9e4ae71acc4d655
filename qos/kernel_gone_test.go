package qos

import (
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

func TestKernelGroupRemovedMidWrite(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	other := n.Make("be-other.service")
	ls.Sleep()
	be.Sleep()
	other.Sleep()
	var removed atomic.Bool
	r := openRig(t, n, testPolicy(n), func(path, _ string) error {
		if strings.Contains(path, be.Rel+"/") && removed.CompareAndSwap(false, true) {
			be.Remove()
		}
		return nil
	})
	r.until("removed", removed.Load)
	r.until("forgotten", func() bool { return r.class(be) == "" })
	r.until("the other is served", func() bool { return other.Read("cpu.idle") == "1" && other.Limited() })
	if d := r.degradedBy("be"); len(d) > 0 {
		t.Errorf("a group that goes away is no trouble: %v", d)
	}
	for _, e := range r.j.Pending() {
		if strings.Contains(e.Path, be.Rel+"/") {
			t.Errorf("still in the journal: %s", e.Path)
		}
	}
}

func TestKernelGroupMadeAnewIsAnother(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	be := n.Make("be.service")
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	r.until("yields", func() bool { return be.Read("cpu.idle") == "1" })
	be.Remove()
	be = n.Make("be.service")
	be.Weight(77)
	be.Limit(12_345, 100_000, 0)
	theirs := groups.Snapshot(be)
	r.close()
	same(t, theirs, be)
}

func TestKernelGroupMadeAnewIsServed(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	be := n.Make("be.service")
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	for range 3 {
		r.until("yields", func() bool { return be.Read("cpu.idle") == "1" })
		be.Remove()
		be = n.Make("be.service")
		be.Weight(77)
		be.Sleep()
	}
	r.until("yields", func() bool { return be.Read("cpu.idle") == "1" })
	r.close()
	if be.WeightNow() != 77 || be.Read("cpu.idle") != "0" {
		t.Errorf("weight %d idle %s", be.WeightNow(), be.Read("cpu.idle"))
	}
}

// A home serves its members by one knob, and may be removed with the last one.
func TestKernelHomeMadeAnewIsServed(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	n.Make("kubepods")
	for range 3 {
		home, pod := n.Make("kubepods/besteffort"), n.Make("kubepods/besteffort/a.service")
		pod.Sleep()
		r := openRig(t, n, testPolicy(n), nil)
		r.until("the home yields", func() bool { return home.Read("cpu.idle") == "1" })
		if pod.Read("cpu.idle") != "0" {
			t.Error("the member was changed too")
		}
		pod.Remove()
		home.Remove()
		home, pod = n.Make("kubepods/besteffort"), n.Make("kubepods/besteffort/a.service")
		pod.Sleep()
		r.until("the new home yields", func() bool { return home.Read("cpu.idle") == "1" })
		r.close()
		if home.Read("cpu.idle") != "0" {
			t.Error("not restored")
		}
		pod.Remove()
		home.Remove()
	}
}

// cpuacct may be made after cpu has processes already: runtimes go hierarchy
// by hierarchy.
func TestKernelGroupMadeInParts(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	be := n.Make("be.service")
	be.Sleep()
	late := filepath.Dir(be.Path("cpuacct.usage"))
	if late == filepath.Dir(be.Path("cpu.shares")) {
		t.Log("cpu and cpuacct are one hierarchy here: nothing can be late")
		return
	}
	root := n.Tree.Mount("cpuacct")
	moveOut(t, late, root)
	if err := unix.Rmdir(late); err != nil {
		t.Fatal(err)
	}
	r := openRig(t, n, testPolicy(n), nil)
	r.steps(5)
	if err := unix.Mkdir(late, 0o755); err != nil {
		t.Fatal(err)
	}
	r.until("yields", func() bool { return be.Read("cpu.idle") == "1" })
}

func TestKernelPolicySwitchesLive(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Limit(30_000, 100_000, 0)
	be.Weight(512)
	was := groups.Snapshot(ls, be)
	ls.Sleep()
	be.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond}
	r := openRig(t, n, p, nil)
	idle := func() bool { return be.Read("cpu.idle") == "1" }
	least := func() bool { return be.WeightNow() <= 2 && be.Read("cpu.idle") == "0" }
	free := func() bool { return be.WeightNow() == 512 && be.Read("cpu.idle") == "0" }
	priority := func(v string) { r.set(func(p *Policy) { p.BE.Priority = v }) }
	r.until("idle", idle)
	priority("weight")
	r.until("weight", least)
	priority("cpu.idle")
	r.until("idle again", idle)
	priority("off")
	r.until("left alone", free)
	priority("auto")
	r.until("idle by the ladder", idle)

	capped := func() bool { return be.Limited() }
	confined := func() bool {
		return n.Confines() && be.Read("cpuset.cpus") != was[be.Path("cpuset.cpus")][:len(was[be.Path("cpuset.cpus")])-1]
	}
	suppress := func(v string) { r.set(func(p *Policy) { p.BE.Suppress = v }) }
	r.until("a quota", func() bool { return capped() && !confined() })
	if n.Confines() {
		suppress("cpuset")
		r.until("a CPU set", func() bool { return !capped() && confined() })
	}
	suppress("off")
	r.until("neither", func() bool { return !capped() && !confined() })
	suppress("quota")
	r.until("a quota again", func() bool { return capped() && !confined() })

	banked := func() bool { return ls.Burst() > 0 }
	burst := func(m BurstMode) { r.set(func(p *Policy) { p.LS.Burst = m }) }
	r.until("a bank", banked)
	burst(BurstOff)
	r.until("no bank", func() bool { return !banked() && ls.Period() == 100_000 })
	burst(BurstMode{Set: true, Budget: 100 * time.Millisecond})
	r.until("a bank again", banked)
	deep := ls.Period()
	r.set(func(p *Policy) { p.LS.Stall = p.Control.Settle / 10 })
	r.until("a shorter period for a bound on the wait", func() bool { return ls.Period() < deep })

	r.set(func(p *Policy) { p.Rules = []Rule{{Match: matchPath("/**"), Class: class.None}} })
	r.until("nothing is classed", func() bool { return free() && !capped() && !banked() })
	same(t, was, ls, be)
	r.set(func(p *Policy) { *p = testPolicy(n) })
	r.until("all is back", func() bool { return idle() && capped() })
	r.close()
	same(t, was, ls, be)
}

func TestKernelRefusedWriteIsRetriedAndShown(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	was := groups.Snapshot(ls, be)
	ls.Sleep()
	be.Sleep()
	var broken atomic.Bool
	broken.Store(true)
	r := openRig(t, n, testPolicy(n), func(path, _ string) error {
		if broken.Load() && strings.HasSuffix(path, be.Rel+"/"+n.LimitFile()) {
			return unix.EBUSY
		}
		return nil
	})
	r.until("shown", func() bool { return len(r.degradedBy("limit "+be.Rel)) == 1 })
	refused := r.writes()
	r.steps(20)
	if got := r.writes() - refused; got > 2 {
		t.Errorf("a refused write was tried %d times in 100 ms", got)
	}
	if be.Read("cpu.idle") != "1" {
		t.Error("what can be done was not")
	}
	broken.Store(false)
	r.until("done", func() bool { return be.Limited() })
	if d := r.degradedBy(be.Rel); len(d) > 0 {
		t.Errorf("still degraded: %v", d)
	}
	r.close()
	same(t, was, ls, be)
}

// A change of several files that fails half way must be finished or taken back,
// whatever is wanted next.
func TestKernelHalfDoneChangeIsTakenBack(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	was := groups.Snapshot(ls)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 300 * time.Millisecond}
	var broken atomic.Bool
	broken.Store(true)
	r := openRig(t, n, p, func(path, _ string) error {
		if broken.Load() && strings.HasSuffix(path, ls.Rel+"/"+n.QuotaStep()) {
			return unix.EINVAL
		}
		return nil
	})
	r.until("refused", func() bool { return len(r.degradedBy("limit "+ls.Rel)) == 1 })
	if d := groups.Differ(was, groups.Snapshot(ls)); len(d) > 0 {
		t.Errorf("left half way:\n%s", strings.Join(d, "\n"))
	}
	r.set(func(p *Policy) { p.LS.Burst = BurstOff })
	broken.Store(false)
	r.until("taken back", func() bool { return len(groups.Differ(was, groups.Snapshot(ls))) == 0 })
	r.until("no trouble left", func() bool { return len(r.degradedBy(ls.Rel)) == 0 })
}

// A change that failed half way, and then the old value is wanted again.
func TestKernelHalfDoneChangeAndBack(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls := n.Make("ls.service")
	ls.Limit(30_000, 100_000, 0)
	ls.Sleep()
	p := testPolicy(n)
	p.LS.Burst = BurstMode{Set: true, Budget: 100 * time.Millisecond}
	var broken atomic.Bool
	r := openRig(t, n, p, func(path, _ string) error {
		if broken.Load() && strings.HasSuffix(path, ls.Rel+"/"+n.QuotaStep()) {
			return unix.EINVAL
		}
		return nil
	})
	r.until("a bank", func() bool { return ls.Burst() > 0 })
	held := groups.Snapshot(ls)
	broken.Store(true)
	budget := func(d time.Duration) {
		r.set(func(p *Policy) { p.LS.Burst = BurstMode{Set: true, Budget: d} })
	}
	budget(300 * time.Millisecond)
	r.until("refused", func() bool { return len(r.degradedBy("limit "+ls.Rel)) == 1 })
	budget(100 * time.Millisecond)
	broken.Store(false)
	r.until("back", func() bool { return len(groups.Differ(held, groups.Snapshot(ls))) == 0 })
}

func TestOpenNeedsAJournal(t *testing.T) {
	if _, err := Open(Options{}); err == nil || !strings.Contains(err.Error(), "journal") {
		t.Errorf("got %v", err)
	}
}
