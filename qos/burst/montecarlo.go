package burst

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// Distribution is the shape of a group's demand in one period.
type Distribution string

// Demand shapes of the OpenAnolis study. Pareto is the heavy tail.
const (
	Exponential Distribution = "exponential"
	Pareto      Distribution = "pareto"
)

// MCOptions describes m equal groups that share one node.
type MCOptions struct {
	Groups       int          // m
	Share        float64      // quota of a group as a part of the node; 0 = 1/m
	Utilisation  float64      // u_avg: mean demand of a group as a part of its quota, in (0, 1)
	Burst        float64      // b: burst buffer in quotas; 1 is the mainline maximum
	Distribution Distribution // "" = Exponential
	Alpha        float64      // tail index of Pareto, above 1; 0 = 2.5
	Periods      int          // periods simulated in all; 0 = 200,000; rounded up to a multiple of 64
	Seed         uint64       // same seed, same result, whatever Workers is
	Workers      int          // goroutines; 0 = GOMAXPROCS
	// Progress, if set, is told how many of all chunks are done. Calls do not overlap and never go back.
	Progress func(done, total int)
}

// Estimate is a mean with its 95 % confidence interval.
type Estimate struct {
	Mean float64 `json:"mean"`
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// MCResult is the outcome for the node.
type MCResult struct {
	// Overload is P(sum of what the groups may run in a period > 100 % of the node): the deadline is missed although every group keeps its plan.
	Overload Estimate `json:"overload"`
	// WCET is the mean number of periods until everything admitted in a period has run, at least 1, work left over from earlier periods included.
	WCET Estimate `json:"wcet"`
	// WCETRatio is WCET over the same demand without burst, which is 1 as long as the quotas sum to at most the node.
	WCETRatio Estimate `json:"wcet_ratio"`
	// Throttled and ThrottledBase are the parts of all group-periods that ended with demand held back, with and without burst: what burst is for.
	Throttled     Estimate `json:"throttled"`
	ThrottledBase Estimate `json:"throttled_without_burst"`
	NodeUse       float64  `json:"node_use"` // mean admitted demand as a part of the node
	Periods       int      `json:"periods"`
}

// chunks is the number of independent chains, each with its own random stream: the unit of work, and the sample of the confidence intervals.
const chunks = 64

// tQuantile is Student's t for 95 % and chunks-1 degrees of freedom.
const tQuantile = 1.9983

// Validate reports the first unusable field as a *FieldError.
func (o MCOptions) Validate() error {
	switch {
	case o.Groups < 1 || o.Groups > 10_000:
		return field("groups", o.Groups, "must be between 1 and 10000")
	case !(o.Share >= 0 && o.Share <= 1):
		return field("share", o.Share, "must be between 0 and 1")
	case !(o.Utilisation > 0 && o.Utilisation < 1):
		return field("utilisation", o.Utilisation, "must be between 0 and 1, both excluded")
	case !(o.Burst >= 0 && o.Burst <= 1000):
		return field("burst", o.Burst, "must be between 0 and 1000 quotas")
	case o.Distribution != "" && o.Distribution != Exponential && o.Distribution != Pareto:
		return field("distribution", o.Distribution, "must be exponential or pareto")
	case o.Alpha != 0 && !(o.Alpha > 1 && o.Alpha <= 100):
		return field("alpha", o.Alpha, "must be above 1 and at most 100")
	case o.Periods < 0 || o.Periods > 1_000_000_000:
		return field("periods", o.Periods, "must be between 0 and 1000000000")
	case o.Workers < 0:
		return field("workers", o.Workers, "must not be negative")
	}
	return nil
}

func (o MCOptions) defaults() MCOptions {
	if o.Share == 0 {
		o.Share = 1 / float64(o.Groups)
	}
	if o.Alpha == 0 {
		o.Alpha = 2.5
	}
	if o.Periods == 0 {
		o.Periods = 200_000
	}
	if o.Workers == 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	return o
}

// MonteCarlo estimates what burst costs the neighbours: m groups with quotas of 1/m of the node draw independent demand each period, carry over what
// their token bucket held back, and may together ask for more than the node has. The model is that of the OpenAnolis series "CPU Burst" and of the
// "Burst feature" section of Documentation/scheduler/sched-bwc.rst, which judges interference by the probability of a missed deadline and the average
// WCET; their conclusion is that it is negligible below about 70 % node use, and smaller with more groups.
//
// It blocks until done or until ctx ends, which is the only error besides *FieldError.
func MonteCarlo(ctx context.Context, o MCOptions) (MCResult, error) {
	if err := o.Validate(); err != nil {
		return MCResult{}, err
	}
	o = o.defaults()
	per := (o.Periods + chunks - 1) / chunks
	samples := make([]chunk, chunks)
	next := make(chan int, chunks)
	for i := range chunks {
		next <- i
	}
	close(next)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range min(o.Workers, chunks) {
		wg.Go(func() {
			for i := range next {
				if samples[i] = runChunk(ctx, o, i, per); ctx.Err() != nil {
					return
				}
				mu.Lock()
				if done++; o.Progress != nil {
					o.Progress(done, chunks)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return MCResult{}, fmt.Errorf("simulate %d groups: %w", o.Groups, err)
	}
	return summarise(samples, o, per), nil
}

// chunk holds the means over one chain.
type chunk struct{ overload, wcet, ratio, throttled, throttledBase, use float64 }

// chain is one group's state, in quotas.
type chain struct{ backlog, tokens float64 }

// step admits demand u and returns what may run and whether some was held back.
func (c *chain) step(u, burst float64) (run float64, held bool) {
	want := c.backlog + u
	run = min(want, 1+c.tokens)
	c.backlog = want - run
	c.tokens = min(burst, c.tokens+1-run)
	return run, c.backlog > 0
}

// runChunk runs one chain with and one without burst on the same demand. Buckets start full, the harder case, and a tenth of the chain is warm-up.
func runChunk(ctx context.Context, o MCOptions, index, periods int) chunk {
	rng := rand.New(rand.NewPCG(o.Seed, uint64(index)))
	draw := demand(o, rng)
	with, without := make([]chain, o.Groups), make([]chain, o.Groups)
	for i := range with {
		with[i].tokens = o.Burst
	}
	var sum, base node
	warm := max(100, periods/10)
	for p := range warm + periods {
		if p%256 == 0 && ctx.Err() != nil {
			return chunk{}
		}
		if p == warm {
			sum.reset()
			base.reset()
		}
		for i := range with {
			u := draw()
			sum.add(with[i].step(u, o.Burst))
			base.add(without[i].step(u, 0))
		}
		sum.end(o.Share)
		base.end(o.Share)
	}
	n := float64(periods)
	return chunk{
		overload: sum.over / n, wcet: sum.wcet / n, ratio: sum.wcet / base.wcet, use: sum.use / n,
		throttled: sum.held / n / float64(o.Groups), throttledBase: base.held / n / float64(o.Groups),
	}
}

// node adds up what the groups ask of the node.
type node struct{ run, carry, over, wcet, held, use float64 }

func (n *node) add(run float64, held bool) {
	n.run += run
	if held {
		n.held++
	}
}

// end closes a period: the node runs at most 100 % and carries the rest over.
func (n *node) end(share float64) {
	const rounding = 1e-9
	load := n.run * share
	if load > 1+rounding {
		n.over++
	}
	total := n.carry + load
	n.wcet += max(1, total)
	n.carry = max(0, total-1)
	if n.carry < rounding {
		n.carry = 0
	}
	n.use += load
	n.run = 0
}

func (n *node) reset() { *n = node{carry: n.carry} }

// demand returns a source of one period's demand, in quotas, with mean Utilisation.
func demand(o MCOptions, rng *rand.Rand) func() float64 {
	if o.Distribution == Pareto {
		least := o.Utilisation * (o.Alpha - 1) / o.Alpha
		return func() float64 { return least * math.Pow(1-rng.Float64(), -1/o.Alpha) }
	}
	return func() float64 { return o.Utilisation * rng.ExpFloat64() }
}

// summarise merges the chains in their order, so that the result does not depend on who ran them.
func summarise(samples []chunk, o MCOptions, per int) MCResult {
	pick := func(get func(chunk) float64) Estimate {
		values := make([]float64, len(samples))
		for i, s := range samples {
			values[i] = get(s)
		}
		return estimate(values)
	}
	out := MCResult{
		Overload:      pick(func(c chunk) float64 { return c.overload }),
		WCET:          pick(func(c chunk) float64 { return c.wcet }),
		WCETRatio:     pick(func(c chunk) float64 { return c.ratio }),
		Throttled:     pick(func(c chunk) float64 { return c.throttled }),
		ThrottledBase: pick(func(c chunk) float64 { return c.throttledBase }),
		NodeUse:       pick(func(c chunk) float64 { return c.use }).Mean,
		Periods:       per * chunks,
	}
	out.Overload = out.Overload.clamp(per*chunks, 0)
	out.Throttled = out.Throttled.clamp(per*chunks*o.Groups, 0)
	out.ThrottledBase = out.ThrottledBase.clamp(per*chunks*o.Groups, 0)
	return out
}

// clamp keeps a probability's interval in [0, 1] and, when nothing was seen, applies the rule of three.
func (e Estimate) clamp(n int, least float64) Estimate {
	e.Low, e.High = max(least, e.Low), min(1, e.High)
	if e.Mean == 0 {
		e.High = min(1, 3/float64(n))
	}
	return e
}

func estimate(values []float64) Estimate {
	n := float64(len(values))
	mean, sq := 0.0, 0.0
	for _, v := range values {
		mean += v / n
	}
	for _, v := range values {
		sq += (v - mean) * (v - mean)
	}
	half := tQuantile * math.Sqrt(sq/(n-1)/n)
	return Estimate{Mean: mean, Low: mean - half, High: mean + half}
}
