package burst

import (
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

const ms = time.Millisecond

func mustPlan(t *testing.T, s Spec) Plan {
	t.Helper()
	p, err := NewPlan(s)
	if err != nil {
		t.Fatalf("NewPlan(%+v): %v", s, err)
	}
	return p
}

func TestPlanChoosesShortestDeepPeriod(t *testing.T) {
	for _, c := range []struct {
		name   string
		spec   Spec
		want   Bandwidth
		met    bool
		credit bool
	}{
		{"no burst asked", Spec{Limit: 0.3}, Bandwidth{100_000, 30_000, 0}, true, false},
		{"fits default period", Spec{Limit: 0.3, Burst: 50 * ms}, Bandwidth{100_000, 30_000, 20_000}, true, false},
		{"needs a longer period", Spec{Limit: 0.3, Burst: 300 * ms}, Bandwidth{500_000, 150_000, 150_000}, true, false},
		{"deeper than mainline can", Spec{Limit: 0.3, Burst: 900 * ms}, Bandwidth{1_000_000, 300_000, 300_000}, false, true},
		{"anck banks it at once", Spec{Limit: 0.3, Burst: 900 * ms, Limits: ANCK()}, Bandwidth{100_000, 30_000, 870_000}, true, false},
		{"no burst file", Spec{Limit: 0.3, Burst: 300 * ms, Limits: NoBurst()}, Bandwidth{1_000_000, 300_000, 0}, true, false},
		{"stall cuts the period", Spec{Limit: 0.3, Burst: 300 * ms, MaxStall: 200 * ms, CPUs: 2}, Bandwidth{235_294, 70_588, 70_588}, false, true},
		{"stall below the default period", Spec{Limit: 1, MaxStall: 10 * ms}, Bandwidth{10_000, 10_000, 0}, true, false},
		{"small limit lengthens the period", Spec{Limit: 0.004}, Bandwidth{250_000, 1000, 0}, true, false},
		{"decimal limit keeps its quota", Spec{Limit: 0.29}, Bandwidth{100_000, 29_000, 0}, true, false},
	} {
		p := mustPlan(t, c.spec)
		if p.Bandwidth != c.want || p.Met != c.met || p.NeedsCredit != c.credit {
			t.Errorf("%s: got %+v met=%v credit=%v, want %+v %v %v", c.name, p.Bandwidth, p.Met, p.NeedsCredit, c.want, c.met, c.credit)
		}
	}
}

func TestPlanProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	kernels := []Limits{{}, Mainline(), ANCK(), NoBurst()}
	for range 5000 {
		s := Spec{
			Limit: math.Exp(rng.Float64()*14 - 6.5), Burst: time.Duration(rng.Int64N(int64(4 * time.Second))),
			CPUs: rng.IntN(9), Limits: kernels[rng.IntN(len(kernels))],
		}
		if rng.IntN(2) == 0 {
			s.MaxStall = time.Duration(rng.Int64N(int64(time.Second)))
		}
		p, err := NewPlan(s)
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if err := s.Limits.Check(p.Bandwidth); err != nil {
			t.Fatalf("%+v: kernel refuses %+v: %v", s, p.Bandwidth, err)
		}
		if rate := p.Rate(); rate > s.Limit*(1+1e-12) || rate < s.Limit-1.1/float64(p.Period)-2e-9 {
			t.Fatalf("%+v: rate %v is above the limit or more than a microsecond per period below", s, rate)
		}
		if p.Met != (p.Depth >= ceilMicros(s.Burst)) || p.NeedsCredit == p.Met {
			t.Fatalf("%+v: met=%v credit=%v depth=%v", s, p.Met, p.NeedsCredit, p.Depth)
		}
		if p.Period >= DefaultMinPeriod+grid && p.Met && s.Limit > 0.011 {
			pl := planner{Spec: s, nano: nanoCPUs(s.Limit), wanted: ceilMicros(s.Burst)}
			pl.Limits = s.Limits.orMainline()
			if shorter := pl.bandwidth(p.Period - grid); shorter.Depth() >= p.Wanted {
				t.Fatalf("%+v: %v would do, got %v", s, shorter, p.Bandwidth)
			}
		}
		if !p.StallMet && p.Period > 1000 && p.Quota > 1001 && s.CPUs == 0 {
			t.Fatalf("%+v: stall %v not met with room to shorten %+v", s, p.Stall, p.Bandwidth)
		}
	}
}

func TestPlanParent(t *testing.T) {
	parent := &Bandwidth{Period: 100_000, Quota: 33_333, Burst: 0}
	if _, err := NewPlan(Spec{Limit: 0.5, Parent: parent}); !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), "limit") {
		t.Errorf("v1 child above its parent: %v", err)
	}
	p := mustPlan(t, Spec{Limit: 1.0 / 3, Burst: 200 * ms, Parent: parent})
	if err := Mainline().CheckParent(p.Bandwidth, *parent); err != nil {
		t.Errorf("equal limits with rounding: %v", err)
	}
	if p.Met || len(p.Notes) == 0 {
		t.Errorf("a shallow parent must be told: %+v", p)
	}
	unified := Mainline()
	unified.Unified = true
	if p := mustPlan(t, Spec{Limit: 0.5, Parent: parent, Limits: unified}); len(p.Notes) == 0 {
		t.Errorf("v2 parent cuts silently: %+v", p)
	}
	// As measured on 6.18, v1: child 30001 us below parent 30000 us is refused, 150000 us of 500 ms is not.
	par := Bandwidth{Period: 100_000, Quota: 30_000}
	if Mainline().CheckParent(Bandwidth{100_000, 30_001, 0}, par) == nil || Mainline().CheckParent(Bandwidth{500_000, 150_001, 0}, par) == nil {
		t.Error("ratio above the parent accepted")
	}
	if err := Mainline().CheckParent(Bandwidth{500_000, 150_000, 0}, par); err != nil {
		t.Error(err)
	}
}

