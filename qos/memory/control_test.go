package memory

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/class"
)

func at(ms int) time.Time { return time.Unix(1000, 0).Add(time.Duration(ms) * time.Millisecond) }

const gib = 1 << 30

func TestProtectFollowsUseAndStands(t *testing.T) {
	b := Budget{Most: 8 * gib, Hard: 4 * gib}
	w := []Want{{Used: 100 * MiB, Limit: None}, {Used: 50 * MiB, Limit: 52 * MiB}, {Hard: true, Used: gib, Limit: None}, {}}
	got := Protect(b, w)
	for i, x := range w[:3] {
		if got[i] < x.Used || got[i] > x.Used+x.Used/4 || got[i] > x.Limit {
			t.Errorf("%d: %s for %s", i, size(got[i]), size(x.Used))
		}
		w[i].Held = got[i]
	}
	if got[3] != 0 {
		t.Errorf("a group that uses nothing got %d", got[3])
	}
	for i := range w {
		w[i].Used = w[i].Used / 100 * 98 // noise
	}
	if again := Protect(b, w); !slices.Equal(again, got) {
		t.Errorf("noise moved %v to %v", got, again)
	}
	w[0].Used = 300 * MiB
	if got = Protect(b, w); got[0] < 300*MiB {
		t.Errorf("growth was not followed: %s", size(got[0]))
	}
	w[0].Held, w[0].Used = got[0], 30*MiB
	if got = Protect(b, w); got[0] > 60*MiB {
		t.Errorf("what is not used stayed protected: %s", size(got[0]))
	}
}

// Whatever is asked for, the node is never overcommitted, over any sequence.
func TestProtectNeverOvercommits(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		b := Budget{Most: rng.Uint64N(16 * gib), Hard: rng.Uint64N(8 * gib)}
		w := make([]Want, 1+rng.IntN(40))
		for i := range w {
			w[i] = Want{Hard: rng.IntN(3) == 0, Limit: None}
			if rng.IntN(3) == 0 {
				w[i].Limit = rng.Uint64N(2 * gib)
			}
		}
		for range 20 {
			for i := range w {
				w[i].Used = min(w[i].Limit, rng.Uint64N(2*gib))
			}
			got := Protect(b, w)
			var all, hard uint64
			for i := range w {
				if got[i] > w[i].Limit {
					t.Fatalf("%d protected of a limit of %d", got[i], w[i].Limit)
				}
				if all += got[i]; w[i].Hard {
					hard += got[i]
				}
				w[i].Held = got[i]
			}
			if all > b.Most || hard > b.Hard {
				t.Fatalf("%d of %d, hard %d of %d", all, b.Most, hard, b.Hard)
			}
		}
	}
}

func TestAllowSharesTheRoom(t *testing.T) {
	d := Domain{Total: 16 * gib, Free: 4 * gib, Target: gib, Floor: gib}
	claims := []Claim{{Used: 4 * gib, Pinned: gib, Limit: None}, {Used: 100 * MiB, Pinned: 100 * MiB, Limit: 200 * MiB}, {Limit: None}}
	got := d.Allow(claims)
	if n := sum(got); n > d.Room(4*gib+100*MiB)+3*MiB || n < d.Room(4*gib+100*MiB)-3*MiB {
		t.Errorf("the shares sum to %s of %s", size(n), size(d.Room(4*gib+100*MiB)))
	}
	if got[1] > 200*MiB || got[0] < 4*gib || got[2] < 100*MiB {
		t.Errorf("shares %s %s %s", size(got[0]), size(got[1]), size(got[2]))
	}
	// Others need memory: best-effort work gives its cache, not what it cannot.
	d.Free = 0
	d.Target = 4 * gib
	got = d.Allow(claims)
	if got[0] < gib || got[0] > 2*gib || got[1] < 100*MiB {
		t.Errorf("shares when short: %s %s", size(got[0]), size(got[1]))
	}
}

func TestAllowKeepsTheFloorAndWhatIsPinned(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		total := 64*MiB + rng.Uint64N(64*gib)
		d := Domain{Total: total, Target: rng.Uint64N(total), Floor: rng.Uint64N(total / 4), Free: rng.Uint64N(total), Loose: rng.Uint64N(total)}
		claims := make([]Claim, 1+rng.IntN(20))
		var used, firm uint64
		for i := range claims {
			c := Claim{Used: rng.Uint64N(gib), Limit: None}
			c.Pinned = rng.Uint64N(c.Used + 1)
			if rng.IntN(2) == 0 {
				c.Limit = c.Used + rng.Uint64N(gib)
			}
			claims[i] = c
			used += c.Used
			firm += min(c.Limit, c.Pinned+Margin(c.Pinned))
		}
		got := d.Allow(claims)
		for i, c := range claims {
			if got[i] < min(c.Limit, c.Pinned+Margin(c.Pinned)) || got[i] > c.Limit {
				t.Fatalf("claim %+v got %d", c, got[i])
			}
		}
		if most := max(d.Room(used), firm); sum(got) > most {
			t.Fatalf("%d of %d in all", sum(got), most)
		}
	}
}

