package sm4

import (
	"encoding/binary"
	"math/bits"
)

// hasher takes whole blocks into the state of GHASH (NIST SP 800-38D, 6.4).
type hasher interface {
	hash(state *[BlockSize]byte, blocks []byte)
}

// hashKey is GHASH's key as POLYVAL has it (RFC 8452, appendix A): by x, low half first.
func hashKey(e engine) (low, high uint64) {
	var h [BlockSize]byte
	e.encrypt(h[:], h[:])
	low, high = binary.BigEndian.Uint64(h[8:]), binary.BigEndian.Uint64(h[:])
	carry := -(high >> 63)
	high = high<<1 | low>>63
	low = low<<1 ^ carry&1
	return low, high ^ carry&(0xc2<<56)
}

// ghash is the one without instructions for it: products without carries by those with
// them, of every fourth bit, so that no carry reaches the next one.
type ghash struct{ low, high uint64 }

// clmul is the lower half of the product of two polynomials.
func clmul(x, y uint64) uint64 {
	const every = 0x1111111111111111
	x0, x1, x2, x3 := x&every, x&(every<<1), x&(every<<2), x&(every<<3)
	y0, y1, y2, y3 := y&every, y&(every<<1), y&(every<<2), y&(every<<3)
	return (x0*y0^x1*y3^x2*y2^x3*y1)&every |
		(x0*y1^x1*y0^x2*y3^x3*y2)&(every<<1) |
		(x0*y2^x1*y1^x2*y0^x3*y3)&(every<<2) |
		(x0*y3^x1*y2^x2*y1^x3*y0)&(every<<3)
}

// clmulWide is the whole product.
func clmulWide(x, y uint64) (low, high uint64) {
	return clmul(x, y), bits.Reverse64(clmul(bits.Reverse64(x), bits.Reverse64(y))) >> 1
}

func (g *ghash) hash(state *[BlockSize]byte, blocks []byte) {
	low, high := binary.BigEndian.Uint64(state[8:]), binary.BigEndian.Uint64(state[:])
	for ; len(blocks) > 0; blocks = blocks[BlockSize:] {
		low ^= binary.BigEndian.Uint64(blocks[8:])
		high ^= binary.BigEndian.Uint64(blocks)
		p0, p1 := clmulWide(low, g.low)
		p2, p3 := clmulWide(high, g.high)
		m0, m1 := clmulWide(low^high, g.low^g.high)
		m0, m1 = m0^p0^p2, m1^p1^p3
		p1, p2 = p1^m0, p2^m1
		for range 2 { // by x^-64 each
			p0, p1 = p1^p0<<63^p0<<62^p0<<57, p0^p0>>1^p0>>2^p0>>7
		}
		low, high = p0^p2, p1^p3
	}
	binary.BigEndian.PutUint64(state[8:], low)
	binary.BigEndian.PutUint64(state[:], high)
}
