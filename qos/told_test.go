package qos

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

// toldRig is an Engine that listens to a registry. Its policy has no rules of
// its own, so that labels count.
func toldRig(t *testing.T, n *groups.Node) (*rig, *workload.Registry) {
	t.Helper()
	p := testPolicy(n)
	p.Rules = nil
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	reg := workload.NewRegistry()
	e, err := Open(Options{Journal: j, Policy: &p, Records: reg})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Engine: e, t: t, n: n, j: j}
	t.Cleanup(r.close)
	return r, reg
}

var podSeq int

// makePod makes the cgroup of a container in a pod, as the kubelet and a
// runtime do, and gives the container's id.
func makePod(n *groups.Node, qos string) (*groups.Group, string) {
	podSeq++
	id := fmt.Sprintf("%064x", podSeq)
	g := emptyPod(n, qos, podSeq, id)
	g.Sleep()
	return g, id
}

// emptyPod makes the cgroup of a container without processes.
func emptyPod(n *groups.Node, qos string, seq int, id string) *groups.Group {
	at := "c/kubepods"
	n.Make("c")
	n.Make(at)
	if qos != "" {
		at += "/" + qos
		n.Make(at)
	}
	at += fmt.Sprintf("/pod00000000-0000-4000-8000-%012x", seq)
	n.Make(at)
	return n.Make(at + "/" + id)
}

func (r *rig) of(g *groups.Group) WorkloadStatus {
	for _, w := range r.Status().Workloads {
		if w.Cgroup == g.Rel {
			return w
		}
	}
	return WorkloadStatus{}
}

// idle says whether the CPU's priority of a group is lowered.
func idle(g *groups.Group) bool { return g.Read("cpu.idle") == "1" }

// Labels that come late, change or are disagreed about, class a group again,
// and every word of it is shown.
func TestKernelToldLate(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r, reg := toldRig(t, n)
	g, id := makePod(n, "burstable")
	g.Weight(200)
	r.until("LS by its pod's QoS", func() bool { return r.class(g) == "LS" })

	rec := workload.Record{ID: id, PodName: "batch", Namespace: "prod", Labels: map[string]string{dialect.KoordinatorClass: "BE"}}
	reg.Feed(workload.FromCRI).Put(rec)
	r.until("BE by its label", func() bool { return r.class(g) == "BE" && idle(g) })
	if w := r.of(g); w.Pod != "prod/batch" || !strings.Contains(w.Rule, "koordinator.sh/qosClass=BE from cri") || w.Source != "cri" {
		t.Errorf("%+v", w)
	}

	// The more trusted source says otherwise: it is believed, and said so.
	rec.Labels = map[string]string{dialect.KoordinatorClass: "LS"}
	reg.Feed(workload.FromNRI).Put(rec)
	r.until("LS by the more trusted source", func() bool { return r.class(g) == "LS" && !idle(g) })
	if d := r.degradedBy("sources of"); len(d) != 1 || !strings.Contains(d[0], `"LS" by nri, "BE" by cri`) {
		t.Errorf("degraded: %q", d)
	}
	writes := r.writes()
	for range 20 { // a repeated word changes nothing
		reg.Feed(workload.FromCRI).Replace([]workload.Record{{ID: id, PodName: "batch", Namespace: "prod", Labels: map[string]string{dialect.KoordinatorClass: "BE"}}})
		reg.Feed(workload.FromNRI).Put(rec)
		r.Step(time.Now())
	}
	if r.class(g) != "LS" || r.writes() != writes {
		t.Errorf("class %s, %d writes", r.class(g), r.writes()-writes)
	}
	reg.Feed(workload.FromCRI).Drop(id)
	r.until("the end of the disagreement", func() bool { return len(r.degradedBy("sources of")) == 0 })

	// What cannot be followed is counted once and shown.
	rec.Labels = map[string]string{dialect.KoordinatorClass: "SYSTEM", dialect.VolcanoLevel: "1e30"}
	reg.Feed(workload.FromNRI).Put(rec)
	r.until("refusals", func() bool { return len(r.of(g).Refused) == 2 })
	r.set(func(p *Policy) { p.Control.Target = 0.7 }) // classed again
	r.steps(3)
	if x := r.Totals().Refused; x[dialect.NotAllowed] != 1 || x[dialect.Unknown] != 1 || r.class(g) != "LS" {
		t.Errorf("%v, %s", x, r.class(g))
	}
	if g.WeightNow() != 200 {
		t.Errorf("weight %d", g.WeightNow())
	}
}