func TestAmpleHasHysteresis(t *testing.T) {
	d := Domain{Total: 100, Free: 55}
	if !d.Ample(false) || d.Ample(true) {
		t.Error("55 % free must change nothing")
	}
	if d.Free = 61; !d.Ample(true) {
		t.Error("not released")
	}
	if d.Free = 49; d.Ample(false) {
		t.Error("not bounded")
	}
}

func TestBoundStepsDownWaitsAndComesOffAtOnce(t *testing.T) {
	var b Bound
	o := DefaultBound()
	s := BoundSample{Now: at(0), Used: gib, Pinned: 100 * MiB, Limit: None, Allow: 400 * MiB}
	v, _ := b.Step(s, o)
	if v != gib {
		t.Fatalf("the first bound must cost nothing: %s", size(v))
	}
	steps := 0
	for ms := 0; ms < 20_000; ms += 100 {
		s.Now = at(ms)
		was := v
		if v, _ = b.Step(s, o); v < was {
			steps++
			if s.Used > v && s.Used-v > o.Step {
				t.Fatalf("a step of %s below the use", size(s.Used-v))
			}
			if v < 400*MiB {
				t.Fatalf("below what it may have: %s", size(v))
			}
		}
		s.Used = min(s.Used, v)
		if steps > 0 && ms < 300 && steps > 1 {
			t.Fatal("it did not wait between steps")
		}
	}
	if v > 426*MiB || steps < 8 {
		t.Errorf("ends at %s after %d steps", size(v), steps)
	}
	s.Now, s.Allow = at(20_100), None
	if v, _ = b.Step(s, o); v != None {
		t.Errorf("memory is free again but the bound is %s", size(v))
	}
}

// The bound runs ahead of memory that cannot be reclaimed: it must never be what
// kills a group that grows by less than half a margin between two looks.
func TestBoundNeverPinches(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	o := DefaultBound()
	for range 300 {
		var b Bound
		pinned, cache := rng.Uint64N(gib), rng.Uint64N(gib)
		for ms := 0; ms < 10_000; ms += 100 {
			s := BoundSample{Now: at(ms), Used: pinned + cache, Pinned: pinned, Limit: None, Allow: rng.Uint64N(2 * gib)}
			v, _ := b.Step(s, o)
			grown := pinned + rng.Uint64N(Margin(pinned)/2+1)
			if grown > v {
				t.Fatalf("pinned %s grew to %s above the bound %s", size(pinned), size(grown), size(v))
			}
			if rng.IntN(3) == 0 {
				pinned = grown
			} else {
				pinned = rng.Uint64N(pinned + 1)
			}
			cache = min(rng.Uint64N(gib), v-min(v, pinned))
		}
	}
}

func TestBoundIsQuietInASteadyState(t *testing.T) {
	var b Bound
	rng := rand.New(rand.NewPCG(7, 8))
	changes, last := 0, uint64(0)
	for ms := 0; ms < 60_000; ms += 1000 {
		noise := func(n uint64) uint64 { return n - n/100 + rng.Uint64N(n/50) }
		v, _ := b.Step(BoundSample{Now: at(ms), Used: noise(500 * MiB), Pinned: noise(200 * MiB), Limit: None, Allow: noise(600 * MiB)}, DefaultBound())
		if v != last {
			changes++
		}
		last = v
	}
	if changes > 2 {
		t.Errorf("%d changes by noise", changes)
	}
}

func TestBoundAboveTheGroupsOwnLimitIsNone(t *testing.T) {
	var b Bound
	if v, _ := b.Step(BoundSample{Now: at(0), Used: 50 * MiB, Pinned: 10 * MiB, Limit: 100 * MiB, Allow: 200 * MiB}, DefaultBound()); v != None {
		t.Errorf("%s", size(v))
	}
}

func TestBoundHoldsAfterARefusal(t *testing.T) {
	var b Bound
	s := BoundSample{Now: at(0), Used: 500 * MiB, Pinned: 10 * MiB, Limit: None, Allow: 100 * MiB}
	_, _ = b.Step(s, DefaultBound())
	s.Now = at(1000)
	if v, _ := b.Step(s, DefaultBound()); v >= 500*MiB {
		t.Fatal("no step")
	}
	b.Refused(s.Now, 500*MiB)
	for ms := 1100; ms < 10_900; ms += 100 {
		s.Now = at(ms)
		if v, _ := b.Step(s, DefaultBound()); v != 500*MiB {
			t.Fatalf("%d ms after the kernel refused: %s", ms-1000, size(v))
		}
	}
	s.Now = at(11_100)
	if v, _ := b.Step(s, DefaultBound()); v >= 500*MiB {
		t.Error("never tried again")
	}
}

