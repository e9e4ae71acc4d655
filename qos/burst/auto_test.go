package burst

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newAuto(t *testing.T, o AutoOptions) *Auto {
	t.Helper()
	a, err := NewAuto(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// ticker feeds 100 ms ticks.
type ticker struct {
	a  *Auto
	at time.Duration
}

func (k *ticker) tick(used, throttled time.Duration) Advice {
	k.at += 100 * ms
	return k.a.Observe(Usage{At: k.at, Dt: 100 * ms, Used: used, Throttled: throttled})
}

func TestAutoFindsTheExcess(t *testing.T) {
	k := &ticker{a: newAuto(t, AutoOptions{Limit: 0.3, Margin: 1})}
	// Once a second 150 ms of CPU time in one tick, 50 in the next: excess 120 + 20 ms.
	var last Advice
	for i := range 3 * 600 {
		used := map[int]time.Duration{0: 150 * ms, 1: 50 * ms}[i%10]
		last = k.tick(used, 0)
	}
	if last.Peak < 139*ms || last.Peak > 141*ms || last.Burst < 279*ms || last.Burst > 281*ms {
		t.Errorf("peak %v, burst %v, want 140 ms and its double on mainline", last.Peak, last.Burst)
	}
	anck := &ticker{a: newAuto(t, AutoOptions{Limit: 0.3, Margin: 1, Limits: ANCK()})}
	for i := range 3 * 600 {
		last = anck.tick(map[int]time.Duration{0: 150 * ms, 1: 50 * ms}[i%10], 0)
	}
	if last.Burst < 169*ms || last.Burst > 171*ms {
		t.Errorf("burst %v, want 140 + 30 ms on ANCK", last.Burst)
	}
}

// TestAutoEndsThrottling closes the loop with the simulator: from Kubernetes' setting the learner reaches a plan that does not throttle.
func TestAutoEndsThrottling(t *testing.T) {
	plan := Bandwidth{Period: 100_000, Quota: 30_000}
	s, err := NewSim(plan, SimOptions{CPUs: 2})
	if err != nil {
		t.Fatal(err)
	}
	const total = 40 * time.Minute
	if err := s.Submit(batches(11, total)...); err != nil {
		t.Fatal(err)
	}
	a := newAuto(t, AutoOptions{Limit: 0.3, Initial: 30 * ms})
	var before, half SimStats
	changes := 0
	for at := 100 * ms; at <= total; at += 100 * ms {
		s.RunTo(at)
		st := s.stats
		adv := a.Observe(Usage{At: at, Dt: 100 * ms, Used: st.Used - before.Used, Throttled: st.ThrottledTime - before.ThrottledTime})
		before = st
		if at == total/2 {
			half = st
		}
		if adv.Changed && at > 100*ms {
			changes++
			if err := s.Write(mustPlan(t, Spec{Limit: 0.3, Burst: adv.Burst, CPUs: 2}).Bandwidth); err != nil {
				t.Fatal(err)
			}
		}
	}
	late := before.Throttled - half.Throttled
	t.Logf("%d changes, b %v, throttled periods %d in the first half, %d in the second", changes, a.Burst(), half.Throttled, late)
	if half.Throttled < 20 || late > half.Throttled/10 {
		t.Errorf("throttled periods: first half %d, second %d", half.Throttled, late)
	}
	if changes == 0 || changes > 15 {
		t.Errorf("%d plan changes in 40 min", changes)
	}
}

func TestAutoHysteresis(t *testing.T) {
	k := &ticker{a: newAuto(t, AutoOptions{Limit: 1, Initial: 200 * ms})}
	k.tick(0, 0)
	var ups []time.Duration
	for range 3600 { // six minutes throttled all the time
		if adv := k.tick(100*ms, 20*ms); adv.Changed {
			if adv.Reason != "throttled" {
				t.Errorf("reason %q", adv.Reason)
			}
			ups = append(ups, k.at)
		}
	}
	if len(ups) == 0 || len(ups) > 6 {
		t.Errorf("%d increases in 6 min, want one a minute at most: %v", len(ups), ups)
	}
	for i := 1; i < len(ups); i++ {
		if ups[i]-ups[i-1] < time.Minute {
			t.Errorf("increases %v apart", ups[i]-ups[i-1])
		}
	}
	high := k.a.Burst()
	if high != 2*time.Second {
		t.Errorf("throttled all the time: %v, want the cap of 2 s", high)
	}
	quiet := k.at
	for k.a.Burst() == high {
		if k.tick(10*ms, 0); k.at > quiet+3*time.Hour {
			t.Fatal("never came down")
		}
	}
	if k.at-quiet < 10*time.Minute {
		t.Errorf("came down after %v", k.at-quiet)
	}
}

func TestAutoIsReplayable(t *testing.T) {
	run := func() []Advice {
		rng := rand.New(rand.NewPCG(1, 1))
		k := &ticker{a: newAuto(t, AutoOptions{Limit: 0.5, Quantile: 0.999})}
		var out []Advice
		for range 5000 {
			out = append(out, k.tick(time.Duration(rng.ExpFloat64()*40e6), time.Duration(rng.IntN(50)/49)*ms))
		}
		return out
	}
	a, b := run(), run()
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("tick %d: %+v and %+v", i, a[i], b[i])
		}
		if a[i].Burst < 0 || a[i].Burst > time.Second {
			t.Fatalf("tick %d: %v outside the caps", i, a[i].Burst)
		}
	}
}

func TestAutoQuantileIgnoresOneOutlier(t *testing.T) {
	load := func(q float64) time.Duration {
		k := &ticker{a: newAuto(t, AutoOptions{Limit: 1, Quantile: q, Initial: ms, Margin: 1})}
		var adv Advice
		for i := range 12000 {
			used := 110 * ms // ticks of +10 ms and -10 ms
			if i%2 == 1 {
				used = 90 * ms
			}
			if i == 6000 {
				used = 900 * ms
			}
			if i > 6000 && i < 6010 {
				used = 0
			}
			adv = k.tick(used, 0)
		}
		return adv.Peak
	}
	if full, q := load(0), load(0.99); full < 800*ms || q > 12*ms {
		t.Errorf("peak %v with the maximum, %v with p99", full, q)
	}
}

func TestAutoSurvivesBadReadings(t *testing.T) {
	k := &ticker{a: newAuto(t, AutoOptions{Limit: 1})}
	k.tick(50*ms, 0)
	want := k.a.Burst()
	for _, u := range []Usage{
		{At: k.at + 1, Dt: -1}, {At: k.at + 1, Dt: time.Hour, Used: time.Hour}, {At: k.at + 1, Dt: ms, Used: -ms}, {At: k.at - time.Hour, Dt: 100 * ms},
		{At: k.at + 1, Dt: ms, Used: math.MaxInt64}, {At: k.at + 1, Dt: ms, Throttled: -1}, {},
	} {
		if adv := k.a.Observe(u); adv.Changed || adv.Burst != want || adv.Depth != 0 {
			t.Errorf("%+v: %+v", u, adv)
		}
	}
	for _, o := range []AutoOptions{{}, {Limit: math.NaN()}, {Limit: 1, Min: 2, Max: 1}, {Limit: 1, Quantile: math.NaN()}, {Limit: 1, Grow: 0.5}, {Limit: 1, Margin: math.Inf(1)}, {Limit: 1, Window: -1}} {
		if _, err := NewAuto(o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}
