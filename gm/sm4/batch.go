package sm4

import (
	"crypto/cipher"
	"crypto/subtle"
	"sync"

	peer "github.com/emmansun/gmsm/sm4"
)

// batcher is what gmsm's ciphers are where they work on several blocks at once, by the
// instructions for AES or for SM4. One block by itself they do by tables, which tell of
// the key: here it goes with others, for nothing.
type batcher interface {
	cipher.Block
	Concurrency() int
	EncryptBlocks(dst, src []byte)
	DecryptBlocks(dst, src []byte)
}

// batch is gmsm's.
type batch struct {
	b    batcher
	size int // bytes of what it works on at once
	hash func(engine) hasher
}

// openBatch gives gmsm's, or the generic one where it has none that works so.
func openBatch(key *[KeySize]byte, hash func(engine) hasher) engine {
	c, err := peer.NewCipher(key[:])
	if err != nil { // of a key's length alone
		panic(err)
	}
	if b, ok := c.(batcher); ok && b.Concurrency() > 1 && b.Concurrency()*BlockSize <= len(aside{}.in) {
		return &batch{b, b.Concurrency() * BlockSize, hash}
	}
	return openGeneric(key)
}

// aside is room for a batch, which a call by an interface would have on the heap.
type aside struct{ in, out [32 * BlockSize]byte }

var asides = sync.Pool{New: func() any { return new(aside) }}

func (c *batch) crypt(do func(dst, src []byte), dst, src []byte) {
	for len(src) >= c.size {
		do(dst[:c.size], src[:c.size])
		dst, src = dst[c.size:], src[c.size:]
	}
	if len(src) > 0 {
		a := asides.Get().(*aside)
		copy(a.in[:], src)
		do(a.out[:c.size], a.in[:c.size])
		copy(dst, a.out[:len(src)])
		clear(a.in[:len(src)])
		clear(a.out[:len(src)])
		asides.Put(a)
	}
}

func (c *batch) encrypt(dst, src []byte) { c.crypt(c.b.EncryptBlocks, dst, src) }
func (c *batch) decrypt(dst, src []byte) { c.crypt(c.b.DecryptBlocks, dst, src) }

func (c *batch) ctr(dst, src []byte, iv *[BlockSize]byte) {
	next := *iv
	a := asides.Get().(*aside)
	stream := a.in[:c.size]
	for len(src) > 0 {
		counters(stream, next)
		advance(&next, uint64(c.size/BlockSize))
		c.b.EncryptBlocks(stream, stream)
		n := subtle.XORBytes(dst, src, stream)
		dst, src = dst[n:], src[n:]
	}
	clear(stream)
	asides.Put(a)
}

func (c *batch) cbc(dst, src []byte, iv *[BlockSize]byte) { chain(c, dst, src, iv) }
func (c *batch) hasher() hasher                           { return c.hash(c) }
