package load

import (
	"math"
	"slices"
	"testing"
)

func TestPairedCancelsDrift(t *testing.T) {
	// The node gets slower each round; ours is always half of the peer.
	peer := []float64{10, 20, 40, 80, 160}
	ours := []float64{5, 10, 20, 40, 80}
	c, err := Paired(ours, peer, PairedOptions{Seed: 1})
	if err != nil || c.Ratio != 0.5 || c.Min != 0.5 || c.Max != 0.5 || c.Low != 0.5 || c.High != 0.5 || c.Ours != 20 || c.Peer != 40 {
		t.Fatalf("%+v, %v", c, err)
	}
}

func TestPairedInterval(t *testing.T) {
	ours := []float64{1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 9}
	peer := slices.Repeat([]float64{1}, len(ours))
	c, err := Paired(ours, peer, PairedOptions{Seed: 1})
	if err != nil || math.Abs(c.Ratio-1.45) > 1e-9 || c.Min != 1 || c.Max != 9 {
		t.Fatalf("%+v, %v", c, err)
	}
	if c.Low < 1 || c.Low > 1.35 || c.High < 1.55 || c.High > 2 {
		t.Fatalf("interval %v..%v", c.Low, c.High)
	}
	again, err := Paired(ours, peer, PairedOptions{Seed: 1})
	if err != nil || again.Low != c.Low || again.High != c.High {
		t.Fatalf("not repeatable: %+v, %v", again, err)
	}
	wide, err := Paired(ours, peer, PairedOptions{Seed: 1, Confidence: 0.999})
	if err != nil || wide.Low > c.Low || wide.High < c.High {
		t.Fatalf("99.9 %% interval %v..%v is narrower than 95 %% %v..%v", wide.Low, wide.High, c.Low, c.High)
	}
}

func TestPairedRefuses(t *testing.T) {
	one := []float64{1}
	for name, c := range map[string]struct {
		ours, peer []float64
		o          PairedOptions
	}{
		"empty":      {},
		"unequal":    {one, []float64{1, 2}, PairedOptions{}},
		"zero":       {one, []float64{0}, PairedOptions{}},
		"nan":        {[]float64{math.NaN()}, one, PairedOptions{}},
		"infinite":   {[]float64{math.Inf(1)}, one, PairedOptions{}},
		"confidence": {one, one, PairedOptions{Confidence: 1}},
		"resamples":  {one, one, PairedOptions{Resamples: -1}},
	} {
		if _, err := Paired(c.ours, c.peer, c.o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestMedianAndInterleave(t *testing.T) {
	v := []float64{3, 1, 2, 10}
	if m := Median(v); m != 2.5 || v[0] != 3 {
		t.Fatalf("median %v of %v", m, v)
	}
	if m := Median([]float64{3, 1, 2}); m != 2 {
		t.Fatalf("median %v", m)
	}
	firsts := map[int]int{}
	for _, round := range Interleave(60, 3, 1) {
		firsts[round[0]]++
		if s := slices.Sorted(slices.Values(round)); !slices.Equal(s, []int{0, 1, 2}) {
			t.Fatalf("round %v", round)
		}
	}
	for variant := range 3 {
		if firsts[variant] < 8 {
			t.Fatalf("variant %d came first %d times of 60", variant, firsts[variant])
		}
	}
}
