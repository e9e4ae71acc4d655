package sm4

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"sync"
)

// XTS is the mode of storage, IEEE 1619 and GB/T 17964-2021, which differ in the order
// of a tweak's bits: pieces of 16 bytes and more, a sector each, encrypted to the same
// length under a number of their own. It tells of no change to them. It is safe for
// concurrent use.
type XTS struct {
	data, tweak *Cipher
	gb          bool
}

var errSameKeys = errors.New("sm4: both halves of the key for XTS are the same")

// NewXTS takes a key of 32 bytes, of two halves that are not the same, for IEEE 1619,
// which is what Linux' dm-crypt has.
func NewXTS(key []byte) (*XTS, error) { return newXTS(key, false) }

// NewXTSGB is NewXTS for GB/T 17964-2021.
func NewXTSGB(key []byte) (*XTS, error) { return newXTS(key, true) }

func newXTS(key []byte, gb bool) (*XTS, error) {
	if len(key) != 2*KeySize {
		return nil, XTSKeySizeError(len(key))
	}
	if [KeySize]byte(key) == [KeySize]byte(key[KeySize:]) {
		return nil, errSameKeys
	}
	data, err := NewCipher(key[:KeySize])
	if err != nil {
		return nil, err
	}
	tweak, err := NewCipher(key[KeySize:])
	return &XTS{data, tweak, gb}, err
}

// EncryptSector encrypts a sector under its number. It panics where src has fewer than
// 16 bytes, dst is shorter, or where they overlap and are not the same.
func (x *XTS) EncryptSector(dst, src []byte, number uint64) {
	x.crypt(dst, src, numbered(number), false)
}

// DecryptSector is the opposite of EncryptSector.
func (x *XTS) DecryptSector(dst, src []byte, number uint64) {
	x.crypt(dst, src, numbered(number), true)
}

// EncryptSectors encrypts sectors of size bytes, one after the other, the first of which
// has that number, and each a number that is step higher: 1, or, as dm-crypt counts 512
// bytes unless it is told otherwise, size/512. It takes less time than each by itself
// does. It panics as EncryptSector does, and where size is less than 16 or src is no whole
// number of sectors.
func (x *XTS) EncryptSectors(dst, src []byte, size int, number, step uint64) {
	x.run(dst, src, size, number, step, false)
}

// DecryptSectors is the opposite of EncryptSectors.
func (x *XTS) DecryptSectors(dst, src []byte, size int, number, step uint64) {
	x.run(dst, src, size, number, step, true)
}

func (x *XTS) run(dst, src []byte, size int, number, step uint64, back bool) {
	if size < BlockSize || len(src)%size != 0 {
		panic("sm4: input is not of full sectors")
	}
	dst = fits(dst, src)
	s := sectors.Get().(*sector)
	defer s.free()
	var tweaks [many * BlockSize]byte
	for len(src) > 0 {
		n := min(many, len(src)/size)
		for i := range n {
			t := numbered(number)
			copy(tweaks[i*BlockSize:], t[:])
			number += step
		}
		x.tweak.e.encrypt(tweaks[:n*BlockSize], tweaks[:n*BlockSize])
		for i := range n {
			s.last = [BlockSize]byte(tweaks[i*BlockSize:])
			x.sector(s, dst[:size], src[:size], back)
			dst, src = dst[size:], src[size:]
		}
	}
	clear(tweaks[:])
}

// Encrypt is EncryptSector with a tweak of 16 bytes, of which a number is the first
// eight, the least first.
func (x *XTS) Encrypt(dst, src []byte, tweak [BlockSize]byte) { x.crypt(dst, src, tweak, false) }

// Decrypt is the opposite of Encrypt.
func (x *XTS) Decrypt(dst, src []byte, tweak [BlockSize]byte) { x.crypt(dst, src, tweak, true) }

func numbered(n uint64) (tweak [BlockSize]byte) {
	binary.LittleEndian.PutUint64(tweak[:], n)
	return tweak
}

// tweaker is an engine that makes tweaks itself, the first of which is given, as the
// standard has it, and then the one that is next: for as much of src as it does, and tells.
type tweaker interface {
	sectors(dst, src []byte, tweak *[BlockSize]byte, gb, back bool) (n int)
}

