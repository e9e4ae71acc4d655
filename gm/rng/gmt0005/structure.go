package gmt0005

import (
	"math"
	"math/bits"
)

// Rank is the test of the rank of binary matrices of 32 by 32 bits (5.10).
func (s *Bits) Rank() Value { return chi(fit(s.ranks(), []float64{0.2888, 0.5776, 0.1336}), 2) }

// ranks counts the matrices of full rank, of one less, and the rest.
func (s *Bits) ranks() []int {
	count := make([]int, 3)
	for i := range s.n / 1024 {
		var rows [32]uint32
		for r := range rows {
			rows[r] = uint32(s.from(1024*i+32*r) >> 32)
		}
		count[min(32-rank(&rows), 2)]++
	}
	return count
}

// rank is by elimination; the rows are used up.
func rank(rows *[32]uint32) (n int) {
	for i := range rows {
		row := rows[i]
		if row == 0 {
			continue
		}
		n++
		lead := bits.LeadingZeros32(row)
		for j := i + 1; j < len(rows); j++ {
			if rows[j]<<lead>>31 == 1 {
				rows[j] ^= row
			}
		}
	}
	return n
}

// complexities are the probabilities of the seven classes of LinearComplexity.
var complexities = []float64{0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833}

// LinearComplexity is the test of how long a feedback shift register has to be to make a
// block of m bits (5.13).
func (s *Bits) LinearComplexity(m int) Value { return s.linearComplexity(m, complexities) }

func (s *Bits) linearComplexity(m int, of []float64) Value {
	r := newRegister(m)
	sign := 1.0
	if m%2 == 1 {
		sign = -1
	}
	mean := float64(m)/2 + (9-sign)/36 - (float64(m)/3+2.0/9)/math.Exp2(float64(m))
	count := make([]int, 7)
	for i := range s.n / m {
		t := sign*(float64(r.shortest(s, i*m, m))-mean) + 2.0/9
		count[min(max(int(math.Ceil(t+2.5)), 0), 6)]++
	}
	return chi(fit(count, of), 6)
}

// register is what the Berlekamp-Massey algorithm works on over GF(2), 64 coefficients a
// word, the lowest in the lowest bit.
type register struct{ now, old, kept, past []uint64 }

func newRegister(m int) *register {
	n := m/64 + 2
	return &register{make([]uint64, n), make([]uint64, n), make([]uint64, n), make([]uint64, n)}
}

// shortest is the length of the shortest register that makes m bits of s from the i-th on.
func (r *register) shortest(s *Bits, i, m int) (length int) {
	clear(r.now)
	clear(r.old)
	clear(r.past)
	r.now[0], r.old[0] = 1, 1
	for k := range m {
		live := k/64 + 1
		// past has bit k-j at j, and old is multiplied by x.
		shift(r.past[:live], s.at(i+k))
		shift(r.old[:live+1], 0)
		var sum uint64
		now := r.now[:live]
		for j, c := range r.past[:live] {
			sum ^= c & now[j]
		}
		if bits.OnesCount64(sum)&1 == 0 {
			continue
		}
		grows := 2*length <= k
		if grows {
			copy(r.kept, r.now)
			length = k + 1 - length
		}
		now = r.now[:live+1]
		for j, c := range r.old[:live+1] {
			now[j] ^= c
		}
		if grows {
			r.old, r.kept = r.kept, r.old
		}
	}
	return length
}

// shift moves all coefficients one up.
func shift(w []uint64, in uint64) {
	for j, c := range w {
		w[j] = c<<1 | in
		in = c >> 63
	}
}

// Universal is Maurer's test of how far apart equal pieces of l bits are (5.14), after q
// pieces to begin with. l is 7, 8 or 9.
func (s *Bits) Universal(l, q int) Value {
	// Expected value and variance, from the table in the standard.
	of := map[int][2]float64{7: {6.1962507, 3.125}, 8: {7.1836656, 3.238}, 9: {8.1764248, 3.311}}[l]
	last := make([]int, 1<<l)
	piece := func(i int) uint64 { return s.from(i*l) >> (64 - l) }
	for i := range q {
		last[piece(i)] = i + 1
	}
	n := s.n/l - q
	sum := 0.0
	for i := q; i < q+n; i++ {
		p := piece(i)
		sum += math.Log2(float64(i + 1 - last[p]))
		last[p] = i + 1
	}
	k, width := float64(n), float64(l)
	c := 0.7 - 0.8/width + (4+32/width)*math.Pow(k, -3/width)/15
	return twoSided((sum/k - of[0]) / (c * math.Sqrt(of[1]/k)))
}
