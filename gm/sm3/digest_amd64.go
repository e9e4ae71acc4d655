package sm3

import (
	"encoding/binary"
	"errors"
	"hash"

	peer "github.com/emmansun/gmsm/sm3"
)

// start is the state before a message, GB/T 32905-2016, 4.1.
var start = [8]uint32{0x7380166f, 0x4914b2b9, 0x172442d7, 0xda8a0600, 0xa96f30bc, 0x163138aa, 0xe38dee4d, 0xb0fb0e4e}

// Kernels of one message.
const (
	byPeer = iota
	byAVX2
	byAVX512
)

// New begins a hash. It implements hash.Cloner, encoding.BinaryMarshaler and
// encoding.BinaryUnmarshaler as well.
func New() hash.Hash {
	if chosen.blocks == byPeer {
		return peer.New()
	}
	return &digest{state: start}
}

// Sum hashes a message.
func Sum(message []byte) [Size]byte {
	if chosen.blocks == byPeer {
		return peer.Sum(message)
	}
	d := digest{state: start}
	_, _ = d.Write(message)
	return d.finish()
}

// digest is a hash under way. It has what hashes of the standard library have: it can be
// cloned, and marshaled, in the form that gmsm's has.
type digest struct {
	state  [8]uint32
	rest   [BlockSize]byte
	length uint64 // of all that was written
}

const (
	magic  = "sm3\x03"
	marked = len(magic) + Size + BlockSize + 8
)

// once is how many blocks go without a chance for others: 64 KiB.
const once = 1024

func (d *digest) Reset()         { *d = digest{state: start} }
func (d *digest) Size() int      { return Size }
func (d *digest) BlockSize() int { return BlockSize }

// Clone implements hash.Cloner.
func (d *digest) Clone() (hash.Cloner, error) {
	c := *d
	return &c, nil
}

func (d *digest) Write(p []byte) (int, error) {
	written := len(p)
	had := int(d.length % BlockSize)
	d.length += uint64(written)
	if had > 0 {
		n := copy(d.rest[had:], p)
		p = p[n:]
		if had+n < BlockSize {
			return written, nil
		}
		d.blocks(d.rest[:])
	}
	whole := len(p) &^ (BlockSize - 1)
	d.blocks(p[:whole])
	copy(d.rest[:], p[whole:])
	return written, nil
}

func (d *digest) blocks(p []byte) {
	for len(p) > 0 {
		n := min(len(p)/BlockSize, once)
		// Not by a variable, through which the state would escape to the heap.
		switch chosen.blocks {
		case byAVX512:
			blocksAVX512(&d.state, &p[0], n)
		default:
			blocksAVX2(&d.state, &p[0], n)
		}
		p = p[n*BlockSize:]
	}
}

// Sum implements hash.Hash: more may be written after it.
func (d *digest) Sum(b []byte) []byte {
	c := *d
	sum := c.finish()
	return append(b, sum[:]...)
}

// finish ends the message.
func (d *digest) finish() (sum [Size]byte) {
	had := int(d.length % BlockSize)
	d.rest[had] = 0x80
	clear(d.rest[had+1:])
	if had >= BlockSize-8 {
		d.blocks(d.rest[:])
		clear(d.rest[:])
	}
	binary.BigEndian.PutUint64(d.rest[BlockSize-8:], d.length*8)
	d.blocks(d.rest[:])
	for i, w := range d.state {
		binary.BigEndian.PutUint32(sum[4*i:], w)
	}
	return sum
}

// AppendBinary implements encoding.BinaryAppender.
func (d *digest) AppendBinary(b []byte) ([]byte, error) {
	b = append(b, magic...)
	for _, w := range d.state {
		b = binary.BigEndian.AppendUint32(b, w)
	}
	had := d.length % BlockSize
	b = append(b, d.rest[:had]...)
	b = append(b, make([]byte, BlockSize-had)...)
	return binary.BigEndian.AppendUint64(b, d.length), nil
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (d *digest) MarshalBinary() ([]byte, error) { return d.AppendBinary(make([]byte, 0, marked)) }

// UnmarshalBinary implements encoding.BinaryUnmarshaler.
func (d *digest) UnmarshalBinary(b []byte) error {
	if len(b) != marked || string(b[:len(magic)]) != magic {
		return errors.New("sm3: it is not the state of a hash")
	}
	b = b[len(magic):]
	for i := range d.state {
		d.state[i] = binary.BigEndian.Uint32(b[4*i:])
	}
	copy(d.rest[:], b[Size:])
	d.length = binary.BigEndian.Uint64(b[Size+BlockSize:])
	return nil
}
