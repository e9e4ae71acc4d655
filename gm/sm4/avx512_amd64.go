package sm4

import (
	"crypto/subtle"
	"encoding/binary"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]open{impl.Generic: openGeneric, impl.AVX512: openAVX512}

// avx512 holds round keys as the kernels take them.
type avx512 struct{ keys, back [32]uint32 }

func openAVX512(key *[KeySize]byte) engine {
	c := &avx512{}
	expandKeyGFNI(&key[0], &c.keys)
	for i, k := range c.keys {
		c.back[31-i] = k // the constants in them are the same from both ends
	}
	return c
}

func (c *avx512) encrypt(dst, src []byte) { wide(&c.keys, dst, src) }
func (c *avx512) decrypt(dst, src []byte) { wide(&c.back, dst, src) }

func (c *avx512) xts(dst, src, tweaks []byte, back bool) {
	keys := &c.keys
	if back {
		keys = &c.back
	}
	n := len(src) &^ (many*BlockSize - 1)
	if n > 0 {
		xtsAVX512(keys, &dst[0], &src[0], n/BlockSize, &tweaks[0])
	}
	if n < len(src) {
		dst, src, tweaks = dst[n:], src[n:], tweaks[n:]
		subtle.XORBytes(dst, src, tweaks)
		wide(keys, dst, dst)
		subtle.XORBytes(dst, dst, tweaks)
	}
}

// few blocks go one after the other.
const few = 2

func (c *avx512) cbc(dst, src []byte, iv *[BlockSize]byte) {
	if len(src) > 0 {
		cbcGFNI(&c.keys, &dst[0], &src[0], len(src)/BlockSize, iv)
	}
}

func wide(keys *[32]uint32, dst, src []byte) {
	if n := len(src) / BlockSize &^ (many - 1); n > 0 {
		blocksAVX512(keys, &dst[0], &src[0], n)
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
	switch {
	case len(src) == 0:
	case len(src) <= few*BlockSize: // one after the other is sooner done
		var zero [BlockSize]byte
		for ; len(src) > 0; dst, src = dst[BlockSize:], src[BlockSize:] {
			cbcGFNI(keys, &dst[0], &src[0], 1, &zero)
		}
	default:
		var rest [many * BlockSize]byte
		copy(rest[:], src)
		blocksAVX512(keys, &rest[0], &rest[0], many)
		copy(dst, rest[:])
	}
}

func (c *avx512) ctr(dst, src []byte, iv *[BlockSize]byte) {
	next := *iv
	for len(src) >= many*BlockSize {
		// The kernel counts with 32 bits: it goes as far as they do not wrap.
		left := 1<<32 - uint64(binary.BigEndian.Uint32(next[12:]))
		n := min(uint64(len(src)/BlockSize), left) &^ (many - 1)
		if n == 0 {
			n = many
			c.across(dst[:n*BlockSize], src, next)
		} else {
			ctrAVX512(&c.keys, &dst[0], &src[0], int(n), &next)
		}
		advance(&next, n)
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
	if len(src) > 0 {
		var in, out [many * BlockSize]byte
		copy(in[:], src)
		if binary.BigEndian.Uint32(next[12:]) <= 1<<32-many {
			ctrAVX512(&c.keys, &out[0], &in[0], many, &next)
		} else {
			c.across(out[:], in[:], next)
		}
		copy(dst, out[:])
	}
}

// across is for the 16 blocks within which the counter's low 32 bits wrap.
func (c *avx512) across(dst, src []byte, next [BlockSize]byte) {
	var stream [many * BlockSize]byte
	counters(stream[:], next)
	blocksAVX512(&c.keys, &stream[0], &stream[0], many)
	subtle.XORBytes(dst, src, stream[:])
}

// wideHash has the powers of GHASH's key, the highest first.
type wideHash struct {
	c      *avx512
	powers [most * BlockSize]byte
}

// first are the lowest 16.
func (w *wideHash) first() *byte { return &w.powers[(most-many)*BlockSize] }

func (c *avx512) hasher() hasher {
	var h [BlockSize]byte
	low, high := hashKey(c)
	binary.LittleEndian.PutUint64(h[:], low)
	binary.LittleEndian.PutUint64(h[8:], high)
	w := &wideHash{c: c}
	powersAVX512(&h, &w.powers[0], most)
	return w
}

func (w *wideHash) hash(state *[BlockSize]byte, blocks []byte) {
	if n := len(blocks) / BlockSize &^ (many - 1); n > 0 {
		ghashAVX512(w.first(), state, &blocks[0], n)
		blocks = blocks[n*BlockSize:]
	}
	if len(blocks) == 0 {
		return
	}
	// Blocks of zeroes before them, with a state of zero, change nothing.
	var rest [many * BlockSize]byte
	at := rest[len(rest)-len(blocks):]
	copy(at, blocks)
	for i, s := range state {
		at[i] ^= s
	}
	*state = [BlockSize]byte{}
	ghashAVX512(w.first(), state, &rest[0], many)
}

// seal implements sealer.
func (w *wideHash) seal(dst, src []byte, counter, state *[BlockSize]byte) (n int) {
	const step = most * BlockSize
	low := binary.BigEndian.Uint32(counter[12:])
	n = len(src) / step * step
	if n < 2*step || uint64(n/BlockSize) > 1<<32-1-uint64(low) {
		return 0
	}
	next := *counter
	ctrAVX512(&w.c.keys, &dst[0], &src[0], most, &next)
	binary.BigEndian.PutUint32(next[12:], low+most)
	gcmAVX512(&w.c.keys, &dst[step], &src[step], n/BlockSize-most, &next, &w.powers[0], state)
	w.hash(state, dst[n-step:n])
	binary.BigEndian.PutUint32(counter[12:], low+uint32(n/BlockSize))
	return n
}
