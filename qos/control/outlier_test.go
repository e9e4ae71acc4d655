package control

import (
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

type cpiSecond struct{ cycles, instructions, use float64 }

func cpiTrace(t *testing.T) (out []cpiSecond) {
	t.Helper()
	b, err := os.ReadFile("testdata/cpi.csv")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		var v [3]float64
		for i, f := range strings.Split(strings.TrimSpace(line), ",") {
			if v[i], err = strconv.ParseFloat(f, 64); err != nil {
				t.Fatal(err)
			}
		}
		out = append(out, cpiSecond{v[0], v[1], v[2]})
	}
	return out
}

func TestOutlierFindsTheHogOfATrace(t *testing.T) {
	x := NewOutlier(DefaultOutlier())
	now := time.Unix(1_000_000, 0)
	var first, last int
	for i, s := range cpiTrace(t) {
		now = now.Add(time.Second)
		v := x.Step(now, s.cycles, s.instructions, s.use)
		switch {
		case i < 295 && !math.IsNaN(v.Threshold):
			t.Fatalf("second %d: judged after less than five minutes", i)
		case i > 320 && i < 600 && math.IsNaN(v.Factor()):
			t.Fatalf("second %d: five minutes have not sufficed", i)
		}
		if !v.Anomalous {
			continue
		}
		if v.Factor() <= 1 || v.Value <= v.Threshold || v.Mean > 1.5 {
			t.Fatalf("second %d: %+v", i, v)
		}
		if first == 0 {
			first = i
		}
		last = i
	}
	// Three samples of 10 s, of which the first may have begun before.
	if first < 600 || first > 645 || last < 715 || last > 735 {
		t.Errorf("anomalous from second %d to %d, the hog ran from 600 to 720", first, last)
	}
}

// feed gives ten samples of a second, one of the Outlier's, and its verdict.
func feed(x *Outlier, now *time.Time, value, use float64) (v Verdict) {
	for range 10 {
		*now = now.Add(time.Second)
		v = x.Step(*now, value*1e9*use, 1e9*use, use)
	}
	return v
}

func TestOutlierNeedsThreeHitsOfABusyWorkload(t *testing.T) {
	x := NewOutlier(DefaultOutlier())
	now := time.Unix(1_000_000, 0)
	x.Step(now, 0, 0, 0)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		feed(x, &now, 1+rng.NormFloat64()*0.03, 1)
	}
	if v := feed(x, &now, 5, 0.1); v.Outlier || !math.IsNaN(v.Factor()) {
		t.Errorf("a workload that hardly runs: %+v", v)
	}
	for i := range 3 {
		v := feed(x, &now, 5, 1)
		if !v.Outlier || v.Anomalous != (i == 2) || (v.Factor() > 1) != (i == 2) {
			t.Errorf("outlier %d: %+v", i+1, v)
		}
	}
	if v := feed(x, &now, 1, 1); v.Outlier || v.Anomalous || v.Factor() > 1 {
		t.Errorf("it is over: %+v", v)
	}
	for range 40 { // the outliers are more than five minutes ago
		feed(x, &now, 1, 1)
	}
	if v := feed(x, &now, 5, 1); v.Anomalous {
		t.Errorf("one outlier in five minutes: %+v", v)
	}
}

func TestOutlierTakesALastingChangeForUsual(t *testing.T) {
	x := NewOutlier(DefaultOutlier())
	now := time.Unix(1_000_000, 0)
	x.Step(now, 0, 0, 0)
	for range 60 {
		feed(x, &now, 1, 1)
	}
	if v := feed(x, &now, 1.2, 1); !v.Outlier {
		t.Fatalf("%+v", v)
	}
	for i := range 24 * 360 { // a day
		if v := feed(x, &now, 1.2, 1); !v.Outlier {
			t.Logf("usual after %v", time.Duration(i)*10*time.Second)
			return
		}
	}
	t.Fatal("a day of the same is still an outlier")
}

func TestOutlierSurvivesHolesAndJumps(t *testing.T) {
	x := NewOutlier(DefaultOutlier())
	now := time.Unix(1_000_000, 0)
	x.Step(now, 0, 0, 0)
	for range 60 {
		feed(x, &now, 1, 1)
	}
	for _, by := range []time.Duration{-time.Hour, 0, 24 * time.Hour} {
		now = now.Add(by)
		if v := x.Step(now, 5e12, 1e9, 1); v.Outlier {
			t.Errorf("jump by %v: %+v", by, v)
		}
	}
	for range 100 {
		now = now.Add(time.Second)
		if v := x.Step(now, math.NaN(), 1e9, 1); v.Outlier || v.Value != 1 {
			t.Fatalf("nothing was counted: %+v", v)
		}
	}
	if v := feed(x, &now, 1, 1); v.Outlier || math.IsNaN(v.Threshold) {
		t.Errorf("afterwards: %+v", v)
	}
}

func TestCPIObjectiveCuts(t *testing.T) {
	o := DefaultSuppress()
	o.CPI = 1
	r := newRig(o)
	before := r.settle(t, calm(1, 2))
	in := calm(1, 2)
	in.CPI, in.CPIOf = 1.4, "web"
	d := r.step(in)
	if !d.Changed || d.Cap > before*o.Cut+1e-9 || !strings.Contains(d.Why.String(), "cycles per instruction of web 1.40 times") {
		t.Errorf("%v -> %+v", before, d)
	}
	r = newRig(DefaultSuppress()) // off by default
	before = r.settle(t, calm(1, 2))
	if d = r.step(in); d.Changed {
		t.Errorf("no objective: %v -> %+v", before, d)
	}
	in.CPI = math.NaN()
	r = newRig(o)
	r.settle(t, calm(1, 2))
	if d = r.step(in); d.Changed {
		t.Errorf("not known: %+v", d)
	}
}
