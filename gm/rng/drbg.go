package rng

import (
	"encoding/binary"
	"math/bits"

	"github.com/anole-os/anole/gm/sm3"
)

const (
	seedLen = 55 // bytes of V and of C
	// Block is the most that one step of the generator gives, in bytes.
	Block = sm3.Size
	// mostInput bounds entropy, nonce and additional input together.
	mostInput = 512
)

// drbg is the Hash_DRBG of GM/T 0105-2021, clause 9, on SM3. It differs from that of SP
// 800-90A in the order of what is hashed when it is seeded anew and in that a step gives
// one block. It allocates nothing.
type drbg struct {
	v     [1 + seedLen]byte // behind room for the byte that tells hashes of V apart
	c     [seedLen]byte
	count uint64 // steps since it was seeded, and 1
	buf   [6 + seedLen + mostInput]byte
}

// instantiate seeds it for the first time: at least 32 bytes of entropy and 16 of nonce,
// both together mostInput at most.
func (d *drbg) instantiate(entropy, nonce []byte) {
	material := append(append(d.buf[5:5], entropy...), nonce...)
	d.seed(len(material))
}

// reseed takes entropy, 32 bytes or more, and additional input, both together mostInput
// at most.
func (d *drbg) reseed(entropy, additional []byte) {
	material := append(d.buf[5:5], 1)
	material = append(append(append(material, entropy...), d.v[1:]...), additional...)
	d.seed(len(material))
}

// seed makes V of the first n bytes behind the first five of buf, and C of V.
func (d *drbg) seed(n int) {
	d.derive(d.v[1:], n)
	d.v[0] = 0
	d.derive(d.c[:], copy(d.buf[5:], d.v[:]))
	clear(d.buf[:])
	d.count = 1
}

// derive is Hash_df: it spreads the material in buf over dst, of seedLen bytes.
func (d *drbg) derive(dst []byte, n int) {
	binary.BigEndian.PutUint32(d.buf[1:], 8*seedLen)
	var out [2 * sm3.Size]byte
	for i := range 2 {
		d.buf[0] = byte(i + 1)
		h := sm3.Sum(d.buf[:5+n])
		copy(out[i*sm3.Size:], h[:])
	}
	copy(dst, out[:])
	clear(out[:])
}

// generate makes Block bytes at most, with additional input of mostInput at most or
// none.
func (d *drbg) generate(dst, additional []byte) {
	if len(additional) > 0 {
		d.v[0] = 2
		material := append(append(d.buf[:0], d.v[:]...), additional...)
		h := sm3.Sum(material)
		d.add(h[:])
		clear(material)
	}
	out := sm3.Sum(d.v[1:])
	copy(dst, out[:])
	clear(out[:])
	d.v[0] = 3
	h := sm3.Sum(d.v[:])
	var steps [8]byte
	binary.BigEndian.PutUint64(steps[:], d.count)
	d.add(h[:])
	d.add(d.c[:])
	d.add(steps[:])
	d.count++
}

// add adds a number, big-endian, to V.
func (d *drbg) add(x []byte) {
	var carry uint64
	i, j := len(d.v), len(x)
	for ; j >= 8; i, j = i-8, j-8 {
		var sum uint64
		sum, carry = bits.Add64(binary.BigEndian.Uint64(d.v[i-8:i]), binary.BigEndian.Uint64(x[j-8:j]), carry)
		binary.BigEndian.PutUint64(d.v[i-8:i], sum)
	}
	for ; i > 1; i-- {
		sum := carry + uint64(d.v[i-1])
		if j > 0 {
			j--
			sum += uint64(x[j])
		}
		d.v[i-1], carry = byte(sum), sum>>8
	}
}

// wipe forgets all.
func (d *drbg) wipe() { *d = drbg{} }
