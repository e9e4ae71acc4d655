package cfs

import "math/bits"

// under gives a·b less one, so that a division rounds down to what is below
// a·b. Neither may be below 1.
func under(a, b int64) (hi, lo uint64) {
	hi, lo = bits.Mul64(uint64(a), uint64(b))
	lo, borrow := bits.Sub64(lo, 1, 0)
	return hi - borrow, lo
}

// div128 rounds up the quotient of what under was given and c.
func div128(hi, lo uint64, c int64) int64 {
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(q) + 1
}
