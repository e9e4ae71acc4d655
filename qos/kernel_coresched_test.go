package qos

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/corefake"
	"github.com/anole-os/anole/test/fault/groups"
)

// coreRig is an Engine on real cgroups with a stand-in for core scheduling, see
// test/fault/corefake: no kernel at hand has CONFIG_SCHED_CORE.
type coreRig struct {
	*rig
	k  *corefake.Kernel
	at time.Time
}

func openCoreRig(t *testing.T, n *groups.Node, change func(*Policy)) *coreRig {
	t.Helper()
	r := &coreRig{openRig(t, n, testPolicy(n), nil), corefake.New(), time.Now()}
	for _, p := range r.parts {
		if c, ok := p.(*corePart); ok {
			c.k = r.k
		}
	}
	r.set(change)
	return r
}

func (r *coreRig) seconds(n int) {
	for range 5 * n {
		r.at = r.at.Add(200 * time.Millisecond)
		r.Step(r.at)
	}
}

// cookies gives the cookies of a group's threads, each once.
func (r *coreRig) cookies(g *groups.Group) (out []uint64) {
	for _, tid := range g.Threads() {
		if c := r.k.Of(tid); !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

func (r *coreRig) one(g *groups.Group) uint64 {
	r.t.Helper()
	all := r.cookies(g)
	if len(all) != 1 {
		r.t.Errorf("%s has %x", g.Rel, all)
		return 0
	}
	return all[0]
}

func TestKernelCoreSchedulingByClass(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, a, b := n.Make("ls.service"), n.Make("be1.service"), n.Make("be2.service")
	for _, g := range []*groups.Group{ls, a, b} {
		g.Sleep()
	}
	r := openCoreRig(t, n, func(p *Policy) { p.Control.CoreSched = "auto" })
	r.seconds(7)
	if r.one(ls) != 0 || r.one(a) == 0 || r.one(a) != r.one(b) {
		t.Fatalf("LS %x BE %x %x\n%+v", r.cookies(ls), r.cookies(a), r.cookies(b), r.Status().Degraded)
	}
	alien := a.Sleep().Process.Pid
	r.k.Set(alien, 4711) // somebody else's
	late := b.Sleep().Process.Pid
	moved := a.Sleep().Process.Pid
	r.seconds(7)
	if r.k.Of(late) != r.one(b) || r.k.Of(alien) != 4711 {
		t.Errorf("a new thread %x, one of somebody else's %x", r.k.Of(late), r.k.Of(alien))
	}
	ls.Add(moved)
	r.seconds(7)
	if r.one(ls) != 0 {
		t.Errorf("a process that went to LS kept %x", r.k.Of(moved))
	}
	for _, m := range r.Status().Mechanisms {
		if m.Name == "core scheduling" && (m.Using != "cookies" || !strings.Contains(m.Why, "1 threads keep")) {
			t.Errorf("%+v", m)
		}
	}
	r.set(func(p *Policy) { p.Rules[1].Class = class.None })
	r.seconds(7)
	if r.one(b) != 0 || r.k.Of(alien) != 4711 {
		t.Errorf("no class, and still %x; somebody else's is %x", r.cookies(b), r.k.Of(alien))
	}
	r.set(func(p *Policy) { p.Rules[1].Class = class.BE })
	r.seconds(7)
	if r.one(b) == 0 {
		t.Error("back in BE without a cookie")
	}
	r.close()
	if r.one(b) != 0 || r.one(ls) != 0 || r.k.Of(alien) != 4711 || r.k.Ours() != 0 {
		t.Errorf("left after the stop: BE %x, LS %x, ours %d", r.cookies(b), r.cookies(ls), r.k.Ours())
	}
}

func TestKernelCoreSchedulingByContainer(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	a, b := n.Make("be1.service"), n.Make("be2.service")
	a.Sleep()
	b.Sleep()
	r := openCoreRig(t, n, func(p *Policy) { p.Control.CoreSched, p.Control.CoreSchedPer = "on", "container" })
	r.seconds(7)
	if x, y := r.one(a), r.one(b); x == 0 || y == 0 || x == y {
		t.Errorf("cookies %x and %x", x, y)
	}
	if n := len(r.j.Pending()); n < 2 {
		t.Errorf("%d entries in the journal", n)
	}
	b.Remove()
	r.until("it is gone", func() bool { return r.class(b) == "" })
	r.seconds(12)
	cookies := 0
	for _, e := range r.j.Pending() {
		if e.Op == "core-cookie" {
			cookies++
		}
	}
	if cookies != 1 {
		t.Errorf("the journal holds %d cookies for one container", cookies)
	}
	r.set(func(p *Policy) { p.Control.CoreSchedPer = "class" })
	r.seconds(7)
	if r.one(a) == 0 {
		t.Error("no cookie after a change of the policy")
	}
	r.set(func(p *Policy) { p.Control.CoreSched = "off" })
	if r.one(a) != 0 || len(r.degradedBy("core")) > 0 {
		t.Errorf("switched off: %x, %q", r.cookies(a), r.degradedBy("core"))
	}
}

func TestKernelCoreSchedulingAbsent(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	n.Make("be.service").Sleep()
	r := openCoreRig(t, n, func(p *Policy) { p.Control.CoreSched = "off" })
	r.k.Absent = 22 // EINVAL
	r.set(func(p *Policy) { p.Control.CoreSched = "auto" })
	r.seconds(7)
	if d := r.degradedBy("core"); len(d) > 0 {
		t.Errorf("auto: %q", d)
	}
	r.set(func(p *Policy) { p.Control.CoreSched = "on" })
	if d := r.degradedBy("core"); len(d) != 1 {
		t.Errorf("asked for, missing, and not told: %q", d)
	}
}
