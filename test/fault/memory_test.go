package fault

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/memory"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

func init() { roles["squeeze"] = squeeze }

// boxed is the policy for groups in a box with a limit: nothing but memory.
func boxed(prefix string) qos.Policy {
	p := policy(prefix)
	p.Rules = []qos.Rule{
		{Match: workload.Match{Path: prefix + "box/ls*"}, Class: class.LS},
		{Match: workload.Match{Path: prefix + "box/be*"}, Class: class.BE},
		{Match: workload.Match{Path: "/**"}, Class: class.None},
	}
	p.BE.Priority, p.BE.Suppress, p.BE.SchedIdle, p.LS.Burst = "off", "off", "off", qos.BurstOff
	return p
}

// squeeze isolates memory and changes its mind about that all the time.
func squeeze(dir, prefix string) error {
	p := boxed(prefix)
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
	for now := time.Now(); ; now = now.Add(700 * time.Millisecond) {
		e.Step(now)
		if rng.IntN(4) > 0 {
			continue
		}
		p.Memory.Bound, p.Memory.Protect = pick("auto", "auto", "off"), pick("auto", "auto", "off")
		p.Memory.OOMGroup, p.Memory.OOMScore, p.Memory.Reclaim = pick("auto", "off"), pick("auto", "off"), pick("auto", "off")
		p.Memory.Watermark.Free = rng.Float64() * 0.4
		if err := e.SetPolicy(p); err != nil {
			return err
		}
	}
}

// scores gives the oom_score_adj of all processes of groups.
func scores(gs ...*groups.Group) map[string]string {
	out := map[string]string{}
	for _, g := range gs {
		for _, pid := range g.Procs() {
			v, err := memory.Adj(pid)
			out[fmt.Sprintf("oom_score_adj of %d", pid)] = fmt.Sprint(v, err)
		}
	}
	return out
}

func TestKillWhileMemoryIsSqueezed(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	box := n.Make("box")
	limit, bound := "memory.limit_in_bytes", "memory.limit_in_bytes"
	if n.Unified() {
		limit, bound = "memory.max", "memory.high"
	}
	box.NeedFile(limit)
	box.Write(limit, strconv.Itoa(192<<20))
	ls, be := n.Make("box/ls.service"), n.Make("box/be.service")
	be.Write(bound, strconv.Itoa(180<<20))
	file := testkit.Cacheable(t)
	ls.Touch(file, 0, 90<<20, 100*time.Millisecond)
	be.Stream(file, 1<<30, 1<<30, 0)
	be.Hold(8 << 20)
	was, had := groups.Snapshot(box, ls, be), scores(ls, be)
	killing := func() bool { return n.Unified() || strings.HasPrefix(be.Read(memory.FileOOMV1), "oom_kill_disable 0") }
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(4, 9))
	busy, bounds := 0, 0
	const rounds = 40
	for round := range rounds {
		killRole(t, n, "squeeze", dir, rng)
		if groups.Differ(was, groups.Snapshot(be)) != nil && be.Read(bound) != strconv.Itoa(180<<20) {
			bounds++
		}
		if restore(t, dir).Restored > 0 {
			busy++
		}
		if diff := groups.Differ(was, groups.Snapshot(box, ls, be)); len(diff) > 0 {
			t.Fatalf("round %d: not as it was:\n%s", round, strings.Join(diff, "\n"))
		}
		if !killing() {
			t.Fatalf("round %d: memory.oom_control is %q", round, be.Read(memory.FileOOMV1))
		}
		if diff := groups.Differ(had, scores(ls, be)); len(diff) > 0 {
			t.Fatalf("round %d: not as it was:\n%s", round, strings.Join(diff, "\n"))
		}
	}
	t.Logf("%d of %d kills left something to undo, %d a bound", busy, rounds, bounds)
	if busy < rounds/2 || bounds < rounds/10 {
		t.Error("this tests nothing")
	}
}
