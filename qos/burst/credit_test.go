package burst

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func newCredit(t *testing.T, o CreditOptions) *Credit {
	t.Helper()
	c, err := NewCredit(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestCreditNeverMints: over any demand, also a false one, what is granted is at most r*T plus the credit at the start, and never more than was unused.
func TestCreditNeverMints(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		o := CreditOptions{Limit: 0.05 + 2*rng.Float64(), Cap: time.Duration(rng.Int64N(int64(5 * time.Second)))}
		o.Bandwidth = mustPlan(t, Spec{Limit: o.Limit, Burst: time.Duration(rng.Int64N(int64(time.Second)))}).Bandwidth
		o.Initial = time.Duration(rng.Int64N(int64(o.Cap) + 1))
		c := newCredit(t, o)
		var elapsed, used time.Duration
		for range 500 {
			dt := time.Duration(1 + rng.Int64N(int64(200*ms)))
			s := Sample{Dt: dt, Used: time.Duration(rng.ExpFloat64() * o.Limit * float64(dt)), Stalled: rng.IntN(2) == 0}
			elapsed, used = elapsed+dt, used+s.Used
			c.Observe(s)
			if w, ok := c.Want("x"); ok {
				if c.Spend(); rng.IntN(10) == 0 {
					c.Refund()
				}
				if w.Cost != o.Bandwidth.Quota.Duration() || w.Saved < w.Cost {
					t.Fatalf("%+v", w)
				}
			}
			granted := c.Stats().Granted
			if most := o.Limit*float64(elapsed) + float64(o.Cap); float64(granted) > most {
				t.Fatalf("%+v: %v granted in %v", o, granted, elapsed)
			}
			if most := o.Limit*float64(elapsed) + float64(o.Initial); float64(granted) > most+1 {
				t.Fatalf("%+v: %v granted in %v, beyond the initial credit", o, granted, elapsed)
			}
			if c.Stats().Saved > o.Cap {
				t.Fatalf("saved %v above the cap %v", c.Stats().Saved, o.Cap)
			}
		}
	}
}

// TestCreditOnTheKernelModel closes the loop on a kernel without burst: the tail shrinks, and no window uses more than r*T + D + cap + edge.
func TestCreditOnTheKernelModel(t *testing.T) {
	b := Bandwidth{Period: 100_000, Quota: 30_000}
	const cpus, limit = 2, 0.3
	capacity := 300 * ms
	load := batches(13, 5*time.Minute)
	run := func(credit bool) (SimStats, curve, int) {
		var trace []stretch
		s, err := NewSim(b, SimOptions{CPUs: cpus, Limits: NoBurst(), Trace: func(from, to time.Duration, n int) { trace = append(trace, stretch{from, to, n}) }})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Submit(load...); err != nil {
			t.Fatal(err)
		}
		c := newCredit(t, CreditOptions{Limit: limit, Bandwidth: b, Cap: capacity})
		var before SimStats
		for at := 10 * ms; at <= 6*time.Minute; at += 10 * ms {
			s.RunTo(at)
			st := s.stats
			c.Observe(Sample{Dt: 10 * ms, Used: st.Used - before.Used, Throttled: st.ThrottledTime - before.ThrottledTime, Stalled: s.Throttled()})
			before = st
			if _, ok := c.Want("x"); ok && credit && c.Spend() {
				if err := s.Write(b); err != nil {
					t.Fatal(err)
				}
			}
		}
		return s.Stats(), curveOf(trace), c.Stats().Grants
	}
	plain, _, _ := run(false)
	with, c, grants := run(true)
	t.Logf("p99 %v -> %v with %d grants", plain.Delay.P99, with.Delay.P99, grants)
	if grants == 0 || with.Delay.P99 > plain.Delay.P99/2 {
		t.Errorf("credit: p99 %v -> %v with %d grants", plain.Delay.P99, with.Delay.P99, grants)
	}
	// The window that maximises use - r*T, in one pass.
	least, worst := 0.0, 0.0
	for i := range c.at {
		excess := float64(c.used[i]) - limit*float64(c.at[i])
		least = min(least, excess)
		worst = max(worst, excess-least)
	}
	if most := (b.Depth() + b.Quota).Duration() + capacity; worst > float64(most)+1000 {
		t.Errorf("a window used %v above r*T, bound %v", time.Duration(worst), most)
	}
}

func TestCreditHoldsOnMissingData(t *testing.T) {
	c := newCredit(t, CreditOptions{Limit: 1, Bandwidth: Bandwidth{100_000, 100_000, 0}, Cap: time.Second})
	for range 20 {
		c.Observe(Sample{Dt: 100 * ms})
	}
	want := c.Stats()
	if want.Saved != time.Second {
		t.Fatalf("saved %v of an idle group", want.Saved)
	}
	for _, s := range []Sample{{}, {Dt: -1}, {Dt: time.Hour, Stalled: true}, {Dt: ms, Used: -1, Stalled: true}, {Dt: ms, Used: math.MaxInt64, Stalled: true}} {
		c.Observe(s)
		if _, ok := c.Want("x"); ok || c.Stats() != want {
			t.Errorf("%+v changed %+v", s, c.Stats())
		}
	}
	c.Observe(Sample{Dt: 100 * ms, Used: 100 * ms, Stalled: true})
	if _, ok := c.Want("x"); !ok {
		t.Error("a throttled group with credit wants a grant")
	}
	// A changed plan costs the quota its write added.
	if err := c.SetBandwidth(Bandwidth{200_000, 200_000, 0}); err != nil || c.Stats().Saved != 800*ms {
		t.Errorf("saved %v after a write: %v", c.Stats().Saved, err)
	}
	for _, o := range []CreditOptions{{}, {Limit: 1}, {Limit: 1, Bandwidth: Bandwidth{100_000, Unlimited, 0}}, {Limit: math.NaN(), Bandwidth: Bandwidth{100_000, 1000, 0}}, {Limit: 1, Bandwidth: Bandwidth{100_000, 1000, 0}, Initial: 1}} {
		if _, err := NewCredit(o); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestGateHysteresis(t *testing.T) {
	var g Gate
	for i, c := range []struct {
		use  float64
		want bool
	}{{0.5, true}, {0.79, true}, {0.80, false}, {0.78, false}, {math.NaN(), false}, {0.76, false}, {0.75, true}, {0.79, true}, {-1, false}, {0.79, true}, {2, false}} {
		if got := g.Step(c.use); got != c.want {
			t.Errorf("step %d, use %v: %v", i, c.use, got)
		}
	}
}

func TestSelectByHeadroom(t *testing.T) {
	wants := []Want{
		{ID: "big", Cost: 400 * ms, Waiting: 9}, {ID: "b", Cost: 50 * ms, Saved: 100 * ms, Waiting: 2},
		{ID: "a", Cost: 50 * ms, Saved: 100 * ms, Waiting: 2}, {ID: "rich", Cost: 50 * ms, Saved: time.Second, Waiting: 2}, {ID: "free", Waiting: 99},
	}
	var ids string
	for _, w := range Select(wants, 100*ms) {
		ids += w.ID + " "
	}
	if ids != "rich a " || wants[0].ID != "big" {
		t.Errorf("picked %q", ids)
	}
	if got := Select(wants, 0); len(got) != 0 {
		t.Errorf("no headroom picked %v", got)
	}
	if h := Headroom(0.5, 2, 100*ms, 0.8); h < 59*ms || h > 61*ms {
		t.Errorf("headroom %v", h)
	}
	for _, u := range []float64{math.NaN(), 0.9, math.Inf(1)} {
		if h := Headroom(u, 2, 100*ms, 0.8); h != 0 {
			t.Errorf("headroom at %v: %v", u, h)
		}
	}
}
