package load

import (
	"math"
	"testing"
	"time"
)

func arrivals(t *testing.T, o GenOptions, n int) (at []time.Duration, segments []int) {
	t.Helper()
	s, err := NewSchedule(o)
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		a, seg, ok := s.Next()
		if !ok {
			break
		}
		at, segments = append(at, a), append(segments, seg)
	}
	return at, segments
}

func TestPoissonGapsAreExponential(t *testing.T) {
	const rate, n = 300.0, 50000
	at, _ := arrivals(t, GenOptions{Rate: rate, Seed: 7}, n)
	var sum, square, beyond, prev float64
	for _, a := range at {
		gap := (a.Seconds() - prev) * rate
		prev = a.Seconds()
		sum, square = sum+gap, square+gap*gap
		if gap > 1 {
			beyond++
		}
	}
	mean := sum / n
	cv := math.Sqrt(square/n-mean*mean) / mean
	if math.Abs(mean-1) > 0.02 || math.Abs(cv-1) > 0.03 || math.Abs(beyond/n-1/math.E) > 0.01 {
		t.Fatalf("mean gap %.3f, coefficient of variation %.3f, P(gap > mean) %.3f", mean, cv, beyond/n)
	}
}

func TestPoissonCountsHaveVarianceOfMean(t *testing.T) {
	at, _ := arrivals(t, GenOptions{Rate: 100, Seed: 3}, 100000)
	counts := make([]float64, 900) // windows of 1 s
	for _, a := range at {
		if i := int(a / time.Second); i < len(counts) {
			counts[i]++
		}
	}
	var mean, variance float64
	for _, c := range counts {
		mean += c / float64(len(counts))
	}
	for _, c := range counts {
		variance += (c - mean) * (c - mean) / float64(len(counts))
	}
	if d := variance / mean; d < 0.85 || d > 1.15 {
		t.Fatalf("index of dispersion %.3f (mean %.1f)", d, mean)
	}
}

func TestScheduleRepeatsWithSeed(t *testing.T) {
	a, _ := arrivals(t, GenOptions{Rate: 50, Seed: 1}, 100)
	b, _ := arrivals(t, GenOptions{Rate: 50, Seed: 1}, 100)
	c, _ := arrivals(t, GenOptions{Rate: 50, Seed: 2}, 100)
	same := 0
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("arrival %d differs with the same seed", i)
		}
		if a[i] == c[i] {
			same++
		}
	}
	if same > 1 {
		t.Fatalf("%d arrivals are equal with another seed", same)
	}
}

func TestUniformAndBatch(t *testing.T) {
	at, _ := arrivals(t, GenOptions{Rate: 1000, Arrival: Uniform}, 3)
	for i, a := range at {
		if d := a - time.Duration(i+1)*time.Millisecond; d < -1000 || d > 1000 {
			t.Fatalf("uniform arrival %d at %v", i, a)
		}
	}
	at, _ = arrivals(t, GenOptions{Rate: 40, Arrival: Batch, BatchSize: 10, Seed: 5}, 40000)
	for i := 0; i < len(at); i += 10 {
		if at[i] != at[i+9] || (i > 0 && at[i] == at[i-1]) {
			t.Fatalf("batch at %d is not one group", i)
		}
	}
	if rate := float64(len(at)) / at[len(at)-1].Seconds(); math.Abs(rate-40) > 2.5 {
		t.Fatalf("batch rate %.1f, want 40", rate)
	}
}

func TestStepsChangeRate(t *testing.T) {
	o := GenOptions{Rate: 100, Seed: 9, Steps: []Step{{At: 10 * time.Second, Rate: 0}, {At: 20 * time.Second, Rate: 800}, {At: 30 * time.Second}}}
	at, segments := arrivals(t, o, 100000)
	var counts [4]int
	for i, a := range at {
		counts[segments[i]]++
		if want := min(int(a/(10*time.Second)), 3); want != segments[i] {
			t.Fatalf("arrival at %v is in segment %d", a, segments[i])
		}
	}
	if counts[0] < 850 || counts[0] > 1150 || counts[1] != 0 || counts[2] < 7600 || counts[2] > 8400 || counts[3] != 0 {
		t.Fatalf("arrivals per segment %v", counts)
	}
}

func TestScheduleRefuses(t *testing.T) {
	for name, o := range map[string]GenOptions{
		"zero":      {},
		"negative":  {Rate: -1},
		"nan":       {Rate: math.NaN()},
		"infinite":  {Rate: math.Inf(1)},
		"1e30":      {Rate: 1e30},
		"batch":     {Rate: 1, Arrival: Batch},
		"arrival":   {Rate: 1, Arrival: "bursty"},
		"backwards": {Rate: 1, Steps: []Step{{At: 2, Rate: 1}, {At: 1, Rate: 1}}},
		"twice":     {Rate: 1, Steps: []Step{{At: 2, Rate: 1}, {At: 2, Rate: 1}}},
		"before":    {Rate: 1, Steps: []Step{{At: -2, Rate: 1}}},
	} {
		if _, err := NewSchedule(o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
