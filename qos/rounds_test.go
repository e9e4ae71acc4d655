package qos

import (
	"testing"
	"time"
)

func TestRoundsGiveEachItsTurn(t *testing.T) {
	all := make([]*group, 37)
	for i := range all {
		all[i] = new(group)
	}
	r := rounds{every: 5 * time.Second}
	turns := map[*group]int{}
	most, done := 0, 0
	for range 100 { // ten seconds
		n := 0
		r.next(all, 100*time.Millisecond, func(g *group) { turns[g]++; n++ })
		if most = max(most, n); r.done {
			done++
		}
	}
	for i, g := range all {
		if turns[g] < 1 || turns[g] > 2 {
			t.Errorf("group %d had %d turns in two rounds", i, turns[g])
		}
	}
	if most > 1 || done != 1 {
		t.Errorf("%d in one step, %d rounds ended", most, done)
	}
}

func TestRoundsHurryWhatIsNew(t *testing.T) {
	g, gone := new(group), new(group)
	r := rounds{every: time.Hour}
	r.hurry(g)
	r.hurry(gone)
	r.forget(gone)
	turns := 0
	do := func(x *group) {
		if x == gone {
			t.Fatal("a group that went away has a turn")
		}
		turns++
	}
	r.next(nil, 100*time.Millisecond, do)
	if turns != 1 {
		t.Fatalf("%d turns at once", turns)
	}
	for range 30 {
		r.next(nil, 100*time.Millisecond, do)
	}
	if turns != 4 {
		t.Errorf("%d turns in three seconds", turns)
	}
	for range 300 {
		r.next(nil, 100*time.Millisecond, do)
	}
	if turns != youngTurns || len(r.young) != 0 {
		t.Errorf("%d turns, %d are still young", turns, len(r.young))
	}
}

func TestRoundsSurviveJumps(t *testing.T) {
	all := []*group{new(group), new(group)}
	var r rounds
	n := 0
	for _, dt := range []time.Duration{0, -time.Hour, 24 * time.Hour, time.Second} {
		r.next(all, dt, func(*group) { n++ })
	}
	if n != 4 {
		t.Errorf("%d turns in what counts as two seconds", n)
	}
	r.at = 17 // groups went away
	r.next(all, time.Second, func(*group) { n++ })
	if n != 6 {
		t.Errorf("%d turns", n)
	}
}
