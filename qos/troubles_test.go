package qos

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/memory"
	"github.com/anole-os/anole/test/fault/groups"
)

// What was wrong with a workload goes with it, whether it ever was a group or
// not; what could not be put back stays until its cgroup is gone.
func TestKernelTroublesGoWithTheirCgroups(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	be := n.Make("be.service")
	be.Sleep()
	r := openRig(t, n, testPolicy(n), nil)
	r.until("classed", func() bool { return r.class(be) == "BE" })
	left := filepath.Join(n.Tree.Mount("cpu"), n.Prefix+"left")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Remove(left) })
	trouble := errors.New("trouble")
	r.mu.Lock()
	var id string
	for _, g := range r.order {
		if g.w.Path == be.Rel {
			id = g.w.ID
		}
	}
	for _, key := range []string{"workload gone", "burst of gone", "scheduling of gone", "reclaim /gone", "memory of gone", "oom score of gone", "burst of " + id, "reclaim /" + id, "restore " + n.Prefix + "gone", "restore " + n.Prefix + "left", "restore " + be.Rel} {
		r.degrade(key, trouble)
	}
	r.classify()
	r.mu.Unlock()
	for _, part := range []string{"gone", "restore " + be.Rel} {
		if d := r.degradedBy(part); len(d) > 0 {
			t.Errorf("still there: %q", d)
		}
	}
	if len(r.degradedBy("burst of "+id)) != 1 || len(r.degradedBy("reclaim /"+id)) != 1 || len(r.degradedBy(n.Prefix+"left")) != 1 {
		t.Errorf("forgotten too early, what is left is %+v", r.Status().Degraded)
	}
	if err := cgroup.Remove(left, n.Tree.Mount("cpu")); err != nil {
		t.Fatal(err)
	}
	r.until("the removed cgroup is forgotten", func() bool { return len(r.degradedBy(n.Prefix+"left")) == 0 })
	be.Remove()
	r.until("the removed group is forgotten", func() bool { return len(r.degradedBy(id)) == 0 })
}

// A group whose memory cgroup cannot be opened is told once, not once a second,
// and one group's success is nothing to another's failure.
func TestKernelMemoryTroublesAreTheirGroups(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	a, b := n.Make("be-a.service"), n.Make("be-b.service")
	a.NeedFile(limitFile(n))
	a.Sleep()
	b.Sleep()
	p := testPolicy(n)
	r := openRig(t, n, p, nil)
	r.until("both go first", func() bool { return scored(a) && scored(b) })
	trouble := errors.New("trouble")
	r.mu.Lock()
	for _, g := range r.order {
		if g.w.Path == a.Rel || g.w.Path == b.Rel {
			r.degrade("memory of "+g.w.ID, trouble)
			r.degrade(g.memory.scoreFeature(), trouble)
		}
	}
	r.mu.Unlock()
	b.Sleep() // its score is set anew
	r.until("the one is well again", func() bool { return len(r.degradedBy("oom score of "+b.Rel[1:])) == 0 })
	for _, d := range []string{"memory of " + a.Rel[1:], "oom score of " + a.Rel[1:]} {
		if len(r.degradedBy(d)) != 1 {
			t.Errorf("%s was cleared by another group, or by a look at its CPU", d)
		}
	}
	for _, d := range r.Status().Degraded {
		if k := d.Kind(); strings.Contains(k, "be-a") {
			t.Errorf("the kind %q names a workload", k)
		}
	}
	r.set(func(p *Policy) { p.Memory.OOMScore = "off" })
	r.until("nothing is wrong with its score", func() bool { return len(r.degradedBy("oom score of "+a.Rel[1:])) == 0 })
	a.Remove()
	r.until("it goes with its group", func() bool { return len(r.degradedBy(a.Rel[1:])) == 0 })
}

// scored says whether all processes of the group have a best-effort score.
func scored(g *groups.Group) bool {
	for _, pid := range g.Procs() {
		if v, err := memory.Adj(pid); err != nil || v != memory.ScoreBE {
			return false
		}
	}
	return true
}