// sector is what a call needs beside its arguments.
type sector struct {
	tweaks [256 * BlockSize]byte
	used   int // bytes of them
	last   [BlockSize]byte
}

// free wipes what tweaks there were.
func (s *sector) free() {
	clear(s.tweaks[:s.used])
	s.used = 0
	clear(s.last[:])
	sectors.Put(s)
}

var sectors = sync.Pool{New: func() any { return &sector{} }}

func (x *XTS) crypt(dst, src []byte, tweak [BlockSize]byte, back bool) {
	if len(src) < BlockSize {
		panic("sm4: input is not a full block")
	}
	dst = fits(dst, src)
	s := sectors.Get().(*sector)
	defer s.free()
	s.last = tweak
	x.tweak.e.encrypt(s.last[:], s.last[:])
	x.sector(s, dst, src, back)
}

// sector is one, whose encrypted tweak is the last.
func (x *XTS) sector(s *sector, dst, src []byte, back bool) {
	// Of a last block that is short the one before it is not of the usual.
	rest := len(src) % BlockSize
	n := len(src) - rest
	if rest > 0 {
		n -= BlockSize
	}
	at := 0
	if t, ok := x.data.e.(tweaker); ok && n > 0 {
		at = t.sectors(dst[:n], src[:n], &s.last, x.gb, back)
	}
	for at < n {
		end := min(n, at+len(s.tweaks))
		x.advance(s, end-at)
		tweaked(x.data.e, dst[at:end], src[at:end], s.tweaks[:end-at], back)
		at = end
	}
	if rest > 0 {
		x.steal(s, dst[n:], src[n:], back)
	}
}

// advance makes tweaks of n bytes, from the last one on, each the one before it by x.
func (x *XTS) advance(s *sector, n int) {
	s.used = max(s.used, n)
	if x.gb {
		high, low := binary.BigEndian.Uint64(s.last[:]), binary.BigEndian.Uint64(s.last[8:])
		for i := 0; i < n; i += BlockSize {
			binary.BigEndian.PutUint64(s.tweaks[i:], high)
			binary.BigEndian.PutUint64(s.tweaks[i+8:], low)
			carry := -(low & 1)
			low = low>>1 | high<<63
			high = high>>1 ^ carry&(0xe1<<56)
		}
		binary.BigEndian.PutUint64(s.last[:], high)
		binary.BigEndian.PutUint64(s.last[8:], low)
		return
	}
	low, high := binary.LittleEndian.Uint64(s.last[:]), binary.LittleEndian.Uint64(s.last[8:])
	for i := 0; i < n; i += BlockSize {
		binary.LittleEndian.PutUint64(s.tweaks[i:], low)
		binary.LittleEndian.PutUint64(s.tweaks[i+8:], high)
		carry := -(high >> 63)
		high = high<<1 | low>>63
		low = low<<1 ^ carry&0x87
	}
	binary.LittleEndian.PutUint64(s.last[:], low)
	binary.LittleEndian.PutUint64(s.last[8:], high)
}

// steal is for a block and a part of one: what the part lacks is taken from the block.
func (x *XTS) steal(s *sector, dst, src []byte, back bool) {
	x.advance(s, 2*BlockSize)
	first, second := s.tweaks[:BlockSize], s.tweaks[BlockSize:2*BlockSize]
	if back {
		first, second = second, first
	}
	block, rest := s.tweaks[2*BlockSize:3*BlockSize], len(src)-BlockSize
	part := s.tweaks[3*BlockSize:][:rest]
	tweaked(x.data.e, block, src[:BlockSize], first, back)
	copy(part, src[BlockSize:])
	copy(dst[BlockSize:], block[:rest])
	copy(block, part)
	tweaked(x.data.e, dst[:BlockSize], block, second, back)
	clear(block)
	clear(part)
}

// tweaked adds tweaks before and after.
func tweaked(e engine, dst, src, tweaks []byte, back bool) {
	subtle.XORBytes(dst, src, tweaks)
	if back {
		e.decrypt(dst, dst)
	} else {
		e.encrypt(dst, dst)
	}
	subtle.XORBytes(dst, dst, tweaks)
}
