package sm4

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

const (
	ahead = 2 * many * BlockSize // bytes of key stream that are made at once for short pieces
	most  = 80                   // blocks that a kernel works on at once
	piece = most * BlockSize     // what CBC decrypts at once
)

// ctr is CTR (GB/T 17964, NIST SP 800-38A): the whole block counts, big-endian.
type ctr struct {
	e    engine
	next [BlockSize]byte
	buf  [ahead]byte
	used int // of buf
}

// NewCTR is what cipher.NewCTR calls. It panics where iv is no block.
func (c *Cipher) NewCTR(iv []byte) cipher.Stream {
	if len(iv) != BlockSize {
		panic("sm4: the initial counter is not a block")
	}
	return &ctr{e: c.e, next: [BlockSize]byte(iv), used: ahead}
}

// XORKeyStream implements cipher.Stream.
func (c *ctr) XORKeyStream(dst, src []byte) {
	dst = fits(dst, src)
	n := subtle.XORBytes(dst, src, c.buf[c.used:])
	c.used += n
	dst, src = dst[n:], src[n:]
	if n := len(src) / BlockSize * BlockSize; n >= ahead {
		c.e.ctr(dst[:n], src[:n], &c.next)
		advance(&c.next, uint64(n/BlockSize))
		dst, src = dst[n:], src[n:]
	}
	if len(src) == 0 {
		return
	}
	clear(c.buf[:])
	c.e.ctr(c.buf[:], c.buf[:], &c.next)
	advance(&c.next, ahead/BlockSize)
	c.used = subtle.XORBytes(dst, src, c.buf[:])
}

// advance adds to a counter, modulo 2¹²⁸.
func advance(counter *[BlockSize]byte, n uint64) {
	low := binary.BigEndian.Uint64(counter[8:])
	binary.BigEndian.PutUint64(counter[8:], low+n)
	if low+n < low {
		binary.BigEndian.PutUint64(counter[:], binary.BigEndian.Uint64(counter[:])+1)
	}
}

// counters fills b with the counters from next on.
func counters(b []byte, next [BlockSize]byte) {
	for i := 0; i < len(b); i += BlockSize {
		copy(b[i:], next[:])
		advance(&next, 1)
	}
}

// cbcEncrypter is the encrypting side of CBC, in which each block waits for the last.
type cbcEncrypter struct {
	e    engine
	last [BlockSize]byte
}

// NewCBCEncrypter is what cipher.NewCBCEncrypter calls. It panics where iv is no block.
func (c *Cipher) NewCBCEncrypter(iv []byte) cipher.BlockMode {
	if len(iv) != BlockSize {
		panic("sm4: the initialization vector is not a block")
	}
	return &cbcEncrypter{e: c.e, last: [BlockSize]byte(iv)}
}

// BlockSize implements cipher.BlockMode.
func (c *cbcEncrypter) BlockSize() int { return BlockSize }

// CryptBlocks implements cipher.BlockMode.
func (c *cbcEncrypter) CryptBlocks(dst, src []byte) {
	if dst = whole(dst, src); len(dst) > 0 {
		c.e.cbc(dst, src, &c.last)
		copy(c.last[:], dst[len(dst)-BlockSize:])
	}
}

// cbcDecrypter is the decrypting side.
type cbcDecrypter struct {
	e    engine
	last [BlockSize]byte
	buf  [piece]byte
}

// NewCBCDecrypter is what cipher.NewCBCDecrypter calls. It panics where iv is no block.
func (c *Cipher) NewCBCDecrypter(iv []byte) cipher.BlockMode {
	if len(iv) != BlockSize {
		panic("sm4: the initialization vector is not a block")
	}
	return &cbcDecrypter{e: c.e, last: [BlockSize]byte(iv)}
}

// BlockSize implements cipher.BlockMode.
func (c *cbcDecrypter) BlockSize() int { return BlockSize }

// CryptBlocks implements cipher.BlockMode.
func (c *cbcDecrypter) CryptBlocks(dst, src []byte) {
	dst = whole(dst, src)
	for len(src) > 0 {
		// The plain text may be written over what the next block needs.
		n := min(len(src), piece)
		c.e.decrypt(c.buf[:n], src[:n])
		subtle.XORBytes(c.buf[:], c.buf[:BlockSize], c.last[:])
		subtle.XORBytes(c.buf[BlockSize:], c.buf[BlockSize:n], src)
		copy(c.last[:], src[n-BlockSize:n])
		copy(dst, c.buf[:n])
		clear(c.buf[:n])
		dst, src = dst[n:], src[n:]
	}
}
