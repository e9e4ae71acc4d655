package qos

import (
	"testing"
	"time"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

func labelled(path string, c class.Class, burst BurstMode) Rule {
	return Rule{Match: workload.Match{Path: path, Label: map[string]string{"app": "web"}}, Class: c, Burst: burst}
}

// Labels from any source class a workload, from when it appears.
func TestKernelLabelsClass(t *testing.T) {
	n := groups.Open(t)
	p := testPolicy(n)
	p.Rules = append([]Rule{labelled("", class.BE, BurstMode{})}, p.Rules...)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	asked := map[uint64]int{} // by inode; the Engine steps on this goroutine
	late := n.Prefix + "late.service"
	e, err := Open(Options{Journal: j, Policy: &p, Enrich: func(w *workload.Workload) {
		if asked[w.Ino]++; w.Path == late {
			w.Labels = map[string]string{"app": "web"}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Engine: e, t: t, n: n, j: j}
	t.Cleanup(r.close)
	g, other := n.Make("late.service"), n.Make("ls.service") // ends before the Engine does, so that it sees them go
	g.Sleep()
	other.Sleep()
	r.until("a class by label", func() bool { return r.class(g) == "BE" && r.class(other) == "LS" })
	r.steps(20)
	x, err := r.Explain(g.Rel)
	if err != nil || x.Workload.Rule != "rules[0]: label app = web" || x.Workload.Labels["app"] != "web" {
		t.Errorf("%+v, %v", x.Workload, err)
	}
	x.Workload.Labels["app"] = "db" // the caller's own
	if r.Step(time.Now()); r.class(g) != "BE" {
		t.Error("a change of the status reached the workload")
	}
	for ino, times := range asked {
		if times != 1 {
			t.Errorf("asked %d times about group %d", times, ino)
		}
	}
}
