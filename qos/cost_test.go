package qos

import (
	"fmt"
	"os"
	"runtime/pprof"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/test/fault/groups"
)

// cpuTime is what this process used so far.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// TestCost reports what a step costs on a node with many groups, one in four
// latency-sensitive with a limit, the rest best effort. ANOLE_PROFILE names a
// file for a CPU profile. It gates on allocations and writes, not on time.
func TestCost(t *testing.T) {
	testkit.Select(t, "slow")
	for _, total := range []int{200, 1000} {
		t.Run(fmt.Sprint(total), func(t *testing.T) {
			n := groups.Open(t)
			n.V1()
			for i := range total {
				name := fmt.Sprintf("be%d.service", i)
				if i%4 == 0 {
					name = fmt.Sprintf("ls%d.service", i)
				}
				g := n.Make(name)
				if i%4 == 0 {
					g.Write("cpu.cfs_quota_us", "30000")
				}
			}
			measure(t, n, total)
		})
	}
}

func measure(t *testing.T, n *groups.Node, total int) {
	p := testPolicy(n)
	p.Control.Interval = yamlx.Duration(100 * time.Millisecond)
	p.Control.RunQueue, p.Control.PressureFrom, p.IO.Use = "auto", "auto", "auto"
	r := openRig(t, n, p, nil)
	now := time.Now()
	step := func() { now = now.Add(100 * time.Millisecond); r.Step(now) }
	r.until("settled", func() bool { return r.Status().Cap != nil })
	r.background.Wait()
	for range 50 {
		step()
	}
	before := r.writes()
	stop := profile(t, total)
	const steps = 200
	used, wall := cpuTime(t), time.Now()
	for range steps {
		step()
	}
	used, took := cpuTime(t)-used, time.Since(wall)
	stop()
	allocs := testing.AllocsPerRun(100, step)
	t.Logf("%d groups: CPU %v a step (%.2f %% of a core at 100 ms), wall %v, %.1f allocations a step, %d writes, eBPF %v",
		total, used/steps, used.Seconds()/steps/0.1*100, took/steps, allocs, r.writes()-before, r.runq.t != nil)
	if w := r.writes() - before; w != 0 {
		t.Errorf("%d writes in a steady state", w)
	}
	// What is left is the look for new processes of LS groups, once a second.
	if allocs > float64(total)/5 {
		t.Errorf("%v allocations a step", allocs)
	}
}

func profile(t *testing.T, total int) func() {
	t.Helper()
	name := os.Getenv("ANOLE_PROFILE")
	if name == "" {
		return func() {}
	}
	f, err := os.Create(fmt.Sprintf("%s.%d", name, total))
	if err != nil {
		t.Fatal(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		t.Fatal(err)
	}
	return func() { pprof.StopCPUProfile(); _ = f.Close() }
}
