package control

import (
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
)

const tick = 100 * time.Millisecond

// rig steps a Suppressor through samples of a 4-CPU node.
type rig struct {
	s   *Suppressor
	now time.Time
}

func newRig(o SuppressOptions) *rig {
	return &rig{s: NewSuppressor(o), now: time.Unix(1000, 0)}
}

// calm is a sample without any sign of trouble.
func calm(ls, be float64) Sample {
	return Sample{CPUs: 4, Busy: ls + be, Sensitive: ls, BE: be, Pressure: math.NaN(), Throttled: math.NaN(), Sensitives: 1}
}

func (r *rig) step(in Sample) Decision {
	r.now = r.now.Add(tick)
	in.Now = r.now
	return r.s.Step(in)
}

// settle runs until the cap stands and gives it.
func (r *rig) settle(t *testing.T, in Sample) float64 {
	t.Helper()
	var d Decision
	still := 0
	for range 600 {
		if d = r.step(in); d.Changed {
			still = 0
		} else if still++; still > 50 {
			return d.Cap
		}
	}
	t.Fatalf("the cap never settled: %+v", d)
	return 0
}

func TestNoCapWithoutSensitiveWork(t *testing.T) {
	r := newRig(DefaultSuppress())
	in := calm(0, 3.9)
	in.Sensitives = 0
	in.Pressure, in.RunQueueP99, in.RunQueueSamples = 1, time.Second, 1e6
	for range 20 {
		if d := r.step(in); !math.IsInf(d.Cap, 1) || d.Changed {
			t.Fatalf("cap %+v on a node without LS work", d)
		}
	}
}

func TestCapEndsWithSensitiveWork(t *testing.T) {
	r := newRig(DefaultSuppress())
	if got := r.settle(t, calm(2, 2)); math.Abs(got-(0.97*4-2)) > 0.1 {
		t.Fatalf("cap %v, want target - LS = 1.88", got)
	}
	in := calm(0, 2)
	in.Sensitives = 0
	d := r.step(in)
	if !d.Changed || !math.IsInf(d.Cap, 1) || !strings.Contains(d.Why.String(), "no latency-sensitive") {
		t.Fatalf("got %+v after the last LS workload left", d)
	}
}

func TestLoadStepReactsInOneStep(t *testing.T) {
	r := newRig(DefaultSuppress())
	before := r.settle(t, calm(0.4, 3))
	d := r.step(calm(3.2, 0.8))
	if !d.Changed || d.Cap > 0.97*4-3.2+1e-9 {
		t.Fatalf("cap %v -> %+v one step after LS went to 3.2 cores", before, d)
	}
}

func TestBreachCutsInOneStepAndNamesTheWorst(t *testing.T) {
	for _, c := range []struct {
		name string
		hurt func(*Sample)
		want string
	}{
		{"run queue", func(s *Sample) { s.RunQueueP99, s.RunQueueSamples, s.Pressure = 40*time.Millisecond, 1000, 0.3 }, "run-queue p99 40ms > 4ms"},
		{"pressure", func(s *Sample) { s.RunQueueP99, s.RunQueueSamples, s.Pressure = 5*time.Millisecond, 1000, 0.9 }, "pressure 90 % > 25 %"},
		{"throttled", func(s *Sample) { s.Throttled, s.Pressure = 1, 0.3 }, "throttled in 100 % of periods > 10 %"},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := DefaultSuppress()
			o.Throttled = 0.1
			r := newRig(o)
			before := r.settle(t, calm(1, 2))
			in := calm(1, 2)
			c.hurt(&in)
			d := r.step(in)
			if !d.Changed || d.Cap > before*o.Cut+1e-9 {
				t.Fatalf("cap %v -> %v, want a cut to %v of it", before, d.Cap, o.Cut)
			}
			if !strings.Contains(d.Why.String(), c.want) {
				t.Fatalf("why %q, want %q", d.Why, c.want)
			}
		})
	}
}

func TestFewRunQueueSamplesDecideNothing(t *testing.T) {
	r := newRig(DefaultSuppress())
	r.settle(t, calm(1, 2))
	in := calm(1, 2)
	in.RunQueueP99, in.RunQueueSamples = time.Second, minRunQueueSamples-1
	if d := r.step(in); d.Changed {
		t.Fatalf("%d samples moved the cap: %+v", in.RunQueueSamples, d)
	}
}

func TestFloorIsNeverUndercut(t *testing.T) {
	o := DefaultSuppress()
	r := newRig(o)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 5000 {
		in := calm(rng.Float64()*5, rng.Float64()*4)
		in.Steal = rng.Float64() * 4
		if rng.IntN(2) == 0 {
			in.Pressure, in.RunQueueP99, in.RunQueueSamples = rng.Float64()*10, time.Duration(rng.Int64N(1e10)), 1e4
		}
		if d := r.step(in); d.Cap < o.Floor*in.CPUs-1e-12 || math.IsNaN(d.Cap) {
			t.Fatalf("step %d: cap %v is below the floor %v: %+v", i, d.Cap, o.Floor*in.CPUs, in)
		}
	}
}