// drive runs a Reclaimer against a group whose cache falls by what is asked.
func drive(r *Reclaimer, s *ReclaimSample, o ReclaimOptions, ms int) (asked uint64, pieces int) {
	for end := s.Now.Add(time.Duration(ms) * time.Millisecond); s.Now.Before(end); s.Now = s.Now.Add(100 * time.Millisecond) {
		n, _ := r.Step(*s, o)
		if n > 0 {
			r.Done(s.Now, n, n)
			pieces++
		}
		asked += n
		s.Used -= n
	}
	return asked, pieces
}

func TestReclaimerGoesFromHighToLow(t *testing.T) {
	var r Reclaimer
	s := ReclaimSample{Now: at(0), Used: 940 * MiB, Pinned: 100 * MiB, High: 950 * MiB, Low: 900 * MiB, Pressure: 0}
	if n, _ := drive(&r, &s, DefaultReclaim(), 1000); n != 0 {
		t.Fatal("below the high watermark it reclaimed")
	}
	s.Used = 960 * MiB
	n, pieces := drive(&r, &s, DefaultReclaim(), 10_000)
	if s.Used < 900*MiB || s.Used > 901*MiB || pieces < 2 {
		t.Errorf("%s left after %d pieces of %s in all", size(s.Used), pieces, size(n))
	}
	if r.Active() && s.Used <= 900*MiB {
		t.Error("still active below the low watermark")
	}
	s.Used = 945 * MiB
	r = Reclaimer{}
	if n, _ := drive(&r, &s, DefaultReclaim(), 1000); n != 0 {
		t.Error("it began between the watermarks")
	}
}

func TestReclaimerKeepsItsRate(t *testing.T) {
	var r Reclaimer
	o := DefaultReclaim()
	o.Rate = 64 * MiB
	s := ReclaimSample{Now: at(0), Used: 100 * gib, High: gib, Low: gib}
	if n, _ := drive(&r, &s, o, 10_000); n > 11*64*MiB || n < 7*64*MiB {
		t.Errorf("%s in 10 s at 64 MiB/s", size(n))
	}
}

func TestReclaimerMindsTheStall(t *testing.T) {
	rate := func(pressure float64, short bool) uint64 {
		var r Reclaimer
		s := ReclaimSample{Now: at(0), Used: 100 * gib, High: gib, Low: gib, Pressure: pressure, Short: short}
		n, _ := drive(&r, &s, DefaultReclaim(), 10_000)
		return n
	}
	calm, stalled, breached, unknown := rate(0, false), rate(0.2, false), rate(0.5, false), rate(math.NaN(), false)
	if stalled*3 > calm {
		t.Errorf("calm %s, stalled %s", size(calm), size(stalled))
	}
	if breached != 0 {
		t.Errorf("breached %s", size(breached))
	}
	if unknown != calm {
		t.Errorf("unknown %s, calm %s", size(unknown), size(calm))
	}
	if urgent := rate(0.5, true); urgent == 0 {
		t.Error("a short domain waits for a best-effort group's comfort")
	}
	if rate(0.97, true) != 0 {
		t.Error("it goes on though the group does nothing but wait")
	}
}

// A group that is about to run into its limit stalls for lack of reclaim, not
// because of it.
func TestReclaimerIsFastAtTheEdge(t *testing.T) {
	var r Reclaimer
	s := ReclaimSample{Now: at(0), Used: 99 * MiB, High: 95 * MiB, Low: 90 * MiB, Edge: 100 * MiB, Pressure: 0.9}
	if n, _ := drive(&r, &s, DefaultReclaim(), 500); n == 0 || s.Used > 97*MiB {
		t.Errorf("%s left", size(s.Used))
	}
}

func TestReclaimerStopsAndResumes(t *testing.T) {
	var r Reclaimer
	o := DefaultReclaim()
	s := ReclaimSample{Now: at(0), Used: 10 * gib, High: gib, Low: gib, Pressure: 0.9}
	if n, _ := r.Step(s, o); n != 0 || r.Stopped() == "" {
		t.Errorf("%d, %q", n, r.Stopped())
	}
	s.Pressure, s.Now = 0, at(4900)
	if n, _ := r.Step(s, o); n != 0 {
		t.Error("resumed before the cool-off")
	}
	s.Now = at(5100)
	if n, _ := r.Step(s, o); n == 0 || r.Stopped() != "" {
		t.Errorf("not resumed: %q", r.Stopped())
	}
}

