package control

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

type cacheRig struct {
	c   *Cache
	o   CacheOptions
	now time.Time
}

func newCacheRig() *cacheRig {
	o := DefaultCache()
	o.HasCache, o.HasBandwidth = true, true
	return &cacheRig{NewCache(o), o, time.Unix(1_000_000, 0)}
}

// quiet is a look without any sign of trouble.
func quiet() CacheSignals { return CacheSignals{Sensitives: 1, CPI: 0.9, Misses: 0.9, Saturation: 0.3} }

func (r *cacheRig) step(in CacheSignals) (Shares, string) {
	r.now = r.now.Add(time.Second)
	in.Now = r.now
	return r.c.Step(in)
}

func TestCacheIsFreeWithoutSensitiveWork(t *testing.T) {
	r := newCacheRig()
	if s, why := r.step(CacheSignals{CPI: 9, Misses: 9, Saturation: 9}); s != (Shares{1, 1}) || why != "" {
		t.Errorf("%+v %q", s, why)
	}
	if s, why := r.step(quiet()); s != (Shares{0.3, 1}) || why == "" {
		t.Errorf("it came: %+v %q", s, why)
	}
	if s, why := r.step(CacheSignals{}); s != (Shares{1, 1}) || why == "" {
		t.Errorf("it left: %+v %q", s, why)
	}
}

func TestCacheCutsWhatHelps(t *testing.T) {
	for _, c := range []struct {
		name string
		hurt func(*CacheSignals)
		want Shares
		say  string
	}{
		{"CPI", func(s *CacheSignals) { s.CPI = 1.3 }, Shares{0.18, 1}, "cycles per instruction 1.30"},
		{"misses", func(s *CacheSignals) { s.Misses, s.CPI = 1.5, 1.1 }, Shares{0.18, 1}, "memory traffic 1.50"},
		{"saturation", func(s *CacheSignals) { s.Saturation = 0.95 }, Shares{0.3, 0.6}, "95 % of its peak > 80 %"},
	} {
		r := newCacheRig()
		r.step(quiet())
		in := quiet()
		c.hurt(&in)
		s, why := r.step(in)
		if math.Abs(s.Cache-c.want.Cache) > 1e-9 || math.Abs(s.Bandwidth-c.want.Bandwidth) > 1e-9 || !strings.Contains(why, c.say) {
			t.Errorf("%s: %+v %q", c.name, s, why)
		}
	}
}

func TestCacheHasNothingLeftToGive(t *testing.T) {
	r := newCacheRig()
	r.step(quiet())
	in := quiet()
	in.CPI = 2
	changes := 0
	var s Shares
	for range 180 {
		var why string
		if s, why = r.step(in); why != "" {
			changes++
		}
	}
	if s != (Shares{r.o.Cache.Min, r.o.Bandwidth.Min}) {
		t.Errorf("three minutes of trouble leave %+v", s)
	}
	if changes > 10 {
		t.Errorf("%d changes: it writes on though there is nothing left", changes)
	}
}

func TestCacheCutsWithPauses(t *testing.T) {
	r := newCacheRig()
	r.step(quiet())
	in := quiet()
	in.CPI = 2
	first, _ := r.step(in)
	for range 9 {
		if s, why := r.step(in); s != first || why != "" {
			t.Fatalf("cut again by the same sample: %+v", s)
		}
	}
	second, why := r.step(in)
	if second.Cache >= first.Cache || why == "" {
		t.Errorf("not cut again by the next: %+v", second)
	}
	in.Saturation = 3
	if s, why := r.step(in); s != second || why != "" {
		t.Errorf("the bus is full, cut again after a second: %+v", s)
	}
	if s, why := r.step(in); s.Bandwidth >= second.Bandwidth || why == "" {
		t.Errorf("the bus is full, not cut again after two: %+v", s)
	}
}

func TestCacheGrowsBackSlowly(t *testing.T) {
	r := newCacheRig()
	r.step(quiet())
	in := quiet()
	in.CPI = 2
	for range 120 {
		r.step(in)
	}
	began, was := r.now, r.c.Shares()
	for range 600 {
		s, why := r.step(quiet())
		if s == was {
			continue
		}
		if why == "" || r.now.Sub(began) < r.o.Settle {
			t.Fatalf("grew to %+v after %v (%q)", s, r.now.Sub(began), why)
		}
		if s.Cache-was.Cache > r.o.Step+1e-9 || s.Bandwidth-was.Bandwidth > r.o.Step+1e-9 {
			t.Fatalf("grew by a leap: %+v to %+v", was, s)
		}
		began, was = r.now, s
	}
	if was != (Shares{r.o.Cache.Max, r.o.Bandwidth.Max}) {
		t.Errorf("ten quiet minutes and still %+v", was)
	}
}

func TestCacheHoldsOnMissingData(t *testing.T) {
	r := newCacheRig()
	r.step(quiet())
	in := quiet()
	in.CPI = 2
	cut, _ := r.step(in)
	nan := math.NaN()
	for range 300 {
		if s, why := r.step(CacheSignals{Sensitives: 1, CPI: nan, Misses: nan, Saturation: nan}); s != cut || why != "" {
			t.Fatalf("moved without a signal: %+v %q", s, why)
		}
	}
	r.now = r.now.Add(-time.Hour)
	for range 30 {
		if s, _ := r.step(quiet()); s.Cache > cut.Cache {
			return
		}
	}
	t.Error("the clock went back an hour and it never grows again")
}

func TestCacheStaysInItsSpans(t *testing.T) {
	r := newCacheRig()
	rng := rand.New(rand.NewPCG(3, 4))
	for i := range 20000 {
		in := CacheSignals{Sensitives: rng.IntN(4), CPI: rng.Float64() * 2, Misses: rng.Float64() * 2, Saturation: rng.Float64()}
		switch rng.IntN(8) {
		case 0:
			in.CPI = math.NaN()
		case 1:
			in.Saturation = math.Inf(1)
		case 2:
			r.o.Cache = Span{0.05 + rng.Float64()*0.2, 0.3 + rng.Float64()*0.5}
			r.c.SetOptions(r.o)
		case 3:
			r.now = r.now.Add(time.Duration(rng.Int64N(int64(20*time.Second))) - 10*time.Second)
		}
		s, why := r.step(in)
		free := in.Sensitives == 0
		if free && s != (Shares{1, 1}) || !free && (s.Cache < r.o.Cache.Min || s.Cache > r.o.Cache.Max || s.Bandwidth < r.o.Bandwidth.Min || s.Bandwidth > r.o.Bandwidth.Max) {
			t.Fatalf("step %d: %+v of %+v (%q)", i, s, r.o, why)
		}
	}
}
