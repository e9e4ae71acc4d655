package control

import (
	"math"
	"math/rand/v2"
	"testing"
)

// randomClaims makes n claims on a node of 16 CPUs.
func randomClaims(rng *rand.Rand, n int) []Claim {
	out := make([]Claim, n)
	for i := range out {
		out[i] = Claim{Used: rng.ExpFloat64(), Limit: 16, Blocked: rng.IntN(3) == 0}
		if rng.IntN(4) == 0 {
			out[i].Limit = rng.Float64()*2 + 0.05
		}
	}
	return out
}

func TestShareProperties(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 12))
	const least = 0.01
	for round := range 5000 {
		claims := randomClaims(rng, 1+rng.IntN(40))
		cap := rng.Float64() * 16
		if round%10 == 0 {
			cap = 0.02 // less than the minimum of all
		}
		got := Share(cap, claims, least)
		sum, limits := 0.0, 0.0
		for i, s := range got {
			if s < least || math.IsNaN(s) {
				t.Fatalf("round %d: share %d is %v, below the least", round, i, s)
			}
			if s > max(claims[i].Limit, least)+1e-9 {
				t.Fatalf("round %d: share %d is %v, above its limit %v", round, i, s, claims[i].Limit)
			}
			sum, limits = sum+s, limits+claims[i].Limit
		}
		forced := least * float64(len(claims))
		if sum > max(cap, forced)+1e-9 && sum > cap+forced {
			t.Fatalf("round %d: shares sum to %v, cap %v", round, sum, cap)
		}
		if cap > forced && sum < min(cap, limits)-1e-6 {
			t.Fatalf("round %d: shares sum to %v of %v: something is wasted", round, sum, cap)
		}
		fair(t, round, claims, got, least)
	}
}

// fair checks max-min: a group may hold more than another that is short only
// if it holds nothing beyond its want.
func fair(t *testing.T, round int, claims []Claim, got []float64, least float64) {
	t.Helper()
	for i, a := range claims {
		short := a.Blocked && got[i] < a.Limit-1e-9
		if !short {
			continue
		}
		for j, b := range claims {
			want := max(least, b.Limit)
			if !b.Blocked {
				want = max(least, min(b.Limit, b.Used*growth))
			}
			if got[j] > got[i]+1e-9 && got[j] > want+1e-9 {
				t.Fatalf("round %d: %d is short with %v while %d has %v and wants %v", round, i, got[i], j, got[j], want)
			}
		}
	}
}

func TestBlockedGetsMoreThanItsEqual(t *testing.T) {
	got := Share(2, []Claim{{Used: 0.5, Limit: 4, Blocked: true}, {Used: 0.5, Limit: 4}}, 0.01)
	if got[0] <= got[1] || math.Abs(got[0]+got[1]-2) > 1e-9 || got[1] < 0.5 {
		t.Fatalf("got %v", got)
	}
}

func TestEqualsShareEqually(t *testing.T) {
	for _, s := range Share(3, []Claim{{Used: 1, Limit: 4, Blocked: true}, {Used: 0.2, Limit: 4, Blocked: true}, {Used: 2, Limit: 4, Blocked: true}}, 0.01) {
		if math.Abs(s-1) > 1e-9 {
			t.Fatalf("share %v, want 1", s)
		}
	}
}

func TestSpareOfALimitedGroupGoesToOthers(t *testing.T) {
	got := Share(3, []Claim{{Used: 0.1, Limit: 0.2}, {Used: 0.1, Limit: 4}}, 0.01)
	if got[0] != 0.2 || math.Abs(got[1]-2.8) > 1e-9 {
		t.Fatalf("got %v, want [0.2 2.8]", got)
	}
}

func TestShareOfNobody(t *testing.T) {
	if got := Share(3, nil, 0.01); len(got) != 0 {
		t.Fatalf("got %v", got)
	}
}
