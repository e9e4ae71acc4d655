package sm4

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"

	"github.com/anole-os/anole/gm/internal/impl"
)

var implementations = map[impl.Level]open{impl.Generic: openGeneric, impl.AVX2: openAES, impl.GFNI: openGFNI, impl.AVX512: openAVX512}

// So many blocks go without a chance for others: a kernel cannot be interrupted. They are
// a multiple of what any takes at once.
const (
	stretch     = 200 * most
	slowStretch = stretch / 16
)

// avx512 holds round keys as the kernels take them.
type avx512 struct{ keys, back [32]uint32 }

func openAVX512(key *[KeySize]byte) engine {
	c := &avx512{}
	expandKeyAVX512(&key[0], &c.keys)
	for i, k := range c.keys {
		c.back[31-i] = k // the constants in them are the same from both ends
	}
	return c
}

func (c *avx512) encrypt(dst, src []byte) { wide(&c.keys, dst, src) }
func (c *avx512) decrypt(dst, src []byte) { wide(&c.back, dst, src) }

// by gives the round keys for a direction.
func (c *avx512) by(back bool) *[32]uint32 {
	if back {
		return &c.back
	}
	return &c.keys
}

// Matrices that bring a tweak's bytes to the order of a standard's bits.
const (
	orderIEEE = 0x0102040810204080
	orderGB   = 0x8040201008040201
)

// sectors implements tweaker.
func (c *avx512) sectors(dst, src []byte, tweak *[BlockSize]byte, gb, back bool) (n int) {
	n = len(src) / BlockSize &^ (many - 1)
	if n == 0 {
		return 0
	}
	order := uint64(orderIEEE)
	if gb {
		order = orderGB
		turnBits(tweak)
	}
	for at := 0; at < n; at += stretch {
		xtsAVX512(c.by(back), &dst[at*BlockSize], &src[at*BlockSize], min(n-at, stretch), tweak, order)
	}
	if gb {
		turnBits(tweak)
	}
	return n * BlockSize
}

// turnBits turns the bits of each byte round.
func turnBits(b *[BlockSize]byte) {
	for i, v := range b {
		b[i] = bits.Reverse8(v)
	}
}

// few blocks go one after the other.
const few = 2