func TestSlowUp(t *testing.T) {
	o := DefaultSuppress()
	r := newRig(o)
	high := r.settle(t, calm(0.5, 3))
	in := calm(0.5, 3)
	in.Pressure = 1
	var low float64
	for range 30 {
		low = r.step(in).Cap
	}
	if low > o.Floor*4+1e-9 {
		t.Fatalf("thirty breaches left a cap of %v", low)
	}
	began, was := r.now, low
	for range 300 {
		d := r.step(calm(0.5, 3))
		if d.Changed && r.now.Sub(began) < o.Settle {
			t.Fatalf("the cap rose to %v after %v, before Settle", d.Cap, r.now.Sub(began))
		}
		if rise := d.Cap - was; rise > max(o.RisePerSecond*4*tick.Seconds(), o.Deadband*4)+1e-9 {
			t.Fatalf("the cap rose by %v in one step", rise)
		}
		was = d.Cap
	}
	if was < high-o.Deadband*4-1e-9 {
		t.Fatalf("after 30 s of calm the cap is %v, it was %v", was, high)
	}
	if least := time.Duration((high - low) / (o.RisePerSecond * 4) * 0.5 * float64(time.Second)); r.now.Sub(began) < least {
		t.Fatal("came back too fast")
	}
}

func TestSteadyNoiseChangesNothing(t *testing.T) {
	r := newRig(DefaultSuppress())
	rng := rand.New(rand.NewPCG(7, 7))
	noisy := func() Sample {
		in := calm(1.5+rng.NormFloat64()*0.05, 2.2+rng.NormFloat64()*0.1)
		in.Pressure = 0.1 + rng.Float64()*0.1
		in.RunQueueP99, in.RunQueueSamples = time.Duration(1e6+rng.Int64N(2e6)), 5000
		return in
	}
	for range 100 {
		r.step(noisy())
	}
	for i := range 3000 {
		if d := r.step(noisy()); d.Changed {
			t.Fatalf("step %d of a steady state: %+v", i, d)
		}
	}
}

func TestMissingDataHolds(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name string
		in   func() Sample
		by   time.Duration
	}{
		{"busy NaN", func() Sample { s := calm(3, 1); s.Busy = nan; return s }, tick},
		{"LS NaN", func() Sample { s := calm(3, 1); s.Sensitive = nan; return s }, tick},
		{"BE negative", func() Sample { s := calm(3, 1); s.BE = -1; return s }, tick},
		{"busy infinite", func() Sample { s := calm(3, 1); s.Busy = math.Inf(1); return s }, tick},
		{"clock stood still", func() Sample { return calm(3, 1) }, 0},
		{"clock an hour back", func() Sample { return calm(3, 1) }, -time.Hour},
		{"clock a day on", func() Sample { return calm(3, 1) }, 24 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(DefaultSuppress())
			before := r.settle(t, calm(1, 2))
			r.now = r.now.Add(c.by - tick)
			if d := r.step(c.in()); d.Changed || d.Cap != before {
				t.Fatalf("cap %v -> %+v", before, d)
			}
			// It goes on from there: down at once, and up again in time.
			if d := r.step(calm(3, 1)); !d.Changed || d.Cap >= before {
				t.Fatalf("no reaction once data is back: %+v", d)
			}
			if got := r.settle(t, calm(1, 2)); math.Abs(got-before) > 0.1 {
				t.Fatalf("the cap came back to %v, not %v", got, before)
			}
		})
	}
}

func TestMissingObjectivesDecideNothing(t *testing.T) {
	r := newRig(DefaultSuppress())
	before := r.settle(t, calm(1, 2))
	in := calm(1, 2)
	in.Pressure, in.Throttled, in.Steal = math.NaN(), math.NaN(), math.NaN()
	if d := r.step(in); d.Changed || d.Cap != before {
		t.Fatalf("cap %v -> %+v", before, d)
	}
}

func TestStolenTimeIsNotFilled(t *testing.T) {
	r := newRig(DefaultSuppress())
	before := r.settle(t, calm(1, 2))
	in := calm(1, 2)
	in.Steal = 1
	if got := r.settle(t, in); math.Abs(before-got-1) > 0.1 {
		t.Fatalf("cap %v -> %v with one core stolen", before, got)
	}
}

func TestReplayIsDeterministic(t *testing.T) {
	trace := func() []Decision {
		r := newRig(DefaultSuppress())
		rng := rand.New(rand.NewPCG(3, 4))
		var out []Decision
		for range 2000 {
			in := calm(rng.Float64()*3, rng.Float64()*3)
			in.Pressure = rng.Float64() * 0.4
			out = append(out, r.step(in))
		}
		return out
	}
	if a, b := trace(), trace(); !reflect.DeepEqual(a, b) {
		t.Fatal("the same trace gave two answers")
	}
}

// A sample in which the others' load rose may have seen a part of the rise: the
// next one is wanted sooner, and only then.
func TestRiseIsToBeLookedAtAgain(t *testing.T) {
	r := newRig(DefaultSuppress())
	r.settle(t, calm(0.4, 3))
	if r.s.Rising() {
		t.Error("a steady load rises")
	}
	r.step(calm(0.6, 3)) // noise
	if r.s.Rising() {
		t.Error("noise is a rise")
	}
	r.settle(t, calm(0.4, 3))
	for _, high := range []float64{1, 2.5} { // a jump, a leap
		r.step(calm(high, 1))
		if !r.s.Rising() {
			t.Errorf("from 0.4 to %v: no rise", high)
		}
		for range 3 {
			r.step(calm(high, 1))
		}
		if r.s.Rising() {
			t.Errorf("at %v: still rising", high)
		}
		r.settle(t, calm(0.4, 3))
	}
}
