package sm4

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
)

// many is how many blocks the generic implementation works on at once.
const many = 16

// planes are the bits of 64 bytes, those of one significance in each word: of a word of
// 16 blocks, byte j of block b is bit 4b+j.
type planes [8]uint64

// generic holds round keys as the planes that have them in every block.
type generic struct{ keys, back [32]planes }

func openGeneric(key *[KeySize]byte) engine {
	g := &generic{}
	rk := expand(key)
	for i, k := range rk {
		g.keys[i] = spread(k)
		g.back[31-i] = g.keys[i]
	}
	return g
}

// expand is the key schedule, GB/T 32907-2016, 7.3.
func expand(key *[KeySize]byte) (rk [32]uint32) {
	k := [4]uint32{0xa3b1bac6, 0x56aa3350, 0x677d9197, 0xb27022dc}
	for i := range k {
		k[i] ^= binary.BigEndian.Uint32(key[4*i:])
	}
	for i := range rk {
		c := uint32(28*i) & 0xff
		constant := c<<24 | (c+7)&0xff<<16 | (c+14)&0xff<<8 | (c+21)&0xff
		t := substitute(k[(i+1)%4] ^ k[(i+2)%4] ^ k[(i+3)%4] ^ constant)
		k[i%4] ^= t ^ bits.RotateLeft32(t, 13) ^ bits.RotateLeft32(t, 23)
		rk[i] = k[i%4]
	}
	return rk
}

// substitute is the S-box of four bytes.
func substitute(w uint32) uint32 {
	x := turn(uint64(w))
	b0, b1, b2, b3, b4, b5, b6, b7 := sbox(x&15, x>>8&15, x>>16&15, x>>24&15, x>>32&15, x>>40&15, x>>48&15, x>>56)
	return uint32(turn(b0&15 | b1&15<<8 | b2&15<<16 | b3&15<<24 | b4&15<<32 | b5&15<<40 | b6&15<<48 | b7&15<<56))
}

// spread has a round key in each block.
func spread(k uint32) (p planes) {
	x := turn(uint64(bits.ReverseBytes32(k)))
	for i := range p {
		p[i] = x >> (8 * i) & 15 * 0x1111111111111111
	}
	return p
}

// turn transposes 8 by 8 bits, bit j of byte i becoming bit i of byte j.
func turn(x uint64) uint64 {
	t := (x ^ x>>7) & 0x00aa00aa00aa00aa
	x ^= t ^ t<<7
	t = (x ^ x>>14) & 0x0000cccc0000cccc
	x ^= t ^ t<<14
	t = (x ^ x>>28) & 0x00000000f0f0f0f0
	return x ^ t ^ t<<28
}

// turnBytes transposes 8 by 8 bytes.
func turnBytes(v *planes) {
	for i := range 4 {
		t := (v[i]>>32 ^ v[i+4]) & 0x00000000ffffffff
		v[i+4] ^= t
		v[i] ^= t << 32
	}
	for _, i := range [...]int{0, 1, 4, 5} {
		t := (v[i]>>16 ^ v[i+2]) & 0x0000ffff0000ffff
		v[i+2] ^= t
		v[i] ^= t << 16
	}
	for i := 0; i < 8; i += 2 {
		t := (v[i]>>8 ^ v[i+1]) & 0x00ff00ff00ff00ff
		v[i+1] ^= t
		v[i] ^= t << 8
	}
}

// ahead gives each byte of a word the one n places after it in memory, which turns the
// word to the left by n bytes.
func ahead1(v uint64) uint64 { return v>>1&0x7777777777777777 | v<<3&0x8888888888888888 }
func ahead2(v uint64) uint64 { return v>>2&0x3333333333333333 | v<<2&0xcccccccccccccccc }
func ahead3(v uint64) uint64 { return v>>3&0x1111111111111111 | v<<1&0xeeeeeeeeeeeeeeee }

// round changes x0 by the other three words.
func round(x0, x1, x2, x3, k *planes) {
	var s planes
	s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = sbox(
		x1[0]^x2[0]^x3[0]^k[0], x1[1]^x2[1]^x3[1]^k[1], x1[2]^x2[2]^x3[2]^k[2], x1[3]^x2[3]^x3[3]^k[3],
		x1[4]^x2[4]^x3[4]^k[4], x1[5]^x2[5]^x3[5]^k[5], x1[6]^x2[6]^x3[6]^k[6], x1[7]^x2[7]^x3[7]^k[7])
	// A turn by two bits moves planes, and the upper two to the next byte.
	up := planes{ahead1(s[6]), ahead1(s[7]), s[0], s[1], s[2], s[3], s[4], s[5]}
	for i := range x0 {
		x0[i] ^= s[i] ^ ahead3(s[i]) ^ up[i] ^ ahead1(up[i]) ^ ahead2(up[i])
	}
}

// crypt takes 16 blocks at most.
func crypt(keys *[32]planes, dst, src []byte) {
	var in [many * BlockSize]byte
	var x [4]planes
	copy(in[:], src)
	for w := range x {
		for i := range x[w] {
			two := in[2*BlockSize*i+4*w:]
			x[w][i] = turn(uint64(binary.LittleEndian.Uint32(two)) | uint64(binary.LittleEndian.Uint32(two[BlockSize:]))<<32)
		}
		turnBytes(&x[w])
	}
	for i := 0; i < len(keys); i += 4 {
		round(&x[0], &x[1], &x[2], &x[3], &keys[i])
		round(&x[1], &x[2], &x[3], &x[0], &keys[i+1])
		round(&x[2], &x[3], &x[0], &x[1], &keys[i+2])
		round(&x[3], &x[0], &x[1], &x[2], &keys[i+3])
	}
	for w := range x {
		turnBytes(&x[w])
		for i := range x[w] {
			v, two := turn(x[w][i]), in[2*BlockSize*i+4*(3-w):] // the last word first
			binary.LittleEndian.PutUint32(two, uint32(v))
			binary.LittleEndian.PutUint32(two[BlockSize:], uint32(v>>32))
		}
	}
	copy(dst, in[:])
}

func blocks(keys *[32]planes, dst, src []byte) {
	for len(src) > 0 {
		n := min(len(src), many*BlockSize)
		crypt(keys, dst[:n], src[:n])
		dst, src = dst[n:], src[n:]
	}
}

func (g *generic) encrypt(dst, src []byte) { blocks(&g.keys, dst, src) }
func (g *generic) decrypt(dst, src []byte) { blocks(&g.back, dst, src) }

func (g *generic) cbc(dst, src []byte, iv *[BlockSize]byte) { chain(g, dst, src, iv) }

// chain is CBC's encrypting side, one block after the other.
func chain(e engine, dst, src []byte, iv *[BlockSize]byte) {
	last := iv[:]
	for ; len(src) > 0; dst, src = dst[BlockSize:], src[BlockSize:] {
		subtle.XORBytes(dst, last, src[:BlockSize])
		last = dst[:BlockSize]
		e.encrypt(last, last)
	}
}

func (g *generic) hasher() hasher { return newPlainHash(g) }

func newPlainHash(e engine) hasher {
	low, high := hashKey(e)
	return &ghash{low, high}
}

func (g *generic) ctr(dst, src []byte, iv *[BlockSize]byte) {
	next := *iv
	var stream [many * BlockSize]byte
	for len(src) > 0 {
		n := min(len(src), len(stream))
		counters(stream[:], next)
		advance(&next, many)
		crypt(&g.keys, stream[:], stream[:])
		subtle.XORBytes(dst, src, stream[:n])
		dst, src = dst[n:], src[n:]
	}
}
