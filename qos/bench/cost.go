package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/qos/load"
)

// cost measures the agent itself beside many quiet cgroups.
func (b *bencher) cost(ctx context.Context) ([]benchfmt.Result, error) {
	var out []benchfmt.Result
	for _, n := range []int{200, 1000} {
		r, err := b.costAt(ctx, n)
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	return out, nil
}

func (b *bencher) costAt(ctx context.Context, n int) ([]benchfmt.Result, error) {
	l, err := lab.OpenWired(wireBits)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	disk, drop, err := b.loopDisk()
	if err != nil {
		return nil, err
	}
	defer drop()
	// Everything that this node can measure: nothing shares a network interface or
	// a loop device unless it is named.
	policy := fmt.Sprintf("  cpi: {mode: on}\n  net: {interfaces: {up0: {rate: 200Mbit}}}\n  io: {devices: [{match: %s}]}\n", filepath.Base(disk))
	stop, err := b.crowd(n)
	defer stop()
	if err != nil {
		return nil, err
	}
	var cpu, rss, writes []float64
	for i := range min(b.o.Rounds, 5) {
		what := fmt.Sprintf("%d cgroups, round %d", n, i+1)
		b.Say("  " + what)
		err := b.quiet(ctx, what, func() (check, err error) {
			b.space = l.Node
			a, err := b.agent(policy)
			b.space = nil
			if err != nil {
				return nil, err
			}
			defer a.stop()
			c, w, m, check, err := b.watchAgent(ctx, a)
			if check == nil && err == nil {
				cpu, rss, writes = append(cpu, c), append(rss, m), append(writes, w)
			}
			return check, err
		})
		if err != nil {
			return nil, err
		}
	}
	if n > 200 {
		return []benchfmt.Result{single("agent-cpu-1000", "agent's CPU, 1,000 cgroups, 100 ms loop, all sensors (CPU, PSI, memory, IO, network; CPI where the CPU counts)", "cores", "<=0.08", cpu)}, nil
	}
	return []benchfmt.Result{
		single("agent-cpu-200", "agent's CPU, 200 cgroups, 100 ms loop, all sensors (CPU, PSI, memory, IO, network; CPI where the CPU counts)", "cores", "<=0.02", cpu),
		single("agent-rss-200", "agent's resident memory, 200 cgroups", "MiB", "<=60", rss),
		worst("agent-writes-200", "writes to control files in 20 s of steady state; the highest round", "writes", "<=0", writes),
	}, nil
}

// watchAgent lets the agent settle and then measures it.
func (b *bencher) watchAgent(ctx context.Context, a *agent) (cores, writes, rss float64, check, err error) {
	if err := pause(ctx, b.phaseTime(15*time.Second)); err != nil {
		return 0, 0, 0, nil, err
	}
	before, err := a.status(ctx)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	meter, err := load.OpenMeter(load.MeterOptions{PIDs: []int{os.Getpid(), a.pid()}})
	if err != nil {
		return 0, 0, 0, nil, err
	}
	began, used := time.Now(), a.cpu()
	if err := pause(ctx, b.phaseTime(20*time.Second)); err != nil {
		return 0, 0, 0, nil, err
	}
	u, err := meter.Sample()
	if err != nil {
		return 0, 0, 0, nil, err
	}
	cores = (a.cpu() - used).Seconds() / time.Since(began).Seconds()
	rss = float64(a.rss()) / (1 << 20)
	after, err := a.status(ctx)
	if err != nil {
		return 0, 0, 0, nil, err
	}
	for _, d := range after.Decisions {
		if d.Time > before.Time {
			writes++
			if writes <= 3 {
				b.Say(fmt.Sprintf("    wrote %s: %s to %s (%s)", d.File, d.Old, d.New, d.Why))
			}
		}
	}
	return cores, writes, rss, b.Limits.Check(u), nil
}

// crowd makes n cgroups with one sleeping process each: a fifth LS with a
// limit, three tenths best effort, the rest unclassed.
func (b *bencher) crowd(n int) (stop func(), err error) {
	var groups []*group
	var sleepers []*exec.Cmd
	stop = func() {
		for _, c := range sleepers {
			_ = c.Process.Kill()
			_ = c.Wait()
		}
		for i := len(groups) - 1; i >= 0; i-- {
			b.drop(groups[i])
		}
	}
	for i := range n {
		rel := fmt.Sprintf("/anole-bench-crowd/%d", i)
		switch {
		case i%10 < 2:
			rel = fmt.Sprintf("/anole-ls/bench-crowd-%d", i)
		case i%10 < 5:
			rel = fmt.Sprintf("/anole-be/bench-crowd-%d", i)
		}
		g, err := b.group(rel)
		if err != nil {
			return stop, err
		}
		groups = append(groups, g)
		if i%10 < 2 {
			if err := g.limit(kubernetes()); err != nil {
				return stop, err
			}
		}
		c := exec.Command("sleep", "infinity")
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if err := b.spawn(c); err != nil {
			return stop, fmt.Errorf("start sleep: %w", err)
		}
		sleepers = append(sleepers, c)
		if err := g.enter(c.Process.Pid); err != nil {
			return stop, err
		}
	}
	return stop, nil
}

// startUp measures the way from exec to ready, and the binary.
func (b *bencher) startUp(ctx context.Context) ([]benchfmt.Result, error) {
	n := 20
	if b.o.Short {
		n = 2
	}
	var ready []float64
	for range n {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		a, err := b.agent("")
		if err != nil {
			return nil, err
		}
		ready = append(ready, float64(a.ready.Microseconds())/1000)
		a.stop()
	}
	binary, err := filepath.EvalSymlinks(b.Agent[0])
	if err != nil {
		return nil, err
	}
	st, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		single("start-ready", "from exec of anole up to ready", "ms", "<=300", ready),
		single("binary-size", "the binary, stripped", "MB", "<=60", []float64{float64(st.Size()) / 1e6}),
	}, nil
}