func TestReclaimerBacksOffWhenThereIsNothing(t *testing.T) {
	var r Reclaimer
	s := ReclaimSample{Now: at(0), Used: 10 * gib, High: gib, Low: gib}
	tries := 0
	for ms := 0; ms < 60_000; ms += 100 {
		s.Now = at(ms)
		if n, _ := r.Step(s, DefaultReclaim()); n > 0 {
			tries++
			r.Done(s.Now, n, 0)
		}
	}
	if tries < 3 || tries > 9 {
		t.Errorf("%d tries in a minute", tries)
	}
	if r.Done(s.Now, 8*MiB, 8*MiB); r.barren != 0 {
		t.Error("success is not noticed")
	}
}

func TestReclaimerNeverAsksForWhatIsPinned(t *testing.T) {
	var r Reclaimer
	s := ReclaimSample{Now: at(0), Used: 10 * gib, Pinned: 10*gib - 5*MiB, High: gib, Low: gib}
	n, _ := drive(&r, &s, DefaultReclaim(), 60_000)
	if n > 5*MiB {
		t.Errorf("asked for %s of 5 MiB", size(n))
	}
}

func TestEvictorWaitsAndPauses(t *testing.T) {
	var e Evictor
	o := EvictOptions{Below: 0.02, After: 10 * time.Second, Pause: 30 * time.Second}
	var when []int
	for sec := range 100 {
		if now, why := e.Step(at(sec*1000), 1, 1000, o); now {
			when = append(when, sec)
			if why == "" {
				t.Error("no reason")
			}
		}
	}
	if !slices.Equal(when, []int{10, 40, 70}) {
		t.Errorf("evicted at %v", when)
	}
	e = Evictor{}
	for sec := range 100 {
		free := uint64(1)
		if sec%9 == 0 {
			free = 500 // it recovers in between
		}
		if now, _ := e.Step(at(sec*1000), free, 1000, o); now {
			t.Fatal("evicted though it did not stay below")
		}
	}
}

func TestOrderOfEviction(t *testing.T) {
	c := []Candidate{
		{ID: "old", Used: gib, Age: time.Hour},
		{ID: "dear", Priority: 5, Used: 9 * gib},
		{ID: "promised", Used: 3 * gib, Request: 3 * gib},
		{ID: "large", Used: 2 * gib, Age: time.Hour},
		{ID: "young", Used: gib, Age: time.Minute},
	}
	Order(c)
	var ids []string
	for _, x := range c {
		ids = append(ids, x.ID)
	}
	if want := []string{"large", "young", "old", "promised", "dear"}; !slices.Equal(ids, want) {
		t.Errorf("%v", ids)
	}
}

func TestScoreRespectsOthers(t *testing.T) {
	for _, c := range []struct {
		class class.Class
		now   int
		kube  bool
		want  int
		ok    bool
	}{
		{class.BE, 0, false, 900, true},
		{class.BE, 300, true, 900, true}, // a burstable pod that its label makes best effort
		{class.BE, 1000, true, 0, false},
		{class.BE, -500, false, 0, false},
		{class.LS, 0, false, -500, true},
		{class.LS, 0, true, 0, false},
		{class.LS, 200, false, 0, false},
		{class.LSE, 0, false, -800, true},
		{class.LSR, -997, true, 0, false},
		{class.System, 0, false, 0, false},
		{class.None, 0, false, 0, false},
	} {
		if adj, ok := Score(c.class, c.now, c.kube); adj != c.want || ok != c.ok {
			t.Errorf("%+v: %d %v", c, adj, ok)
		}
	}
}

func TestClockThatGoesBack(t *testing.T) {
	var r Reclaimer
	s := ReclaimSample{Now: at(0), Used: 10 * gib, High: gib, Low: gib, Pressure: 0}
	_, _ = r.Step(s, DefaultReclaim())
	s.Now = at(0).Add(-time.Hour)
	if n, _ := drive(&r, &s, DefaultReclaim(), 1000); n == 0 {
		t.Error("the reclaimer waits for the old time")
	}
	var b Bound
	bs := BoundSample{Now: at(0), Used: gib, Limit: None, Allow: 100 * MiB}
	_, _ = b.Step(bs, DefaultBound())
	_, _ = b.Step(bs, DefaultBound())
	bs.Now = at(0).Add(-time.Hour)
	was := b.Value()
	if v, _ := b.Step(bs, DefaultBound()); v > was {
		t.Error("the bound rose")
	}
}

// A tenant's label orders best-effort pods among themselves and no further.
func TestPriorityStaysInItsRange(t *testing.T) {
	for label, want := range map[string]int{
		"": 5000, "5000": 5000, "5300": 5300, "5999": 5999, "6000": 5000, "9999999": 5000, "-1": 5000, "4999": 5000, "5e3": 5000, "99999999999999999999": 5000,
	} {
		if got := Priority(label); got != want {
			t.Errorf("%q: %d, want %d", label, got, want)
		}
	}
}
