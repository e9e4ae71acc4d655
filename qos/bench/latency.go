package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos/load"
)

// Phases of the latency bench.
const (
	beAlone = iota
	solo
	unprotected
	fair
	lane
	phaseCount
)

// latencyPhase describes one.
func latencyPhase(kind int, rate float64, cpus int, d time.Duration) phase {
	pid := os.Getpid()
	p := phase{
		ls: fmt.Sprintf("/anole-bench-a-%d", pid), be: fmt.Sprintf("/anole-bench-b-%d", pid),
		threads: 2 * cpus, rate: rate, duration: d,
	}
	inAnole := func() {
		p.protected = true
		p.ls, p.be = fmt.Sprintf("/anole-ls/bench-%d", pid), fmt.Sprintf("/anole-be/bench-%d", pid)
	}
	switch kind {
	case beAlone:
		p.name, p.ls, p.duration = "best effort alone", "", d/2
	case solo:
		p.name, p.be = Solo, ""
	case unprotected:
		p.name = Unprotected
	case fair:
		p.name = Protected
		inAnole()
	case lane:
		p.name = "real-time lane"
		inAnole()
		p.policy = "  ls: {rtLane: {enabled: true}}\n"
	}
	return p
}

// latency measures LS p99, and what best-effort work gets done meanwhile.
func (b *bencher) latency(ctx context.Context) ([]benchfmt.Result, error) {
	rate := 150 * float64(b.cpus)
	rounds := make([][phaseCount]outcome, b.o.Rounds)
	for i, order := range load.Interleave(b.o.Rounds, phaseCount, 1) {
		for _, k := range order {
			p := latencyPhase(k, rate, b.cpus, b.phaseTime(8*time.Second))
			p.seed = uint64(i + 1) // the same arrivals for all phases of a round
			err := b.quiet(ctx, fmt.Sprintf("round %d, %s", i+1, p.name), func() (check, err error) {
				rounds[i][k], check, err = b.mixed(ctx, p)
				return check, err
			})
			if err != nil {
				return nil, err
			}
		}
		x := &rounds[i]
		for _, k := range []int{beAlone, unprotected, fair, lane} {
			y := &x[k]
			b.Say(fmt.Sprintf("  %s: %.0f units/s, BE %.3f cores, %.1f units per CPU ms, LS %.3f, gen %.3f, agent %.3f, node %.1f %%, steal %.1f %%", latencyPhase(k, 0, 1, 0).name, y.beUnits, y.beCPU.Seconds()/y.window.Seconds(),
				y.beUnits*y.window.Seconds()/float64(y.beCPU.Milliseconds()), y.lsCPU.Seconds()/y.window.Seconds(), genShare(y.Result, y.window).Seconds()/y.window.Seconds(), y.agent.Seconds()/y.window.Seconds(), y.usage.Node, y.usage.Steal))
		}
		b.Say(fmt.Sprintf("  round %d: p99 solo %v, unprotected %v, protected %v, lane %v", i+1,
			x[solo].Latency.P99, x[unprotected].Latency.P99, x[fair].Latency.P99, x[lane].Latency.P99))
	}
	return b.latencyResults(rounds)
}

func (b *bencher) latencyResults(rounds [][phaseCount]outcome) ([]benchfmt.Result, error) {
	col := func(k int, f func(*outcome) float64) (out []float64) {
		for i := range rounds {
			out = append(out, f(&rounds[i][k]))
		}
		return out
	}
	p99 := func(o *outcome) float64 { return o.Latency.P99.Seconds() * 1000 }
	perRequest := func(o *outcome) float64 { return o.lsCPU.Seconds() * 1e6 / float64(max(o.OK, 1)) }
	var out []benchfmt.Result
	var failed error
	add := func(r benchfmt.Result, err error) {
		out = append(out, r)
		failed = firstOf(failed, err)
	}
	sp := col(solo, p99)
	add(paired("ls-p99-fair", "LS p99 beside full best-effort load, fair class", "ms", "solo", "<=1.25", col(fair, p99), sp))
	add(paired("ls-p99-lane", "LS p99 beside full best-effort load, real-time lane", "ms", "solo", "<=1.10", col(lane, p99), sp))
	add(paired("ls-p99-unprotected", "LS p99 beside the same load, equal groups, no agent: shows that the load presses", "ms", "solo", ">=3", col(unprotected, p99), sp))
	add(paired("ls-cpu-per-request", "CPU time of an LS request beside full best-effort load", "µs", "solo", "<=1.10", col(fair, perRequest), col(solo, perRequest)))
	var work, node []float64
	for i := range rounds {
		// Idle is what the service alone leaves idle: a service that best-effort
		// work makes dearer must not shrink what that work is measured by.
		m := rounds[i][fair]
		m.lsCPU = time.Duration(rounds[i][solo].lsCPU.Seconds() / rounds[i][solo].window.Seconds() * m.window.Seconds() * 1e9)
		work = append(work, beWork(m, rounds[i][beAlone].beUnits, b.cpus))
		node = append(node, rounds[i][fair].usage.Node/100)
	}
	add(single("be-work", "best-effort work done meanwhile, as a share of the idle capacity", "share", ">=0.90", work), nil)
	add(single("node-cpu", "node CPU meanwhile", "share", ">=0.90", node), nil)
	return out, failed
}
