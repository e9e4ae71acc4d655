package sm4

import (
	"crypto/cipher"
	"fmt"
	"unsafe"
)

// BlockSize and KeySize are in bytes.
const (
	BlockSize = 16
	KeySize   = 16
)

// KeySizeError is of a key of as many bytes, not 16.
type KeySizeError int

func (e KeySizeError) Error() string {
	return fmt.Sprintf("sm4: the key has %d bytes, want %d", int(e), KeySize)
}

// XTSKeySizeError is of a key for XTS of as many bytes, not 32.
type XTSKeySizeError int

func (e XTSKeySizeError) Error() string {
	return fmt.Sprintf("sm4: the key for XTS has %d bytes, want %d", int(e), 2*KeySize)
}

// Cipher is SM4 under one key. It is safe for concurrent use.
type Cipher struct{ e engine }

// engine is an implementation under one key. dst and src are of the same length, a
// multiple of BlockSize, and are the same or do not overlap.
type engine interface {
	encrypt(dst, src []byte)
	decrypt(dst, src []byte)
	// ctr adds the key stream of the counters from iv on to src, which may end in the
	// middle of a block. iv stays.
	ctr(dst, src []byte, iv *[BlockSize]byte)
	// cbc encrypts by CBC. iv stays.
	cbc(dst, src []byte, iv *[BlockSize]byte)
	hasher() hasher
}

var _ cipher.Block = (*Cipher)(nil)

// NewCipher takes a key of 16 bytes; the error is a KeySizeError.
func NewCipher(key []byte) (*Cipher, error) {
	if len(key) != KeySize {
		return nil, KeySizeError(len(key))
	}
	return &Cipher{e: chosen((*[KeySize]byte)(key))}, nil
}

// BlockSize is 16.
func (c *Cipher) BlockSize() int { return BlockSize }

// Encrypt takes the first block of src. It panics where dst or src has none, or where
// they overlap and are not the same.
func (c *Cipher) Encrypt(dst, src []byte) {
	dst, src = first(dst, src)
	c.e.encrypt(dst, src)
}

// Decrypt is the opposite of Encrypt.
func (c *Cipher) Decrypt(dst, src []byte) {
	dst, src = first(dst, src)
	c.e.decrypt(dst, src)
}

// EncryptBlocks encrypts block after block, each by itself (ECB), which hides no
// pattern of what it encrypts: it is to build modes on. It panics where src is no whole
// number of blocks, dst is shorter, or where they overlap and are not the same.
func (c *Cipher) EncryptBlocks(dst, src []byte) {
	c.e.encrypt(whole(dst, src), src)
}

// DecryptBlocks is the opposite of EncryptBlocks.
func (c *Cipher) DecryptBlocks(dst, src []byte) {
	c.e.decrypt(whole(dst, src), src)
}

func first(dst, src []byte) (_, _ []byte) {
	if len(src) < BlockSize {
		panic("sm4: input is not a full block")
	}
	if len(dst) < BlockSize {
		panic("sm4: output is not a full block")
	}
	return whole(dst, src[:BlockSize]), src[:BlockSize]
}

func whole(dst, src []byte) []byte {
	if len(src)%BlockSize != 0 {
		panic("sm4: input is not of full blocks")
	}
	return fits(dst, src)
}

// fits gives as much of dst as src is long.
func fits(dst, src []byte) []byte {
	if len(dst) < len(src) {
		panic("sm4: output is shorter than input")
	}
	dst = dst[:len(src)]
	if inexact(dst, src) {
		panic("sm4: output overlaps input, and is not the same")
	}
	return dst
}

// inexact says whether two of the same length overlap and do not begin at one byte.
func inexact(a, b []byte) bool {
	return len(a) > 0 && &a[0] != &b[0] && touches(a, b)
}

// touches says whether two pieces of memory have a byte in common.
func touches(a, b []byte) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	from, to := uintptr(unsafe.Pointer(&a[0])), uintptr(unsafe.Pointer(&b[0]))
	return from < to+uintptr(len(b)) && to < from+uintptr(len(a))
}
