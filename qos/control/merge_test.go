package control

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestMergeDoesNotDependOnOrder(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for range 300 {
		var in []Intent
		for i := range 30 {
			in = append(in, Intent{
				File: fmt.Sprintf("f%d", rng.IntN(8)), Controller: fmt.Sprintf("c%02d", i), Number: float64(rng.IntN(4)),
				Rule: Min, Rank: rng.IntN(2), Value: fmt.Sprint(i),
			})
		}
		want := Merge(slices.Clone(in))
		rng.Shuffle(len(in), func(i, j int) { in[i], in[j] = in[j], in[i] })
		all := slices.Clone(in)
		got := Merge(in)
		if !slices.EqualFunc(got, want, func(a, b Intent) bool { return a.File == b.File && a.Value == b.Value }) {
			t.Fatalf("order changed the outcome:\n%v\n%v", got, want)
		}
		oneWinner(t, all, got)
	}
}

func oneWinner(t *testing.T, all, got []Intent) {
	t.Helper()
	seen := map[string]Intent{}
	for _, w := range got {
		if _, twice := seen[w.File]; twice {
			t.Fatalf("two winners for %s", w.File)
		}
		seen[w.File] = w
	}
	for _, in := range all {
		w, ok := seen[in.File]
		if !ok {
			t.Fatalf("nobody won %s", in.File)
		}
		if in.Rank > w.Rank || in.Rank == w.Rank && in.Number < w.Number {
			t.Fatalf("%+v lost to %+v", in, w)
		}
	}
}

func TestLowestLimitWins(t *testing.T) {
	got := Merge([]Intent{
		{File: "limit /a", Number: 0.5, Rule: Min, Controller: "burst"},
		{File: "limit /a", Number: 0.3, Rule: Min, Controller: "suppress"},
		{File: "limit /b", Number: 9, Rule: Min, Controller: "burst"},
	})
	if len(got) != 2 || got[0].Controller != "suppress" || got[1].File != "limit /b" {
		t.Fatalf("got %+v", got)
	}
}

func TestMergeInOrderAllocatesNothing(t *testing.T) {
	in := make([]Intent, 200)
	for i := range in {
		in[i] = Intent{File: fmt.Sprintf("limit /%04d", i), Rule: Min}
	}
	if n := testing.AllocsPerRun(100, func() { in = Merge(in) }); n > 0 {
		t.Fatalf("%v allocations for intents in order", n)
	}
}

func TestLaneDemotesASpinnerWithinTheWindow(t *testing.T) {
	o := DefaultLane()
	l := NewLane(o)
	now := time.Unix(1000, 0)
	began := now
	for {
		ok, why := l.Step(now, 2, 2)
		if !ok {
			if why == "" {
				t.Fatal("demoted without a word")
			}
			break
		}
		if now = now.Add(tick); now.Sub(began) > o.Window {
			t.Fatalf("a spinner is still in the lane after %v", now.Sub(began))
		}
	}
	out := now
	for now = now.Add(tick); ; now = now.Add(tick) {
		ok, why := l.Step(now, 0.1, 2)
		if ok {
			if why == "" || now.Sub(out) < o.Cooloff {
				t.Fatalf("back after %v (%q), cooloff is %v", now.Sub(out), why, o.Cooloff)
			}
			return
		}
		if now.Sub(out) > o.Cooloff+o.Window {
			t.Fatal("it never came back")
		}
	}
}

func TestLaneKeepsASpinnerOut(t *testing.T) {
	l := NewLane(DefaultLane())
	now := time.Unix(1000, 0)
	in := 0
	for range 6000 { // ten minutes
		if ok, _ := l.Step(now, 2, 2); ok {
			in++
		}
		now = now.Add(tick)
	}
	if in > 20 {
		t.Fatalf("a spinner was in the lane for %d steps of 6000", in)
	}
}

