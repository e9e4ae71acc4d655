package sm4

import (
	"crypto/subtle"
	"encoding/binary"
)

// gfni is for those who have GFNI, and registers of 256 bits.
type gfni struct{ keys, back [32]uint32 }

func openGFNI(key *[KeySize]byte) engine {
	c := &gfni{}
	expandKeyGFNI(&key[0], &c.keys)
	for i, k := range c.keys {
		c.back[31-i] = k
	}
	return c
}

func (c *gfni) encrypt(dst, src []byte) { sixteens(&c.keys, dst, src) }
func (c *gfni) decrypt(dst, src []byte) { sixteens(&c.back, dst, src) }

// sixteens are whole ones, and what is left over among nothing.
func sixteens(keys *[32]uint32, dst, src []byte) {
	for len(src) >= many*BlockSize {
		n := min(len(src)/BlockSize&^(many-1), stretch)
		blocksGFNI(keys, &dst[0], &src[0], n)
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
	if len(src) > 0 {
		var rest [many * BlockSize]byte
		copy(rest[:], src)
		blocksGFNI(keys, &rest[0], &rest[0], many)
		copy(dst, rest[:])
	}
}

func (c *gfni) ctr(dst, src []byte, iv *[BlockSize]byte) {
	next := *iv
	for len(src) > 0 {
		var rest [many * BlockSize]byte
		n := min(len(src)/BlockSize, stretch) &^ (many - 1)
		// The kernel counts with 32 bits: it goes as far as they do not wrap.
		left := 1<<32 - uint64(binary.BigEndian.Uint32(next[12:]))
		switch n = int(min(uint64(n), left&^(many-1))); {
		case n > 0:
			ctrGFNI(&c.keys, &dst[0], &src[0], n, &next)
			advance(&next, uint64(n))
			dst, src = dst[n*BlockSize:], src[n*BlockSize:]
			continue
		case left >= many:
			ctrGFNI(&c.keys, &rest[0], &rest[0], many, &next)
		default:
			counters(rest[:], next)
			blocksGFNI(&c.keys, &rest[0], &rest[0], many)
		}
		advance(&next, many)
		n = subtle.XORBytes(dst, src, rest[:])
		dst, src = dst[n:], src[n:]
		clear(rest[:])
	}
}

func (c *gfni) cbc(dst, src []byte, iv *[BlockSize]byte) {
	for last := iv; len(src) > 0; {
		n := min(len(src)/BlockSize, slowStretch)
		cbcGFNI(&c.keys, &dst[0], &src[0], n, last)
		last = (*[BlockSize]byte)(dst[(n-1)*BlockSize:])
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
}

func (c *gfni) hasher() hasher { return newNarrowHash(c) }

// narrowHash is GHASH by products of 128 bits without carries.
type narrowHash struct{ powers [8 * BlockSize]byte }

func newNarrowHash(e engine) hasher {
	var h [BlockSize]byte
	low, high := hashKey(e)
	binary.LittleEndian.PutUint64(h[:], low)
	binary.LittleEndian.PutUint64(h[8:], high)
	n := &narrowHash{}
	powersCLMUL(&h, &n.powers[0], len(n.powers)/BlockSize)
	return n
}

func (n *narrowHash) hash(state *[BlockSize]byte, blocks []byte) {
	for len(blocks) > 0 {
		k := min(len(blocks), stretch*BlockSize)
		ghashCLMUL(&n.powers[0], state, &blocks[0], k/BlockSize)
		blocks = blocks[k:]
	}
}
