package gmt0005

import (
	"encoding/binary"
	"math/bits"
)

// Bits is a sample. It is not changed by any test, and may be shared.
type Bits struct {
	w []uint64 // the first bit is the highest; one more word than there need be, of zeroes
	n int
}

// NewBits takes the first n bits of b. It panics where b has fewer.
func NewBits(b []byte, n int) *Bits {
	if n < 0 || n > 8*len(b) {
		panic("gmt0005: fewer bits than asked for")
	}
	s := &Bits{make([]uint64, n/64+2), n}
	whole := n / 64
	for i := range whole {
		s.w[i] = binary.BigEndian.Uint64(b[8*i:])
	}
	for i := 64 * whole; i < n; i++ {
		s.w[i/64] |= uint64(b[i/8]>>(7-i%8)&1) << (63 - i%64)
	}
	return s
}

// Len is the number of bits.
func (s *Bits) Len() int { return s.n }

// at is a bit.
func (s *Bits) at(i int) uint64 { return s.w[i>>6] >> (63 - i&63) & 1 }

// from is the 64 bits from the i-th on, those behind the last being 0.
func (s *Bits) from(i int) uint64 {
	k, off := i>>6, uint(i&63)
	return s.w[k]<<off | s.w[k+1]>>1>>(63-off)
}

// ones counts the ones among n bits from the i-th on.
func (s *Bits) ones(i, n int) (count int) {
	for ; n >= 64; i, n = i+64, n-64 {
		count += bits.OnesCount64(s.from(i))
	}
	if n > 0 {
		count += bits.OnesCount64(s.from(i) >> (64 - n))
	}
	return count
}

// differ counts the places i, 0 to n-d-1, where bits i and i+d differ.
func (s *Bits) differ(d int) (count int) {
	n, i := s.n-d, 0
	for ; n >= 64; i, n = i+64, n-64 {
		count += bits.OnesCount64(s.from(i) ^ s.from(i+d))
	}
	if n > 0 {
		count += bits.OnesCount64((s.from(i) ^ s.from(i+d)) >> (64 - n))
	}
	return count
}

// runs calls f for each run of equal bits, in order.
func (s *Bits) runs(from, n int, f func(bit uint64, length int)) {
	for end := from + n; from < end; {
		bit, start := s.at(from), from
		for from < end {
			w := s.from(from)
			if bit == 1 {
				w = ^w
			}
			same := bits.LeadingZeros64(w)
			from += same
			if same < 64 {
				break
			}
		}
		from = min(from, end)
		f(bit, from-start)
	}
}

// patterns counts the overlapping pieces of m bits; those at the end go on at the start.
func (s *Bits) patterns(m int) []int {
	count := make([]int, 1<<m)
	mask := uint64(1)<<m - 1
	var v uint64
	for i := range m - 1 {
		v = v<<1 | s.at(i%s.n)
	}
	for i := m - 1; i < s.n+m-1; {
		if i < s.n && i&63 == 0 && i+64 <= s.n {
			w := s.w[i>>6]
			for range 64 {
				v = v<<1 | w>>63
				w <<= 1
				count[v&mask]++
			}
			i += 64
			continue
		}
		v = v<<1 | s.at(i%s.n)
		count[v&mask]++
		i++
	}
	return count
}

// shorter counts the pieces one bit shorter.
func shorter(count []int) []int {
	out := make([]int, len(count)/2)
	for i := range out {
		out[i] = count[2*i] + count[2*i+1]
	}
	return out
}
