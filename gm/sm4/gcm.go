package sm4

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
)

const (
	mostPlain = (1<<32 - 2) * BlockSize // NIST SP 800-38D, 5.2.1.1
	atOnce    = 8 << 10                 // encrypted before it is hashed: the first cache has it still
)

// errOpen tells no more than that.
var errOpen = errors.New("sm4: message authentication failed")

// gcm is GCM (GB/T 36624, NIST SP 800-38D).
type gcm struct {
	e          engine
	h          hasher
	s          sealer // nil where there is none
	nonce, tag int
}

// sealer is a hasher that encrypts too, in one go.
type sealer interface {
	// seal encrypts src from the counter's next on, and takes what it makes and the lengths
	// into the state, which has data bytes of additional data. It gives the mask of the tag,
	// which is the counter's own block. The last 32 bits of counters must not wrap within
	// another piece after src.
	seal(dst, src []byte, counter, state *[BlockSize]byte, data int) (mask [BlockSize]byte)
	// brief encrypts a whole message that brief allows, and gives its tag. Of a message that
	// is opened src is what is hashed, and nothing is in dst unless the tag begins with want.
	brief(dst, src, data []byte, counter [BlockSize]byte, want []byte) (tag [BlockSize]byte, ok bool)
}

// isBrief says whether a message goes at once: in one buffer with its lengths and the tag's
// mask, or, where it is not opened, in one batch with the mask.
func isBrief(text, data []byte, opened bool) bool {
	const most = (many - 1) * BlockSize
	if len(text) <= most && len(data) <= most && padded(len(text))+padded(len(data)) <= most {
		return true
	}
	return !opened && len(text) > most && len(text) < piece && len(data) <= piece
}

// work is what a call needs beside its arguments.
type work struct {
	buf                     [many * BlockSize]byte
	counter, state, lengths [BlockSize]byte
}

var works = sync.Pool{New: func() any { return &work{} }}

func (w *work) done() {
	*w = work{}
	works.Put(w)
}

// padded is a length with what lacks to a whole block.
func padded(n int) int { return (n + BlockSize - 1) / BlockSize * BlockSize }

// room gives dst with n bytes more, and those. It panics where they overlap text, and do
// not begin where it does, or additional data.
func room(dst []byte, n int, text, data []byte) (all, out []byte) {
	all = slices.Grow(dst, n)[:len(dst)+n]
	out = all[len(dst):]
	if inexact(out[:len(text)], text) || touches(out, data) {
		panic("sm4: output overlaps input, and is not the same")
	}
	return all, out
}

// NewGCM is what cipher.NewGCM and its like call: nonces have nonceSize bytes, 12 being
// usual and quickest, and tags tagSize, 12 to 16. Messages have 2³⁶-32 bytes at most.
func (c *Cipher) NewGCM(nonceSize, tagSize int) (cipher.AEAD, error) {
	if nonceSize <= 0 {
		return nil, fmt.Errorf("sm4: nonces of %d bytes for GCM, want at least one", nonceSize)
	}
	if tagSize < 12 || tagSize > BlockSize {
		return nil, fmt.Errorf("sm4: tags of %d bytes for GCM, want 12 to %d", tagSize, BlockSize)
	}
	h := c.e.hasher()
	s, _ := h.(sealer)
	return &gcm{e: c.e, h: h, s: s, nonce: nonceSize, tag: tagSize}, nil
}

func (g *gcm) NonceSize() int { return g.nonce }
func (g *gcm) Overhead() int  { return g.tag }

// begin sets the counter to the block that masks the tag.
func (g *gcm) begin(w *work, nonce []byte) {
	if len(nonce) != g.nonce {
		panic(fmt.Sprintf("sm4: nonce of %d bytes for GCM, want %d", len(nonce), g.nonce))
	}
	if len(nonce) == 12 {
		copy(w.counter[:], nonce)
		w.counter[15] = 1
		return
	}
	g.take(w, &w.counter, nonce)
	binary.BigEndian.PutUint64(w.lengths[8:], uint64(len(nonce))*8)
	g.h.hash(&w.counter, w.lengths[:])
}

// brief gives the counter of a message that goes in one buffer, if it does.
func (g *gcm) brief(nonce, text, data []byte, opened bool) (counter [BlockSize]byte, ok bool) {
	if g.s == nil || g.nonce != 12 || len(nonce) != 12 || !isBrief(text, data, opened) {
		return counter, false
	}
	copy(counter[:], nonce)
	counter[15] = 1
	return counter, true
}

// take hashes b, with zeroes to a whole block.
func (g *gcm) take(w *work, state *[BlockSize]byte, b []byte) {
	n := len(b) / BlockSize * BlockSize
	g.h.hash(state, b[:n])
	if n < len(b) {
		clear(w.buf[:BlockSize])
		copy(w.buf[:], b[n:])
		g.h.hash(state, w.buf[:BlockSize])
	}
}

// stream adds the key stream from the counter on, of which the last 32 bits count by
// themselves: they wrap with nothing carried.
func (g *gcm) stream(w *work, dst, src []byte) {
	for len(src) > 0 {
		low := binary.BigEndian.Uint32(w.counter[12:])
		n := min(uint64(len(src)), (1<<32-uint64(low))*BlockSize)
		g.e.ctr(dst[:n], src[:n], &w.counter)
		binary.BigEndian.PutUint32(w.counter[12:], low+uint32((n+BlockSize-1)/BlockSize))
		dst, src = dst[n:], src[n:]
	}
}

