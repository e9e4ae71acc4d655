package bench

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/load"
)

// stepEvery is the length of each stretch of low and of high LS load.
const stepEvery = 3 * time.Second

// reaction steps the LS load between 10 and 80 % of the node and looks when
// the cap on best-effort work has followed each step up.
func (b *bencher) reaction(ctx context.Context) ([]benchfmt.Result, error) {
	steps := 30
	if b.o.Short {
		steps = 2
	}
	var out []benchfmt.Result
	err := b.quiet(ctx, "reaction", func() (check, err error) {
		delays, check, err := b.steps(ctx, steps)
		if err != nil || check != nil {
			return check, err
		}
		slices.Sort(delays)
		b.Say(fmt.Sprintf("  milliseconds: %.0f", delays))
		r := single("be-cap-reaction", "time from a step of the LS load (10 to 80 % of the node) to the cap on best-effort work, p99", "ms", "<=150", delays)
		r.Ours = delays[min(len(delays)-1, int(float64(len(delays))*0.99))]
		out = []benchfmt.Result{r}
		return nil, nil
	})
	return out, err
}

func (b *bencher) steps(ctx context.Context, n int) (delays []float64, check, err error) {
	pid := os.Getpid()
	a, err := b.agent("")
	if err != nil {
		return nil, nil, err
	}
	defer a.stop()
	ls, err := b.group(fmt.Sprintf("/anole-ls/bench-step-%d", pid))
	if err != nil {
		return nil, nil, err
	}
	defer b.drop(ls)
	svc, url, err := b.service(ls, load.ServiceOptions{})
	if err != nil {
		return nil, nil, err
	}
	defer svc.kill()
	be, err := b.group(fmt.Sprintf("/anole-be/bench-step-%d", pid))
	if err != nil {
		return nil, nil, err
	}
	defer b.drop(be)
	work, err := b.burner(be, 2*b.cpus)
	if err != nil {
		return nil, nil, err
	}
	defer work.kill()
	// A request costs about 1.25 ms of CPU with its HTTP.
	perCPU := 1 / 0.00125
	g := load.GenOptions{URL: url, Rate: 0.1 * float64(b.cpus) * perCPU, Seed: 1, SchedFIFO: true, Duration: time.Duration(2*n+1) * stepEvery, Connections: 256}
	for i := range n {
		// At all phases of the agent's loop, not always at the same one.
		phase := time.Duration(i*37%100) * time.Millisecond
		g.Steps = append(g.Steps, load.Step{At: time.Duration(2*i+1)*stepEvery + phase, Rate: 0.8 * float64(b.cpus) * perCPU}, load.Step{At: time.Duration(2*i+2) * stepEvery, Rate: g.Rate})
	}
	gen, err := b.start(nil, "generate", g)
	if err != nil {
		return nil, nil, err
	}
	defer gen.kill()
	m, err := load.OpenMeter(load.MeterOptions{Cgroups: []string{ls.meterDir(), be.meterDir()}, PIDs: []int{pid, a.pid(), gen.pid()}})
	if err != nil {
		return nil, nil, err
	}
	log, err := follow(ctx, a, g.Duration, be.rel)
	if err != nil {
		return nil, nil, err
	}
	u, err := m.Sample()
	if err != nil {
		return nil, nil, err
	}
	var res load.Result
	if err := gen.read(&res); err != nil {
		return nil, nil, err
	}
	delays, err = reactions(res.Start, g.Steps, log, b.cpus)
	return delays, b.Limits.Check(u), err
}

// capWrite is a write of the best-effort group's quota.
type capWrite struct {
	at    time.Time
	cores float64
}

// follow collects the agent's writes; it keeps only the last ones itself.
func follow(ctx context.Context, a *agent, d time.Duration, rel string) ([]capWrite, error) {
	seen := map[qos.Decision]bool{}
	var out []capWrite
	for end := time.Now().Add(d + time.Second); time.Now().Before(end); {
		s, err := a.status(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range slices.Backward(s.Decisions) {
			if seen[x] || x.Controller != "suppress" || x.Result != "ok" || !strings.Contains(x.File, rel) {
				continue
			}
			seen[x] = true
			if c, ok := quotaCores(x); ok {
				out = append(out, capWrite{time.UnixMilli(x.Time), c})
			}
		}
		if err := pause(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(out, func(a, b capWrite) int { return a.at.Compare(b.at) })
	return out, nil
}

// quotaCores reads the cap from what was written: "QUOTA" µs per 100 ms on v1,
// "QUOTA PERIOD" on v2.
func quotaCores(d qos.Decision) (float64, bool) {
	f := strings.Fields(d.New)
	if len(f) == 0 || !strings.HasSuffix(d.File, "cfs_quota_us") && !strings.HasSuffix(d.File, "cpu.max") {
		return 0, false
	}
	q, err := strconv.ParseFloat(f[0], 64)
	if err != nil || q < 0 {
		return 0, false
	}
	return q / 100_000, true
}

// reactions gives, for each step up, the milliseconds until the cap was within
// a tenth of the node of where it settled: its median from one second after
// the step to the end of the high load.
func reactions(start time.Time, steps []load.Step, log []capWrite, cpus int) ([]float64, error) {
	var out []float64
	for i := 0; i < len(steps); i += 2 {
		at := start.Add(steps[i].At)
		level, ok := settled(at, log)
		if !ok {
			return nil, fmt.Errorf("no write followed the step at %v", steps[i].At)
		}
		for _, w := range log {
			if d := w.at.Sub(at); d >= 0 && w.cores <= level+0.1*float64(cpus) {
				out = append(out, float64(d.Microseconds())/1000)
				break
			}
		}
	}
	return out, nil
}

// settled is the median of the caps in force in the last two thirds of a
// stretch of high load.
func settled(at time.Time, log []capWrite) (float64, bool) {
	var in []float64
	wrote := false
	for d := stepEvery / 3; d < stepEvery; d += 100 * time.Millisecond {
		last := -1.0
		for _, w := range log {
			if !w.at.After(at.Add(d)) {
				last = w.cores
				wrote = wrote || !w.at.Before(at)
			}
		}
		if last >= 0 {
			in = append(in, last)
		}
	}
	if !wrote {
		return 0, false
	}
	return load.Median(in), true
}