func (c *avx512) cbc(dst, src []byte, iv *[BlockSize]byte) {
	for last := iv; len(src) > 0; {
		n := min(len(src)/BlockSize, slowStretch)
		cbcAVX512(&c.keys, &dst[0], &src[0], n, last)
		last = (*[BlockSize]byte)(dst[(n-1)*BlockSize:])
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
}

func wide(keys *[32]uint32, dst, src []byte) {
	for len(src) >= many*BlockSize {
		n := min(len(src)/BlockSize&^(many-1), stretch)
		blocksAVX512(keys, &dst[0], &src[0], n)
		dst, src = dst[n*BlockSize:], src[n*BlockSize:]
	}
	switch {
	case len(src) == 0:
	case len(src) <= few*BlockSize: // one after the other is sooner done
		var zero [BlockSize]byte
		for ; len(src) > 0; dst, src = dst[BlockSize:], src[BlockSize:] {
			cbcAVX512(keys, &dst[0], &src[0], 1, &zero)
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
		n := min(uint64(len(src)/BlockSize), left, stretch) &^ (many - 1)
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
		clear(in[:])
		clear(out[:])
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

func (c *avx512) hasher() hasher {
	var h [BlockSize]byte
	low, high := hashKey(c)
	binary.LittleEndian.PutUint64(h[:], low)
	binary.LittleEndian.PutUint64(h[8:], high)
	w := &wideHash{c: c}
	powersCLMUL(&h, &w.powers[0], most)
	return w
}

func (w *wideHash) hash(state *[BlockSize]byte, blocks []byte) {
	const four = 4 * BlockSize
	if n := len(blocks) &^ (four - 1); n > 0 {
		for at := 0; at < n; at += stretch * BlockSize {
			ghashAVX512(&w.powers[0], state, &blocks[at], min(n-at, stretch*BlockSize)/BlockSize)
		}
		blocks = blocks[n:]
	}
	if len(blocks) == 0 {
		return
	}
	// Blocks of zeroes before them, with a state of zero, change nothing.
	var rest [four]byte
	at := rest[four-len(blocks):]
	subtle.XORBytes(at, blocks, state[:])
	copy(at[BlockSize:], blocks[BlockSize:])
	*state = [BlockSize]byte{}
	ghashAVX512(&w.powers[0], state, &rest[0], four/BlockSize)
}

// nothing is what key streams are added to.
var nothing group

// brief implements sealer. What was stored in pieces is not loaded by wider ones right
// after, which would have to wait for it to be in the cache.
func (w *wideHash) brief(dst, src, data []byte, counter [BlockSize]byte, want []byte) (tag [BlockSize]byte, ok bool) {
	if len(src) > len(group{})-BlockSize {
		next := counter
		binary.BigEndian.PutUint32(next[12:], binary.BigEndian.Uint32(counter[12:])+1)
		var state [BlockSize]byte
		whole := len(data) &^ (BlockSize - 1)
		w.hash(&state, data[:whole])
		if whole < len(data) {
			var last [BlockSize]byte
			copy(last[:], data[whole:])
			w.hash(&state, last[:])
		}
		tag = w.end(dst, src, &next, &state, binary.BigEndian.Uint32(counter[12:]), len(data), len(src))
		subtle.XORBytes(tag[:], tag[:], state[:])
		return tag, true
	}
	var stream, hashed group
	ctrAVX512(&w.c.keys, &stream[0], &nothing[0], many, &counter)
	at := padded(len(data))
	end := at + padded(len(src))
	copy(hashed[:], data)
	if want == nil {
		subtle.XORBytes(hashed[at:], src, stream[BlockSize:]) // dst may be src
		copy(dst, hashed[at:at+len(src)])
	} else {
		copy(hashed[at:], src)
	}
	var state [BlockSize]byte
	w.lengths(&state, &hashed, end, len(data), len(src))
	subtle.XORBytes(tag[:], state[:], stream[:BlockSize])
	ok = want == nil || subtle.ConstantTimeCompare(tag[:len(want)], want) == 1
	if want != nil && ok {
		subtle.XORBytes(dst, src, stream[BlockSize:])
	}
	stream = group{}
	return tag, ok
}

// group is what a kernel works on at least.
type group [many * BlockSize]byte

// lengths takes a message's last n bytes, of whole blocks, and its lengths into the state.
func (w *wideHash) lengths(state *[BlockSize]byte, last *group, n, data, text int) {
	binary.BigEndian.PutUint64(last[n:], uint64(data)*8)
	binary.BigEndian.PutUint64(last[n+8:], uint64(text)*8)
	const narrow = 8
	if blocks := n/BlockSize + 1; blocks <= narrow {
		ghashCLMUL(&w.powers[(most-narrow)*BlockSize], state, &last[0], blocks)
	} else {
		w.hash(state, last[:n+BlockSize])
	}
}

// end is for the end of a message, less than 80 blocks, and the mask of its tag, the
// counter of which is low. It takes what it makes, and the lengths, into the state.
func (w *wideHash) end(dst, src []byte, next, state *[BlockSize]byte, low uint32, data, text int) (mask [BlockSize]byte) {
	var last group
	groups := len(src) / len(last)
	rest := src[groups*len(last):]
	if len(rest) > len(last)-BlockSize { // there is no room for the mask
		copy(last[:], rest)
		stream := *next
		binary.BigEndian.PutUint32(stream[12:], binary.BigEndian.Uint32(next[12:])+uint32(groups*many))
		ctrAVX512(&w.c.keys, &last[0], &last[0], many, &stream)
		kept := last
		last = group{}
		mask = w.direct(dst, src, groups, next, state, &last, low)
		copy(dst[groups*len(last):], kept[:len(rest)])
		clear(kept[len(rest):])
		w.hash(state, kept[:])
		last = group{}
		w.lengths(state, &last, 0, data, text)
		return mask
	}
	copy(last[:], rest)
	mask = w.direct(dst, src, groups, next, state, &last, low)
	copy(dst[groups*len(last):], last[:len(rest)])
	clear(last[len(rest):])
	w.lengths(state, &last, padded(len(rest)), data, text)
	return mask
}

// direct is for whole groups, which it takes into the state, and for last, in which the
// mask is the last block.
func (w *wideHash) direct(dst, src []byte, groups int, next, state *[BlockSize]byte, last *group, low uint32) [BlockSize]byte {
	to, from := &last[0], &last[0]
	if groups > 0 {
		to, from = &dst[0], &src[0]
	}
	tailAVX512(&w.c.keys, to, from, groups, (*[256]byte)(last), next, low)
	w.hash(state, dst[:groups*len(last)])
	return [BlockSize]byte(last[len(last)-BlockSize:])
}

// seal implements sealer.
func (w *wideHash) seal(dst, src []byte, counter, state *[BlockSize]byte, data int) (mask [BlockSize]byte) {
	low := binary.BigEndian.Uint32(counter[12:])
	next := *counter
	text := len(src)
	binary.BigEndian.PutUint32(next[12:], low+1)
	if n := len(src) / piece * piece; n > 0 {
		w.pieces(dst[:n], src[:n], &next, state)
		dst, src = dst[n:], src[n:]
	}
	return w.end(dst, src, &next, state, low, data, text)
}

// pieces is for whole ones: each is hashed while the next one is encrypted.
func (w *wideHash) pieces(dst, src []byte, next, state *[BlockSize]byte) {
	n := len(src)
	ctrAVX512(&w.c.keys, &dst[0], &src[0], most, next)
	low := binary.BigEndian.Uint32(next[12:])
	for at := piece; at < n; at += stretch * BlockSize {
		binary.BigEndian.PutUint32(next[12:], low+uint32(at/BlockSize))
		gcmAVX512(&w.c.keys, &dst[at], &src[at], min((n-at)/BlockSize, stretch), next, &w.powers[0], state)
	}
	w.hash(state, dst[n-piece:])
	binary.BigEndian.PutUint32(next[12:], low+uint32(n/BlockSize))
}
