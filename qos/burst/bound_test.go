package burst

import (
	"math/rand/v2"
	"testing"
	"time"
)

// stretch is a part of a trace with constant use.
type stretch struct {
	from, to time.Duration
	running  int
}

// curve is cumulative use at the ends of stretches: use is linear between, and windows that maximise use - r*T start and end there.
type curve struct{ at, used []time.Duration }

func curveOf(trace []stretch) curve {
	c := curve{at: []time.Duration{0}, used: []time.Duration{0}}
	for _, s := range trace {
		c.at = append(c.at, s.to)
		c.used = append(c.used, c.used[len(c.used)-1]+time.Duration(s.running)*(s.to-s.from))
	}
	return c
}

// randomDemand is a mix of idle gaps, batches and long runs.
func randomDemand(rng *rand.Rand, until time.Duration) []Arrival {
	var out []Arrival
	for at := time.Duration(0); at < until; {
		for range 1 + rng.IntN(6) {
			out = append(out, Arrival{At: at, Work: 1 + time.Duration(rng.Int64N(int64(80*ms)))})
		}
		if rng.IntN(4) == 0 {
			at += time.Duration(rng.Int64N(int64(time.Second)))
		} else {
			at += time.Duration(rng.Int64N(int64(50 * ms)))
		}
	}
	return out
}

func randomBandwidth(rng *rand.Rand, l Limits) Bandwidth {
	b := Bandwidth{Period: 10_000 + Micros(rng.IntN(490_000))}
	b.Quota = 1000 + Micros(rng.Int64N(int64(b.Period)*2))
	if l.BurstMayExceedQuota {
		b.Burst = Micros(rng.Int64N(int64(4 * b.Quota)))
	} else {
		b.Burst = Micros(rng.Int64N(int64(b.Quota) + 1))
	}
	return b
}

func TestNoWindowExceedsTheBound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for run := range 150 {
		l, slice := Mainline(), time.Duration(0)
		if run%3 == 1 {
			l = ANCK()
		}
		if run%3 == 2 {
			slice = 5 * ms
		}
		b, cpus := randomBandwidth(rng, l), 1+rng.IntN(4)
		var trace []stretch
		o := SimOptions{CPUs: cpus, Full: true, Limits: l, Slice: slice, Phase: time.Duration(1 + rng.Int64N(int64(b.Period)*1000)),
			Trace: func(from, to time.Duration, n int) { trace = append(trace, stretch{from, to, n}) }}
		st, err := Simulate(b, o, randomDemand(rng, 5*time.Second), 8*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		c := curveOf(trace)
		for i := range c.at {
			for j := i + 1; j < len(c.at); j++ {
				window := c.at[j] - c.at[i]
				if used, most := c.used[j]-c.used[i], b.MaxUse(window, cpus)+Slack(cpus, slice, 0); used > most {
					t.Fatalf("%+v on %d CPUs: %v used in a window of %v, bound %v", b, cpus, used, window, most)
				}
			}
		}
		if slice == 0 && st.WorstStall > b.WorstStall(cpus).Duration()+time.Microsecond {
			t.Fatalf("%+v on %d CPUs: stall %v, bound %v", b, cpus, st.WorstStall, b.WorstStall(cpus))
		}
	}
}

// TestBoundIsReached runs the trace of the proof: the bound cannot be lowered.
func TestBoundIsReached(t *testing.T) {
	for _, cpus := range []int{1, 2, 4, 16} {
		b := Bandwidth{Period: 100_000, Quota: 30_000, Burst: 30_000}
		var trace []stretch
		o := SimOptions{CPUs: cpus, Full: true, Phase: b.Quota.Duration() / time.Duration(cpus),
			Trace: func(from, to time.Duration, n int) { trace = append(trace, stretch{from, to, n}) }}
		s, err := NewSim(b, o)
		if err != nil {
			t.Fatal(err)
		}
		for range cpus {
			if err := s.Submit(Arrival{Work: time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		s.RunTo(3 * time.Second)
		c := curveOf(trace)
		// From the first refill that is spent alone the slack must be nil but for rounding.
		tail := time.Hour
		for i, at := range c.at {
			if at > time.Second {
				tail = min(tail, b.MaxUse(at, cpus)-c.used[i])
			}
		}
		if tail < 0 || tail > 2*time.Microsecond {
			t.Errorf("%d CPUs: bound missed by %v", cpus, tail)
		}
		// Which also shows that r*T + D alone does not hold for any window.
		beyond := time.Duration(0)
		for i, at := range c.at {
			beyond = max(beyond, c.used[i]-time.Duration(0.3*float64(at))-b.Depth().Duration())
		}
		if beyond < b.EdgeUse(cpus).Duration()-2*time.Microsecond {
			t.Errorf("%d CPUs: went %v beyond r*T + D, edge term says %v", cpus, beyond, b.EdgeUse(cpus))
		}
	}
}

func TestStallIsReached(t *testing.T) {
	b := Bandwidth{Period: 100_000, Quota: 30_000, Burst: 30_000}
	st, err := Simulate(b, SimOptions{CPUs: 2}, []Arrival{{Work: time.Second}, {Work: time.Second}}, 2*time.Second)
	if err != nil || st.WorstStall != b.WorstStall(2).Duration() || st.WorstStall != 85*ms {
		t.Errorf("stall %v, want %v: %v", st.WorstStall, b.WorstStall(2), err)
	}
}

func TestCoveredPeakIsNeverThrottled(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	covered := 0
	for range 300 {
		b := randomBandwidth(rng, ANCK())
		arrivals := randomDemand(rng, 3*time.Second)
		// Excess demand over r, as the unlimited group shows it.
		peak, level, rate := 0.0, 0.0, b.Rate()
		_, err := Simulate(Bandwidth{Period: 100_000, Quota: Unlimited}, SimOptions{CPUs: 4, Trace: func(from, to time.Duration, n int) {
			level = max(0, level+(float64(n)-rate)*float64(to-from))
			peak = max(peak, level)
		}}, arrivals, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if rate >= 4 || !b.CoversPeak(Micros(peak/1000)+1) {
			continue
		}
		covered++
		st, err := Simulate(b, SimOptions{CPUs: 4, Full: true, Limits: ANCK(), Phase: time.Duration(1 + rng.Int64N(int64(b.Period)*1000))}, arrivals, time.Minute)
		if err != nil || st.Stalled != 0 {
			t.Fatalf("%+v covers a peak of %.0f us but stalled %v: %v", b, peak/1000, st.Stalled, err)
		}
	}
	if covered < 20 {
		t.Fatalf("only %d covered cases: the test does not stress", covered)
	}
}