// A container that is being made is its runtime's: nothing is written there, or
// the kernel would refuse what the runtime writes and the container would not
// start.
func TestKernelContainerInTheMaking(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r, reg := toldRig(t, n)
	shell, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	runtime := filepath.Join(t.TempDir(), "runc") // as the kernel tells it until it becomes the container's program
	if err := os.WriteFile(runtime, shell, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, told := range []bool{false, true} {
		podSeq++
		id := fmt.Sprintf("%064x", podSeq)
		rec := workload.Record{ID: id, Labels: map[string]string{dialect.Class: "BE"}}
		reg.Feed(workload.FromNRI).Put(rec)
		g := emptyPod(n, "burstable", podSeq, id)
		r.steps(3)
		begin := filepath.Join(t.TempDir(), "begin")
		g.Run(runtime, "-c", "while [ ! -e "+begin+" ]; do read -t 1 x </dev/null; done; exec sleep 1000")
		r.steps(5)
		if r.class(g) != "" || idle(g) {
			t.Errorf("told %v: class %q, idle %v", told, r.class(g), idle(g))
		}
		g.Weight(123) // what would be refused
		if rec.Running = told; told {
			reg.Feed(workload.FromNRI).Put(rec)
		} else if err := os.WriteFile(begin, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		r.until("its class", func() bool { return r.class(g) == "BE" && idle(g) })
	}
}

// A container whose limits its runtime is about to change is the runtime's for
// that long.
func TestKernelLentContainer(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r, reg := toldRig(t, n)
	g, id := makePod(n, "burstable")
	g.Weight(300)
	reg.Feed(workload.FromNRI).Put(workload.Record{ID: id, Running: true, Labels: map[string]string{dialect.Class: "BE"}})
	r.until("best effort", func() bool { return idle(g) })
	r.Lend(id)
	if idle(g) || g.WeightNow() != 300 {
		t.Fatalf("lent: idle %v, weight %d", idle(g), g.WeightNow())
	}
	r.steps(3)
	g.Weight(400) // with cpu.idle the kernel would refuse it
	r.Regain(id)
	r.until("best effort again", func() bool { return idle(g) })
	r.Lend(id)
	r.Lend("nobody")
	r.Regain("nobody")
	if g.WeightNow() != 400 {
		t.Errorf("weight %d", g.WeightNow())
	}
	r.last = r.last.Add(-2 * lentFor) // as if the runtime had not come back for that long
	for ino := range r.lent {
		r.lent[ino] = r.last
	}
	r.until("best effort, though nobody gave it back", func() bool { return idle(g) })
}

// A best-effort container is lowered within the call that says that its
// program is about to run, and gets back what it had.
func TestKernelAdmit(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r, reg := toldRig(t, n)
	r.Step(time.Now())
	podSeq++
	id := fmt.Sprintf("%064x", podSeq)
	reg.Feed(workload.FromNRI).Put(workload.Record{ID: id, Running: true, Labels: map[string]string{dialect.VolcanoPreempt: "true"}})
	podSeq--
	g, _ := makePod(n, "")
	g.Weight(300)
	was := groups.Snapshot(g)
	reg.OnStart(func(workload.Container) { r.Admit(time.Now()) })
	reg.Starting(id)
	if !idle(g) || r.class(g) != "BE" {
		t.Errorf("idle %v, class %s", idle(g), r.class(g))
	}
	r.steps(3)
	if !idle(g) {
		t.Error("the next Step took it back")
	}
	reg.Starting("nobody")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r.Admit(time.Now()) // of a closed Engine
	same(t, was, g)
}

// An inode that the kernel gives again does not carry a class over.
func TestKernelNextContainerInheritsNothing(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r, reg := toldRig(t, n)
	ev := reg.Feed(workload.FromEvents)
	ev.Up("")
	n.Make("c")
	path := n.Prefix + "c/web"
	for i, want := range []string{"BE", "NONE", "BE"} {
		g := n.Make("c/web")
		g.Sleep()
		if want == "BE" {
			ev.Put(workload.Record{ID: "web", Cgroup: path, Labels: map[string]string{dialect.Class: "BE"}, Created: time.Unix(int64(i), 0)})
		}
		r.until(fmt.Sprint(i, ": class ", want), func() bool { return r.class(g) == want })
		if idle(g) != (want == "BE") {
			t.Errorf("%d: idle %v", i, idle(g))
		}
		g.Remove()
		r.until("it to go", func() bool { return r.class(g) == "" })
	}
}
