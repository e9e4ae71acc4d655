package burst

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
)

func mc(t *testing.T, o MCOptions) MCResult {
	t.Helper()
	if o.Periods == 0 {
		o.Periods = 40_000
	}
	r, err := MonteCarlo(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The conclusion of the OpenAnolis study: interference is negligible below about 70 % node use, and fades with more groups.
func TestInterferenceIsSmallBelow70Percent(t *testing.T) {
	for _, dist := range []Distribution{Exponential, Pareto} {
		last := -1.0
		for _, u := range []float64{0.3, 0.5, 0.7, 0.9} {
			r := mc(t, MCOptions{Groups: 20, Utilisation: u, Burst: 1, Distribution: dist, Seed: 1})
			t.Logf("%s u=%.1f overload %.5f [%.5f, %.5f] wcet ratio %.4f throttled %.3f -> %.3f", dist, u,
				r.Overload.Mean, r.Overload.Low, r.Overload.High, r.WCETRatio.Mean, r.ThrottledBase.Mean, r.Throttled.Mean)
			if r.Overload.Mean < last {
				t.Errorf("%s: overload falls with utilisation", dist)
			}
			last = r.Overload.Mean
			if u <= 0.5 && (r.Overload.High > 0.01 || r.WCETRatio.High > 1.01) {
				t.Errorf("%s u=%.1f: overload %+v, WCET ratio %+v are not negligible", dist, u, r.Overload, r.WCETRatio)
			}
			if u == 0.7 && (r.Overload.High > 0.1 || r.WCETRatio.High > 1.05) {
				t.Errorf("%s at 70 %%: overload %+v, WCET ratio %+v", dist, r.Overload, r.WCETRatio)
			}
			if u == 0.9 && r.Overload.Low < 0.05 {
				t.Errorf("%s at 90 %%: overload %+v should be plain to see", dist, r.Overload)
			}
			if r.Throttled.Mean >= r.ThrottledBase.Mean {
				t.Errorf("%s u=%.1f: burst did not reduce throttling", dist, u)
			}
			if math.Abs(r.NodeUse-u) > 0.03 {
				t.Errorf("%s u=%.1f: node use %.3f", dist, u, r.NodeUse)
			}
		}
	}
	few := mc(t, MCOptions{Groups: 5, Utilisation: 0.7, Burst: 1, Seed: 2})
	many := mc(t, MCOptions{Groups: 50, Utilisation: 0.7, Burst: 1, Seed: 2})
	if many.Overload.High >= few.Overload.Low {
		t.Errorf("overload should fall with the number of groups: 5 %+v, 50 %+v", few.Overload, many.Overload)
	}
}

func TestNoBurstMeansNoInterference(t *testing.T) {
	r := mc(t, MCOptions{Groups: 10, Utilisation: 0.95, Seed: 3})
	if r.Overload.Mean != 0 || r.WCETRatio.Mean != 1 || r.WCET.Mean > 1+1e-9 || r.Throttled != r.ThrottledBase {
		t.Errorf("quotas that sum to the node cannot overload it: %+v", r)
	}
	if r.Overload.High <= 0 || r.Overload.High > 1e-4 {
		t.Errorf("an event never seen has the upper bound 3/n, got %v", r.Overload.High)
	}
	// One group alone may burst to twice the node.
	if one := mc(t, MCOptions{Groups: 1, Utilisation: 0.5, Burst: 1, Seed: 3}); one.Overload.Low < 0.05 {
		t.Errorf("a single group: %+v", one.Overload)
	}
}

// TestOverloadMatchesTheory compares with a case that has a closed form: a single group, a burst too deep to bind, so all demand is admitted at once and
// the probability that an exponential of mean u exceeds 1 is exp(-1/u).
func TestOverloadMatchesTheory(t *testing.T) {
	const u = 0.4
	r := mc(t, MCOptions{Groups: 1, Utilisation: u, Burst: 1000, Seed: 5, Periods: 400_000})
	want := math.Exp(-1 / u)
	half := (r.Overload.High - r.Overload.Low) / 2
	if math.Abs(r.Overload.Mean-want) > 2.5*half {
		t.Errorf("overload %+v, theory %.5f", r.Overload, want)
	}
}

func TestMonteCarloIsDeterministic(t *testing.T) {
	var results []MCResult
	for _, workers := range []int{1, 2, 7, 64} {
		last := 0
		results = append(results, mc(t, MCOptions{Groups: 7, Utilisation: 0.8, Burst: 1, Seed: 9, Workers: workers, Periods: 6400, Progress: func(done, total int) {
			if done != last+1 || total != chunks {
				t.Errorf("progress went from %d to %d of %d", last, done, total)
			}
			last = done
		}}))
		if last != chunks {
			t.Errorf("progress ended at %d", last)
		}
	}
	for _, r := range results[1:] {
		if r != results[0] {
			t.Errorf("%+v differs from %+v", r, results[0])
		}
	}
	if other := mc(t, MCOptions{Groups: 7, Utilisation: 0.8, Burst: 1, Seed: 10, Periods: 6400}); other == results[0] {
		t.Error("the seed has no effect")
	}
}

func TestMonteCarloStopsAndRefuses(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MonteCarlo(ctx, MCOptions{Groups: 100, Utilisation: 0.5, Periods: 1_000_000_000}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	for name, o := range map[string]MCOptions{
		"groups": {Utilisation: 0.5}, "utilisation": {Groups: 1, Utilisation: math.NaN()}, "burst": {Groups: 1, Utilisation: 0.5, Burst: 1e30},
		"share": {Groups: 1, Utilisation: 0.5, Share: -1}, "distribution": {Groups: 1, Utilisation: 0.5, Distribution: "cauchy"},
		"alpha": {Groups: 1, Utilisation: 0.5, Alpha: 1}, "periods": {Groups: 1, Utilisation: 0.5, Periods: -1}, "workers": {Groups: 1, Utilisation: 0.5, Workers: -1},
	} {
		if _, err := MonteCarlo(context.Background(), o); err == nil || !strings.HasPrefix(err.Error(), name+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
