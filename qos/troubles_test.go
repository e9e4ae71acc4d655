package qos

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/internal/cgroup"
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
	for _, key := range []string{"workload gone", "burst of gone", "burst of " + id, "restore " + n.Prefix + "gone", "restore " + n.Prefix + "left", "restore " + be.Rel} {
		r.degrade(key, trouble)
	}
	r.classify()
	r.mu.Unlock()
	for _, part := range []string{"gone", "restore " + be.Rel} {
		if d := r.degradedBy(part); len(d) > 0 {
			t.Errorf("still there: %q", d)
		}
	}
	if len(r.degradedBy("burst of "+id)) != 1 || len(r.degradedBy(n.Prefix+"left")) != 1 {
		t.Errorf("forgotten too early, what is left is %+v", r.Status().Degraded)
	}
	if err := cgroup.Remove(left, n.Tree.Mount("cpu")); err != nil {
		t.Fatal(err)
	}
	r.until("the removed cgroup is forgotten", func() bool { return len(r.degradedBy(n.Prefix+"left")) == 0 })
	be.Remove()
	r.until("the removed group is forgotten", func() bool { return len(r.degradedBy(id)) == 0 })
}