func TestLimitsMatchKernel(t *testing.T) {
	// Each row was tried on a 6.18 kernel, cgroup v1.
	for _, c := range []struct {
		b  Bandwidth
		ok bool
	}{
		{Bandwidth{1_000_000, 100_000, 0}, true}, {Bandwidth{1_000_001, 100_000, 0}, false}, {Bandwidth{999, 100_000, 0}, false},
		{Bandwidth{100_000, 999, 0}, false}, {Bandwidth{100_000, 1000, 1000}, true}, {Bandwidth{100_000, 1000, 1001}, false},
		{Bandwidth{100_000, 1 << 44, 0}, false}, {Bandwidth{100_000, 1<<44 - 1, 0}, true}, {Bandwidth{100_000, 1<<44 - 1, 1}, false},
		{Bandwidth{100_000, Unlimited, 99_000}, true},
	} {
		if err := (Limits{}).Check(c.b); (err == nil) != c.ok {
			t.Errorf("%+v: %v, want ok=%v", c.b, err, c.ok)
		}
	}
	if ANCK().Check(Bandwidth{100_000, 40_000, 60_000}) != nil {
		t.Error("ANCK takes burst above quota")
	}
}

func TestSpecErrorsNameTheField(t *testing.T) {
	for name, s := range map[string]Spec{
		"limit": {Limit: math.NaN()}, "limit ": {Limit: math.Inf(1)}, "limit  ": {Limit: 1e30}, "limit   ": {Limit: -1}, "limit    ": {},
		"burst": {Limit: 1, Burst: -1}, "burst ": {Limit: 1, Burst: math.MaxInt64}, "max_stall": {Limit: 1, MaxStall: -ms},
		"cpus": {Limit: 1, CPUs: -1}, "min_period": {Limit: 1, MinPeriod: 5}, "limit     ": {Limit: 1e-9},
		"limits": {Limit: 1, Limits: Limits{HasBurst: true}}, "parent period": {Limit: 1, Parent: &Bandwidth{}},
	} {
		_, err := NewPlan(s)
		if !errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), strings.TrimSpace(name)+":") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlanOutput(t *testing.T) {
	p := mustPlan(t, Spec{Limit: 0.3, Burst: 900 * ms, CPUs: 2, MaxStall: 900 * ms})
	text := strings.Join(p.Explain(), "\n")
	for _, want := range []string{"period 1000ms", "bucket depth 600ms", "at most 0.3*T + 810ms on 2 CPUs", "850ms", "300ms short"} {
		if !strings.Contains(text, want) {
			t.Errorf("explanation lacks %q:\n%s", want, text)
		}
	}
	raw, err := json.Marshal(p)
	if err != nil || !strings.Contains(string(raw), `"period_us":1000000,"quota_us":300000,"burst_us":300000`) {
		t.Errorf("json: %s %v", raw, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"0.3", "300m", "NaN", "Inf", "-1", "1e30", "", "0x1p-2", "m", "150ms", "1e30s", "-5ms", "9999999h", "10"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := ParseCPUs(s); err == nil {
			if !(v > 0 && v <= MaxLimit) {
				t.Fatalf("ParseCPUs(%q) = %v", s, v)
			}
		} else if !strings.HasPrefix(err.Error(), "limit: ") {
			t.Fatalf("ParseCPUs(%q): %v does not name the field", s, err)
		}
		if d, err := ParseBudget("burst", s); err == nil {
			if d < 0 || d > MaxBudget {
				t.Fatalf("ParseBudget(%q) = %v", s, d)
			}
		} else if !strings.HasPrefix(err.Error(), "burst: ") {
			t.Fatalf("ParseBudget(%q): %v does not name the field", s, err)
		}
	})
}

func FuzzNewPlan(f *testing.F) {
	f.Add(0.3, int64(300*ms), int64(0), 2, int64(0), int64(0), int64(0), uint8(0))
	f.Add(math.NaN(), int64(-1), int64(1), -1, int64(100_000), int64(30_000), int64(1), uint8(1))
	f.Add(1e30, int64(math.MaxInt64), int64(math.MinInt64), math.MaxInt, int64(-1), int64(-1), int64(math.MaxInt64), uint8(2))
	f.Add(8192.0, int64(MaxBudget), int64(1), 8192, int64(1_000_000), int64(1<<44-1), int64(0), uint8(7))
	f.Fuzz(func(t *testing.T, limit float64, b, stall int64, cpus int, pp, pq, pb int64, kind uint8) {
		s := Spec{Limit: limit, Burst: time.Duration(b), MaxStall: time.Duration(stall), CPUs: cpus}
		s.Limits = []Limits{{}, Mainline(), ANCK(), NoBurst()}[kind&3]
		if kind&4 != 0 {
			s.Parent = &Bandwidth{Micros(pp), Micros(pq), Micros(pb)}
		}
		p, err := NewPlan(s)
		if err != nil {
			var fe *FieldError
			if !errors.As(err, &fe) || fe.Field == "" || fe.Reason == "" {
				t.Fatalf("%+v: error names no field: %v", s, err)
			}
			return
		}
		if err := s.Limits.Check(p.Bandwidth); err != nil || p.Rate() > limit*(1+1e-9) || p.Stall < 0 || p.MaxUse(time.Hour) < 0 {
			t.Fatalf("%+v: bad plan %+v: %v", s, p, err)
		}
	})
}