func TestLaneSurvivesClockJumps(t *testing.T) {
	o := DefaultLane()
	l := NewLane(o)
	now := time.Unix(1e6, 0)
	for range 30 {
		l.Step(now, 2, 2)
		now = now.Add(tick)
	}
	now = now.Add(-time.Hour)
	for i := range int((o.Cooloff+2*o.Window)/tick) + 1 {
		if ok, _ := l.Step(now, 0, 2); ok {
			return
		}
		now = now.Add(tick)
		_ = i
	}
	t.Fatal("the clock went back an hour and the workload stays demoted")
}

func TestLaneLetsAShortBurstPass(t *testing.T) {
	l := NewLane(DefaultLane())
	now := time.Unix(1000, 0)
	for i := range 1000 {
		used := 0.2
		if i%20 < 3 { // 300 ms of full use every 2 s
			used = 2
		}
		if ok, why := l.Step(now, used, 2); !ok {
			t.Fatalf("step %d: %s", i, why)
		}
		now = now.Add(tick)
	}
}

func TestHeaviestLaneLosesItWhenAllTogetherUseTooMuch(t *testing.T) {
	now := time.Unix(1000, 0)
	lanes := []*Lane{NewLane(DefaultLane()), nil, NewLane(DefaultLane()), NewLane(DefaultLane())}
	step := func(used ...float64) {
		for range 50 {
			now = now.Add(tick)
			for i, l := range lanes {
				if l == nil {
					continue
				}
				if ok, why := l.Step(now, used[i], 4); !ok && why != "" {
					t.Fatalf("lane %d alone: %s", i, why)
				}
			}
		}
	}
	step(0.7, 0, 0.9, 0.7)
	if at, why := Heaviest(lanes, 4); at != -1 {
		t.Fatalf("2.3 of 4 CPUs: lane %d, %s", at, why)
	}
	step(0.7, 0, 1.2, 0.7)
	at, why := Heaviest(lanes, 4)
	if at != 2 || why == "" {
		t.Fatalf("2.6 of 4 CPUs: lane %d, %q", at, why)
	}
	if why := lanes[at].Demote(now, why); !strings.Contains(why, "30s") {
		t.Errorf("why %q", why)
	}
	if ok, _ := lanes[at].Step(now.Add(tick), 1.2, 4); ok {
		t.Error("demoted, and still in")
	}
	if at, _ := Heaviest(lanes, 4); at != -1 {
		t.Errorf("lane %d too, where the rest uses 1.4", at)
	}
}

func TestSpinsTellsASpinnerFromABusyThread(t *testing.T) {
	var s Spins
	now := time.Unix(1000, 0)
	used := map[int]time.Duration{}
	look := func(may float64, share map[int]float64) int {
		now = now.Add(time.Second)
		next := map[int]time.Duration{}
		for tid, x := range share {
			next[tid] = used[tid] + time.Duration(x*float64(time.Second))
		}
		used = next
		tid, _ := s.Look(now, next, may, 2*time.Second)
		return tid
	}
	for i, x := range []float64{0.95, 0.95, 0.5, 0.95, 0.5, 0.95} { // one second of full use at a time, after the first
		if tid := look(0.95, map[int]float64{7: x, 8: 0.8}); tid != 0 {
			t.Fatalf("second %d: thread %d spins", i, tid)
		}
	}
	if tid := look(0.95, map[int]float64{7: 0.94, 8: 0.8}); tid != 7 {
		t.Errorf("two seconds: %d", tid)
	}
	// A thread that is held to a half of a CPU cannot use more.
	for range 2 {
		look(0.5, map[int]float64{8: 0.49})
	}
	if tid := look(0.5, map[int]float64{8: 0.49}); tid != 8 {
		t.Errorf("a spinner of a small lane: %d", tid)
	}
	for range 5 { // held to a tenth it does no harm
		if tid := look(0.1, map[int]float64{8: 0.099}); tid != 0 {
			t.Errorf("a tenth of a CPU: %d spins", tid)
		}
	}
	// An id that is new, and one that went, count for nothing.
	if tid := look(0.1, map[int]float64{9: 1}); tid != 0 {
		t.Errorf("new thread: %d", tid)
	}
	now = now.Add(-time.Hour)
	if tid := look(0.1, map[int]float64{9: 1}); tid != 0 {
		t.Errorf("clock back: %d", tid)
	}
}
