package dudect

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Welch's example: t of two small samples, by hand.
func TestWelch(t *testing.T) {
	f := welch([]float64{1, 2, 3, 4}, []float64{3, 5, 7})
	// Means 2.5 and 5, variances 5/3 and 4.
	if want := 2.5 / math.Sqrt(5.0/12+4.0/3); math.Abs(f.t-want) > 1e-12 || math.Abs(f.share-1) > 1e-12 || f.samples != 7 {
		t.Errorf("%v, t want %v", f, want)
	}
}

// Samples that were drawn, with outliers on both sides: a difference of 3 % is found, and
// none is not.
func TestMost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	draw := func(mean float64) (s []float64) {
		for range 3000 {
			v := mean + 20*r.NormFloat64()
			if r.IntN(20) == 0 {
				v *= 1 + 30*r.Float64()
			}
			s = append(s, v)
		}
		return s
	}
	for range 20 {
		if f := most(draw(1000), draw(1000)); f.leaks() {
			t.Errorf("equal means: %v", f)
		}
		if f := most(draw(1000), draw(1004)); f.leaks() {
			t.Errorf("means that differ by 0.4 %%: %v", f)
		}
		if f := most(draw(1000), draw(1030)); !f.leaks() {
			t.Errorf("means that differ by 3 %%: %v", f)
		}
		if f := most(draw(1030), draw(1000)); !f.leaks() {
			t.Errorf("means that differ by -3 %%: %v", f)
		}
	}
	if f := most([]float64{1, 1, 1}, []float64{2, 2, 2}); !f.leaks() {
		t.Errorf("samples of one value each: %v", f)
	}
}