// first gives the tag's mask, and the first bytes of the text with it, which are in the
// work's buffer after it too. The counter is right after it where there is no more than the
// mask, or more text.
func (g *gcm) first(w *work, dst, src []byte) (mask [BlockSize]byte, n int) {
	n = min(len(src), len(w.buf)-BlockSize)
	clear(w.buf[:BlockSize])
	copy(w.buf[BlockSize:], src[:n])
	end := BlockSize + n
	if g.s != nil && n > 0 { // 16 blocks take it no longer than one
		end = len(w.buf)
	}
	g.stream(w, w.buf[:end], w.buf[:end])
	copy(dst, w.buf[BlockSize:BlockSize+n])
	return [BlockSize]byte(w.buf[:]), n
}

// sum is the tag of additional data and cipher text, but for the mask.
func (g *gcm) sum(w *work, data, text []byte) {
	if end := padded(len(data)) + padded(len(text)); end <= len(w.buf)-BlockSize { // most are short
		clear(w.buf[:])
		from := len(w.buf) - BlockSize - end
		b := w.buf[from:]
		copy(b, data)
		copy(b[padded(len(data)):], text)
		binary.BigEndian.PutUint64(b[end:], uint64(len(data))*8)
		binary.BigEndian.PutUint64(b[end+8:], uint64(len(text))*8)
		if g.s != nil {
			b = w.buf[from&^(4*BlockSize-1):] // zeroes before them change nothing
		}
		g.h.hash(&w.state, b)
		return
	}
	g.take(w, &w.state, data)
	g.take(w, &w.state, text)
	g.finish(w, len(data), len(text))
}

func (g *gcm) finish(w *work, data, text int) {
	binary.BigEndian.PutUint64(w.lengths[:], uint64(data)*8)
	binary.BigEndian.PutUint64(w.lengths[8:], uint64(text)*8)
	g.h.hash(&w.state, w.lengths[:])
}

// Seal implements cipher.AEAD.
func (g *gcm) Seal(dst, nonce, plaintext, data []byte) []byte {
	if uint64(len(plaintext)) > mostPlain {
		panic("sm4: message is too long for GCM")
	}
	all, out := room(dst, len(plaintext)+g.tag, plaintext, data)
	if counter, ok := g.brief(nonce, plaintext, data, false); ok {
		tag, _ := g.s.brief(out[:len(plaintext)], plaintext, data, counter, nil)
		copy(out[len(plaintext):], tag[:g.tag])
		return all
	}
	w := works.Get().(*work)
	g.begin(w, nonce)
	text := out[:len(plaintext)]
	mask := g.encrypt(w, text, plaintext, data)
	subtle.XORBytes(out[len(text):], w.state[:g.tag], mask[:])
	w.done()
	return all
}

// encrypt makes the text of a message, and its tag but for the mask, which it gives.
func (g *gcm) encrypt(w *work, text, plaintext, data []byte) [BlockSize]byte {
	counted := uint64(binary.BigEndian.Uint32(w.counter[12:])) + uint64(len(plaintext)/BlockSize) + 2*most
	if g.s != nil && len(plaintext) > len(w.buf)-BlockSize && counted < 1<<32 {
		g.take(w, &w.state, data)
		return g.s.seal(text, plaintext, &w.counter, &w.state, len(data))
	}
	mask, n := g.first(w, text, plaintext)
	if n == len(text) {
		g.sum(w, data, text)
		return mask
	}
	g.take(w, &w.state, data)
	// Whole blocks but for the last piece, so that each is hashed when it is there.
	g.take(w, &w.state, text[:n])
	for n < len(text) {
		end := min(len(text), n+atOnce)
		g.stream(w, text[n:end], plaintext[n:end])
		g.take(w, &w.state, text[n:end])
		n = end
	}
	g.finish(w, len(data), len(text))
	return mask
}

// Open implements cipher.AEAD. Where it fails, nothing of the text is in dst.
func (g *gcm) Open(dst, nonce, ciphertext, data []byte) ([]byte, error) {
	if len(ciphertext) < g.tag || uint64(len(ciphertext)) > mostPlain+uint64(g.tag) {
		return nil, errOpen
	}
	text, tag := ciphertext[:len(ciphertext)-g.tag], ciphertext[len(ciphertext)-g.tag:]
	all, out := room(dst, len(text), text, data)
	if counter, ok := g.brief(nonce, text, data, true); ok {
		if _, ok := g.s.brief(out, text, data, counter, tag); !ok {
			clear(out)
			return nil, errOpen
		}
		return all, nil
	}
	w := works.Get().(*work)
	defer w.done()
	g.begin(w, nonce)
	g.sum(w, data, text)
	// Nothing is written before it is known to be right.
	var first []byte
	if len(text) <= len(w.buf)-BlockSize {
		first = text
	}
	mask, n := g.first(w, nil, first)
	subtle.XORBytes(w.state[:], w.state[:], mask[:])
	if subtle.ConstantTimeCompare(w.state[:g.tag], tag) != 1 {
		clear(out)
		return nil, errOpen
	}
	copy(out, w.buf[BlockSize:BlockSize+n])
	if n < len(text) {
		g.stream(w, out, text)
	}
	return all, nil
}
