package gmt0005

import "math"

// Runs is the test of the number of runs (5.5).
func (s *Bits) Runs() Value {
	n := float64(s.n)
	p := float64(s.ones(0, s.n)) / n
	spread := p * (1 - p)
	if spread == 0 {
		return Value{} // all bits are the same
	}
	return twoSided((float64(s.differ(1)+1) - 2*n*spread) / (2 * math.Sqrt(n) * spread))
}

// longest is the length from which on runs are counted together: of all shorter ones
// five or more are to be expected.
func longest(n int) (k int) {
	for k = 1; float64(n-k+2)/math.Exp2(float64(k+3)) >= 5; k++ {
	}
	return k
}

// RunsDistribution is the test of how many runs of ones and of zeroes there are of each
// length (5.6). It takes 100 bits or more.
func (s *Bits) RunsDistribution() Value {
	k := longest(s.n)
	count := [2][]int{make([]int, k), make([]int, k)}
	total := 0.0
	s.runs(0, s.n, func(bit uint64, length int) {
		count[bit][min(length, k)-1]++
		total++
	})
	v := 0.0
	for i := range k {
		want := total / math.Exp2(float64(min(i+2, k)))
		for _, c := range count {
			d := float64(c[i]) - want
			v += d * d / want
		}
	}
	return chi(v, float64(2*(k-1)))
}

// runClass is a block's length and how probable it is that its longest run is least or
// shorter, one longer, and so on.
type runClass struct {
	m, least int
	of       []float64
}

// The probabilities are rounded as in the standard: its examples come out to the digit.
var runClasses = []runClass{
	{8, 1, []float64{0.2148, 0.3672, 0.2305, 0.1875}},
	{128, 4, []float64{0.1174, 0.2430, 0.2494, 0.1752, 0.1027, 0.1124}},
	{10000, 10, []float64{0.086632, 0.208201, 0.248419, 0.193913, 0.121458, 0.068011, 0.073366}},
}

// classFor chooses the length of blocks.
func classFor(n int) runClass {
	switch {
	case n >= 750000:
		return runClasses[2]
	case n >= 6272:
		return runClasses[1]
	}
	return runClasses[0]
}

// LongestRun is the test of the longest run of ones and of zeroes in a block (5.7), of
// 10,000 bits from 750,000 bits on, of 128 from 6,272, of 8 otherwise.
func (s *Bits) LongestRun() (ones, zeroes Value) { return s.longestRun(classFor(s.n)) }

func (s *Bits) longestRun(c runClass) (ones, zeroes Value) {
	top := len(c.of) - 1
	count := [2][]int{make([]int, top+1), make([]int, top+1)}
	for i := range s.n / c.m {
		var most [2]int
		s.runs(i*c.m, c.m, func(bit uint64, length int) { most[bit] = max(most[bit], length) })
		for bit, l := range most {
			count[bit][min(max(l-c.least, 0), top)]++
		}
	}
	return chi(fit(count[1], c.of), float64(top)), chi(fit(count[0], c.of), float64(top))
}
