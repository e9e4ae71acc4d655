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
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/test/fault/groups"
)

func init() { roles["flip"] = flip }

// flip starts as the agent does and then changes its mind all the time, so that
// it is nearly always in the middle of writing something.
func flip(dir, prefix string) error {
	p := policy(prefix)
	p.Control.PressureFrom = "auto"
	j, err := journal.Open(dir)
	if err != nil {
		return err
	}
	if rep := j.Restore(context.Background(), cgroup.Undo); len(rep.Failed) > 0 {
		return rep.Failed[0]
	}
	e, err := qos.Open(qos.Options{Journal: j, Policy: &p})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	rng := rand.New(rand.NewPCG(uint64(os.Getpid()), 1))
	pick := func(of ...string) string { return of[rng.IntN(len(of))] }
	for now := time.Now(); ; now = now.Add(time.Second) {
		e.Step(now)
		if rng.IntN(4) == 0 { // what was written lies between a Close and the next start too
			p.BE.Priority = pick("off", "off", "cpu.idle", "weight")
		}
		p.BE.Suppress = pick("off", "quota", "cpuset")
		p.BE.SchedIdle = pick("on", "off")
		p.BE.Floor = rng.Float64() * 0.9
		p.LS.RTLane.Enabled = rng.IntN(2) == 0
		p.LS.Burst = qos.BurstMode{Set: true, Budget: time.Duration(rng.IntN(5)) * 100 * time.Millisecond}
		if err := e.SetPolicy(p); err != nil {
			return err
		}
	}
}

const rounds = 200

func TestKillAtAnyMoment(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	gs := killGroups(n)
	was := state(t, gs)
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 9))
	busy, undone := 0, 0
	for round := range rounds {
		killOnce(t, n, dir, rng)
		rep := restore(t, dir)
		if rep.Restored > 0 {
			busy++
		}
		undone += rep.Restored
		if diff := groups.Differ(was, state(t, gs)); len(diff) > 0 {
			t.Fatalf("round %d: not as it was:\n%s", round, strings.Join(diff, "\n"))
		}
	}
	actuate.Sweep(n.Tree)
	if left := probes(n); left != "" {
		t.Errorf("a probe's group was left: %s", left)
	}
	t.Logf("%d of %d kills left something to undo, %d entries in all", busy, rounds, undone)
	if busy < rounds/4 { // an emulated machine is killed before its writes more often
		t.Errorf("only %d of %d kills left something to undo: this tests nothing", busy, rounds)
	}
}

// killGroups makes twelve groups of all kinds, each with its own values.
func killGroups(n *groups.Node) (gs []*groups.Group) {
	for i := range 12 {
		name := fmt.Sprintf("be%d.service", i)
		if i%2 == 0 {
			name = fmt.Sprintf("ls%d.service", i)
		}
		g := n.Make(name)
		g.Weight(100 + i)
		if i%4 < 2 {
			g.Limit(30_000+i*1000, 50_000+i*1000, i*1000)
		}
		g.Sleep()
		gs = append(gs, g)
	}
	return gs
}

// killOnce runs the agent until some random moment of its life.
func killOnce(t *testing.T, n *groups.Node, dir string, rng *rand.Rand) {
	t.Helper()
	killRole(t, n, "flip", dir, rng)
}

func killRole(t *testing.T, n *groups.Node, role, dir string, rng *rand.Rand) {
	t.Helper()
	cmd := child(t, role, dir, n)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if rng.IntN(10) > 0 { // one in ten dies during its start
		line := make([]byte, 100)
		k, err := out.Read(line)
		if got := strings.TrimSpace(string(line[:k])); err != nil || got != "ready" {
			t.Errorf("the agent did not start: %q, %v", got, err)
		}
	}
	// A slow machine takes as much longer to come to its writes as to start, and
	// those are more work.
	most := max(59*time.Millisecond, 3*time.Since(began))
	time.Sleep(time.Millisecond + time.Duration(rng.Int64N(int64(most))))
	if err := cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("the agent ended by itself: %v", err)
	}
}

// state is all that the agent may change of the groups: files, the policies of
// their threads, and where their processes are in cgroup2.
func state(t *testing.T, gs []*groups.Group) map[string]string {
	t.Helper()
	out := groups.Snapshot(gs...)
	for _, g := range gs {
		for _, tid := range g.Threads() {
			s, err := sys.GetSched(tid)
			out[fmt.Sprintf("scheduling of %d", tid)] = fmt.Sprint(s, err)
			b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", tid))
			out[fmt.Sprintf("cgroups of %d", tid)] = string(b)
		}
	}
	return out
}

func probes(n *groups.Node) string {
	left, _ := filepath.Glob(n.Tree.Path("cpu", "/anole-probe-*"))
	var dead []string
	for _, p := range left {
		pid, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(p), "anole-probe-"), "-")
		if _, err := os.Stat("/proc/" + pid); err != nil {
			dead = append(dead, p)
		}
	}
	return strings.Join(dead, " ")
}
