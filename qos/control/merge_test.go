package control

import (
	"fmt"
	"math/rand/v2"
	"slices"
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
