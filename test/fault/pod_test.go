package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

func init() { roles["flip pods"] = flipPods }

const kubeSlices = "kubepods.slice/kubepods-burstable.slice"

// podSlice is the name of a pod's cgroup below the test's prefix, as the kubelet
// has it with the systemd driver.
func podSlice(seq int) string {
	return fmt.Sprintf("%s/kubepods-burstable-pod0123abcd_4567_89ef_0123_%012x.slice", kubeSlices, seq)
}

// makePod makes a pod with containers, the pod's limit the sum of theirs, in
// thousandths of a CPU; 0 is a container without one.
func makePod(n *groups.Node, seq, period int, containers ...int) (gs []*groups.Group) {
	n.Home("kubepods.slice")
	n.Home(kubeSlices)
	pod := n.Make(podSlice(seq))
	gs = append(gs, pod)
	sum := 0
	for i, c := range containers {
		b := n.Make(fmt.Sprintf("%s/cri-containerd-%063x%x.scope", podSlice(seq), seq, i))
		gs = append(gs, b)
		sum += c
	}
	if sum > 0 {
		pod.Limit(sum*period/1000, period, sum*seq)
	}
	for i, c := range containers {
		if c > 0 {
			gs[i+1].Limit(c*period/1000, period, 0)
		}
	}
	return gs
}

// podPolicy has the containers in pods latency-sensitive.
func podPolicy(prefix string, bank time.Duration) qos.Policy {
	p := policy(prefix)
	p.Rules = append([]qos.Rule{{Match: workload.Match{Path: prefix + "kubepods.slice/**"}, Class: class.LS}}, p.Rules...)
	p.LS.Burst = qos.BurstMode{Set: true, Budget: bank}
	return p
}

// flipPods starts as the agent does and changes all limits all the time.
func flipPods(dir, prefix string) error {
	j, err := journal.Open(dir)
	if err != nil {
		return err
	}
	if rep := j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 {
		return rep.Failed[0]
	}
	p := podPolicy(prefix, 300*time.Millisecond)
	e, err := qos.Open(qos.Options{Journal: j, Policy: &p})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 2))
	for now := time.Now(); ; now = now.Add(time.Second) {
		e.Step(now)
		for _, d := range e.Status().Degraded {
			if strings.HasPrefix(d.Feature, "limit ") {
				return fmt.Errorf("%s: %s", d.Feature, d.Detail)
			}
		}
		p.LS.Burst = qos.BurstMode{Set: true, Budget: time.Duration(rng.IntN(8)) * 75 * time.Millisecond}
		p.Rules[0].Class = []class.Class{class.LS, class.LS, class.BE, class.None}[rng.IntN(4)]
		p.BE.Suppress = []string{"off", "quota"}[rng.IntN(2)]
		p.BE.Floor = rng.Float64() * 0.9
		if err := e.SetPolicy(p); err != nil {
			return err
		}
	}
}

// Limits of pods and containers hold each other on cgroup v1, so what a kill
// leaves half done must be put back in one order.
func TestKillWithNestedLimits(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	var gs []*groups.Group
	for i, period := range []int{100_000, 50_000, 100_000, 250_000} {
		gs = append(gs, makePod(n, i, period, [][]int{{300, 200}, {150}, {100, 100, 400}, {500, 0}}[i]...)...)
	}
	for _, g := range gs {
		if strings.HasSuffix(g.Rel, ".scope") {
			g.Sleep()
		}
	}
	was := state(t, gs)
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(4, 9))
	busy, undone, pods := 0, 0, 0
	for round := range rounds {
		killRole(t, n, "flip pods", dir, rng)
		pods += podsIn(t, dir)
		rep := restore(t, dir)
		if rep.Restored > 0 {
			busy++
		}
		undone += rep.Restored
		if diff := groups.Differ(was, state(t, gs)); len(diff) > 0 {
			t.Fatalf("round %d: not as it was:\n%s", round, strings.Join(diff, "\n"))
		}
	}
	t.Logf("%d of %d kills left something to undo, %d entries in all, %d of them of pods", busy, rounds, undone, pods)
	if busy < rounds/4 || pods < rounds/4 {
		t.Errorf("only %d of %d kills left something to undo, %d entries of pods: this tests nothing", busy, rounds, pods)
	}
}

// podsIn counts the entries of pods' own files in a journal that nobody holds.
func podsIn(t *testing.T, dir string) (n int) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, e := range j.Pending() {
		if strings.Contains(filepath.Base(filepath.Dir(e.Path)), "-pod") {
			n++
		}
	}
	return n
}
