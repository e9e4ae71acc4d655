package gmt0005

import "math"

// Frequency is the monobit test (5.1): as many ones as zeroes.
func (s *Bits) Frequency() Value {
	return twoSided(float64(2*s.ones(0, s.n)-s.n) / math.Sqrt(float64(s.n)))
}

// BlockFrequency is the test of frequency within blocks of m bits (5.2).
func (s *Bits) BlockFrequency(m int) Value {
	n, v := s.n/m, 0.0
	for i := range n {
		d := float64(s.ones(i*m, m))/float64(m) - 0.5
		v += d * d
	}
	return chi(4*float64(m)*v, float64(n))
}

// Poker is the test of pieces of m bits that do not overlap (5.3), m being 16 at most.
func (s *Bits) Poker(m int) Value {
	count := make([]int, 1<<m)
	n := s.n / m
	for i := range n {
		count[s.from(i*m)>>(64-m)]++
	}
	sum := 0.0
	for _, c := range count {
		sum += float64(c) * float64(c)
	}
	kinds := float64(len(count))
	return chi(kinds/float64(n)*sum-float64(n), kinds-1)
}

// psi2 is ψ² of the counts of pieces of all kinds.
func psi2(count []int, n int) float64 {
	if len(count) == 1 {
		return 0
	}
	sum := 0.0
	for _, c := range count {
		sum += float64(c) * float64(c)
	}
	return float64(len(count))/float64(n)*sum - float64(n)
}

// Serial is the test of overlapping subsequences of m bits (5.4), m being 2 to 20: the
// first and the second difference.
func (s *Bits) Serial(m int) (first, second Value) {
	c0 := s.patterns(m)
	c1 := shorter(c0)
	a, b, c := psi2(c0, s.n), psi2(c1, s.n), psi2(shorter(c1), s.n)
	kinds := float64(len(c0))
	return chi(a-b, kinds/2), chi(a-2*b+c, kinds/4)
}

// entropy is φ of approximate entropy.
func entropy(count []int, n int) (sum float64) {
	for _, c := range count {
		if c > 0 {
			p := float64(c) / float64(n)
			sum += p * math.Log(p)
		}
	}
	return sum
}

// ApproximateEntropy compares the counts of pieces of m and m+1 bits (5.12).
func (s *Bits) ApproximateEntropy(m int) Value {
	long := s.patterns(m + 1)
	apen := entropy(shorter(long), s.n) - entropy(long, s.n)
	return chi(2*float64(s.n)*(math.Ln2-apen), float64(len(long)/2))
}

// Autocorrelation compares the sample with itself d bits later (5.9).
func (s *Bits) Autocorrelation(d int) Value {
	n := float64(s.n - d)
	return twoSided(2 * (float64(s.differ(d)) - n/2) / math.Sqrt(n))
}

// Derivation is the binary derivation test (5.8): each bit is added to the next, k times
// over, and the ones of what comes out are counted.
func (s *Bits) Derivation(k int) Value {
	d := &Bits{append([]uint64(nil), s.w...), s.n}
	for range k {
		d.n--
		for i := range d.w[:len(d.w)-1] {
			d.w[i] ^= d.w[i]<<1 | d.w[i+1]>>63
		}
	}
	return twoSided(float64(2*d.ones(0, d.n)-d.n) / math.Sqrt(float64(d.n)))
}

// CumulativeSums is the test of how far the sum of the bits, taken as -1 and 1, goes from
// 0 (5.11), from the first bit to the last and the other way.
func (s *Bits) CumulativeSums() (forward, backward Value) {
	sum, low, high := 0, 0, 0 // of the sums before the last, 0 bits being one
	far := 0
	for i := range s.n {
		low, high = min(low, sum), max(high, sum)
		sum += 2*int(s.at(i)) - 1
		far = max(far, sum, -sum)
	}
	return excursion(s.n, far), excursion(s.n, max(sum-low, high-sum))
}

// excursion is how probable it is that n steps go as far as z or farther.
func excursion(n, z int) Value {
	if z == 0 {
		return Value{1, 1}
	}
	root, far, of := math.Sqrt(float64(n)), float64(z), float64(n)/float64(z)
	p := 1.0
	for k := math.Ceil((1 - of) / 4); k <= (of-1)/4; k++ {
		p -= phi((4*k+1)*far/root) - phi((4*k-1)*far/root)
	}
	for k := math.Ceil((-3 - of) / 4); k <= (of-1)/4; k++ {
		p += phi((4*k+3)*far/root) - phi((4*k+1)*far/root)
	}
	p = min(1, max(0, p))
	return Value{p, p}
}
