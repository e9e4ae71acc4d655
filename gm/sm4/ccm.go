package sm4

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
	"math"
)

// ccm is CCM (RFC 3610, NIST SP 800-38C): a CBC-MAC of the plain text, and CTR.
type ccm struct {
	e          engine
	nonce, tag int
}

// NewCCM is for nonces of nonceSize bytes, 7 to 13, and tags of tagSize, an even number
// from 4 to 16. The longer the nonce the shorter the messages: of 13 bytes 64 KiB less
// one, of 12, as in TLS, 16 MiB less one.
func (c *Cipher) NewCCM(nonceSize, tagSize int) (cipher.AEAD, error) {
	if nonceSize < 7 || nonceSize > 13 {
		return nil, fmt.Errorf("sm4: nonces of %d bytes for CCM, want 7 to 13", nonceSize)
	}
	if tagSize < 4 || tagSize > BlockSize || tagSize%2 != 0 {
		return nil, fmt.Errorf("sm4: tags of %d bytes for CCM, want an even number from 4 to %d", tagSize, BlockSize)
	}
	return &ccm{c.e, nonceSize, tagSize}, nil
}

func (c *ccm) NonceSize() int { return c.nonce }
func (c *ccm) Overhead() int  { return c.tag }

// most is how long a message may be.
func (c *ccm) most() uint64 {
	if width := 8 * (15 - c.nonce); width < 64 {
		return 1<<width - 1
	}
	return math.MaxUint64
}

// mac takes b into w.state, behind what is in w.buf to at already, with zeroes to a
// whole block.
func (c *ccm) mac(w *work, at int, b []byte) {
	for first := true; first && at > 0 || len(b) > 0; first = false {
		n := copy(w.buf[at:], b)
		b = b[n:]
		end := padded(at + n)
		clear(w.buf[at+n : end])
		c.e.cbc(w.buf[:end], w.buf[:end], &w.state)
		copy(w.state[:], w.buf[end-BlockSize:end])
		at = 0
	}
}

// sum leaves the tag in w.state, but for its mask, RFC 3610, 2.2.
func (c *ccm) sum(w *work, nonce, text, data []byte) {
	w.state = [BlockSize]byte{}
	w.buf[0] = byte((c.tag-2)/2<<3 | (14 - c.nonce))
	if len(data) > 0 {
		w.buf[0] |= 1 << 6
	}
	binary.BigEndian.PutUint64(w.buf[8:], uint64(len(text)))
	copy(w.buf[1:], nonce)
	at := BlockSize
	switch n := uint64(len(data)); {
	case n == 0:
	case n < 1<<16-1<<8:
		at += copy(w.buf[at:], binary.BigEndian.AppendUint16(w.lengths[:0], uint16(n)))
	case n <= math.MaxUint32:
		at += copy(w.buf[at:], binary.BigEndian.AppendUint32(append(w.lengths[:0], 0xff, 0xfe), uint32(n)))
	default:
		at += copy(w.buf[at:], binary.BigEndian.AppendUint64(append(w.lengths[:0], 0xff, 0xff), n))
	}
	c.mac(w, at, data)
	c.mac(w, 0, text)
}

// begin checks the nonce, and sets the counter to the block that masks the tag.
func (c *ccm) begin(w *work, nonce []byte) {
	if len(nonce) != c.nonce {
		panic(fmt.Sprintf("sm4: nonce of %d bytes for CCM, want %d", len(nonce), c.nonce))
	}
	w.counter = [BlockSize]byte{}
	w.counter[0] = byte(14 - c.nonce)
	copy(w.counter[1:], nonce)
}

// mask turns the sum into the tag, and sets the counter to the text.
func (c *ccm) mask(w *work) {
	clear(w.buf[:BlockSize])
	c.e.ctr(w.buf[:BlockSize], w.buf[:BlockSize], &w.counter)
	subtle.XORBytes(w.state[:], w.state[:], w.buf[:BlockSize])
	w.counter[BlockSize-1] = 1
}

// Seal implements cipher.AEAD.
func (c *ccm) Seal(dst, nonce, plaintext, data []byte) []byte {
	if uint64(len(plaintext)) > c.most() {
		panic("sm4: message is too long for CCM with nonces of this size")
	}
	all, out := room(dst, len(plaintext)+c.tag, plaintext, data)
	w := works.Get().(*work)
	c.begin(w, nonce)
	c.sum(w, nonce, plaintext, data)
	c.mask(w)
	c.e.ctr(out[:len(plaintext)], plaintext, &w.counter)
	copy(out[len(plaintext):], w.state[:c.tag])
	w.done()
	return all
}

// Open implements cipher.AEAD. The text must be decrypted to be checked: where that
// fails, it is wiped from dst.
func (c *ccm) Open(dst, nonce, ciphertext, data []byte) ([]byte, error) {
	if len(ciphertext) < c.tag || uint64(len(ciphertext)-c.tag) > c.most() {
		return nil, errOpen
	}
	text, tag := ciphertext[:len(ciphertext)-c.tag], ciphertext[len(ciphertext)-c.tag:]
	all, out := room(dst, len(text), text, data)
	if touches(out, tag) { // which is looked at when out is written
		panic("sm4: output overlaps input, and is not the same")
	}
	w := works.Get().(*work)
	defer w.done()
	c.begin(w, nonce)
	w.counter[BlockSize-1] = 1
	c.e.ctr(out, text, &w.counter)
	c.sum(w, nonce, out, data)
	w.counter[BlockSize-1] = 0
	c.mask(w)
	if subtle.ConstantTimeCompare(w.state[:c.tag], tag) != 1 {
		clear(out)
		return nil, errOpen
	}
	return all, nil
}
