package seal

import (
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
)

// What a file is refused with.
var (
	ErrMalformed = errors.New("seal: not a sealed file, or of a version that is not known here")
	ErrDamaged   = errors.New("seal: the file was changed, cut or extended")
	ErrKey       = errors.New("seal: the file is not sealed for this key")
	ErrPassword  = errors.New("seal: the password is wrong, or the file was changed")
	ErrNoWord    = errors.New("seal: the file is not sealed under a password")
	ErrWork      = errors.New("seal: the file asks for more iterations than are allowed")
)

// Bounds of the format.
const (
	minLog, maxLog = 12, 20
	defaultLog     = 16
	maxKeys        = 16384
	maxStanzas     = 64
	masterLen      = 32
	tagLen         = 16
	prefixLen      = 7
	headLen        = 12
	macLen         = sm3.Size
)

const magic = "\x89gmseal\n"

// Options is how to seal.
type Options struct {
	Recipients []*sm2.PublicKey // whose holders may open it
	Password   []byte           // with which it may be opened; nil has none
	Iterations int              // of PBKDF2; 0 is keys.Iterations
}

// Opener is what opens: a key or a password.
type Opener struct {
	Key      *sm2.PrivateKey
	Password keys.Password // asked only of a file that is under one
	// most bounds iterations; 0 is keys.MaxIterations.
	most int
}

// ready asks policy.Default about the algorithms of the format, of which a file has some or
// all, and selftest.OK.
func ready(op policy.Op) error {
	for _, of := range []struct {
		op  policy.Op
		alg policy.Alg
	}{{op, policy.SM4}, {op, policy.SM2}, {policy.MAC, policy.HMACSM3}} {
		if err := policy.Check(of.op, of.alg, policy.Params{Mode: "gcm"}); err != nil {
			return err
		}
	}
	if err := selftest.OK(); err != nil {
		return fmt.Errorf("seal: %w", err)
	}
	return nil
}

// stream is what both directions have.
type stream struct {
	aead   cipher.AEAD
	nonce  [prefixLen + 5]byte
	number uint64
	size   int // of a chunk
}

func newStream(master []byte, size int) (*stream, error) {
	k, err := hkdf.Key(sm3.New, master, nil, "anole gm seal 1 payload", sm4.KeySize+prefixLen)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	defer clear(k)
	block, err := sm4.NewCipher(k[:sm4.KeySize])
	if err != nil {
		return nil, err
	}
	s := &stream{size: size}
	copy(s.nonce[:], k[sm4.KeySize:])
	s.aead, err = cipher.NewGCM(block)
	return s, err
}

// next gives the nonce of the next chunk.
func (s *stream) next(last bool) ([]byte, error) {
	if s.number > 1<<32-1 {
		return nil, errors.New("seal: more chunks than the format has numbers for")
	}
	binary.BigEndian.PutUint32(s.nonce[prefixLen:], uint32(s.number))
	s.nonce[prefixLen+4] = 0
	if last {
		s.nonce[prefixLen+4] = 1
	}
	s.number++
	return s.nonce[:], nil
}

// Writer seals what is written to it. It is for one goroutine.
type Writer struct {
	w      io.Writer
	s      *stream
	buf    []byte // not sealed yet: at most a chunk
	sealed []byte
	err    error
	closed bool
}

// NewWriter writes the head of a sealed file. Without Close the file does not open.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	return newWriter(context.Background(), w, o)
}

func newWriter(ctx context.Context, w io.Writer, o Options) (*Writer, error) {
	if err := ready(policy.Encrypt); err != nil {
		return nil, err
	}
	master := make([]byte, masterLen)
	if _, err := rng.Read(master); err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	defer clear(master)
	head, err := header(ctx, master, &o)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	size := 1 << defaultLog
	s, err := newStream(master, size)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(head); err != nil {
		return nil, err
	}
	return &Writer{w: w, s: s, buf: make([]byte, 0, size), sealed: make([]byte, 0, size+tagLen)}, nil
}

// Write implements io.Writer.
func (w *Writer) Write(b []byte) (int, error) {
	if w.closed {
		return 0, errors.New("seal: written to after its end")
	}
	n := len(b)
	for len(b) > 0 {
		if w.err != nil {
			return n - len(b), w.err
		}
		if len(w.buf) == w.s.size { // more follows: it is not the last
			w.chunk(false)
			continue
		}
		k := copy(w.buf[len(w.buf):w.s.size], b)
		w.buf, b = w.buf[:len(w.buf)+k], b[k:]
	}
	return n, nil
}

func (w *Writer) chunk(last bool) {
	nonce, err := w.s.next(last)
	if err == nil {
		w.sealed = w.s.aead.Seal(w.sealed[:0], nonce, w.buf, nil)
		_, err = w.w.Write(w.sealed)
	}
	w.buf, w.err = w.buf[:0], err
}

// Close writes the last chunk. It does not close what is below.
func (w *Writer) Close() error {
	if !w.closed && w.err == nil {
		w.chunk(true)
	}
	w.closed = true
	clear(w.buf[:cap(w.buf)])
	return w.err
}

// Reader opens a sealed file. What it gives is authentic and in order; that it is all is
// known at io.EOF only. It is for one goroutine.
type Reader struct {
	r       io.Reader
	s       *stream
	in      []byte // a chunk and a byte of the next
	have    int    // bytes of in
	plain   []byte // not read yet
	out     []byte
	err     error
	drained bool
}

// NewReader reads the head of a sealed file.
func NewReader(r io.Reader, o Opener) (*Reader, error) {
	return newReader(context.Background(), r, o)
}

func newReader(ctx context.Context, r io.Reader, o Opener) (*Reader, error) {
	if err := ready(policy.Decrypt); err != nil {
		return nil, err
	}
	master, size, err := readHeader(ctx, r, &o)
	if err != nil {
		return nil, err
	}
	defer clear(master)
	s, err := newStream(master, size)
	if err != nil {
		return nil, err
	}
	return &Reader{r: r, s: s, in: make([]byte, size+tagLen+1), out: make([]byte, 0, size)}, nil
}

// Read implements io.Reader.
func (r *Reader) Read(b []byte) (int, error) {
	for len(r.plain) == 0 && r.err == nil {
		r.chunk()
	}
	if len(r.plain) == 0 {
		return 0, r.err
	}
	n := copy(b, r.plain)
	r.plain = r.plain[n:]
	return n, nil
}

func (r *Reader) chunk() {
	if r.drained {
		r.err = io.EOF
		return
	}
	n, err := io.ReadFull(r.r, r.in[r.have:])
	r.have += n
	last := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if err != nil && !last {
		r.err = err
		return
	}
	sealed := r.in[:r.have]
	if !last {
		sealed = r.in[:r.s.size+tagLen]
	}
	if len(sealed) < tagLen || last && len(sealed) == tagLen && r.s.number > 0 {
		r.err = ErrDamaged
		return
	}
	nonce, err := r.s.next(last)
	if err != nil {
		r.err = ErrDamaged
		return
	}
	if r.plain, err = r.s.aead.Open(r.out[:0], nonce, sealed, nil); err != nil {
		r.plain, r.err = nil, ErrDamaged
		return
	}
	if last {
		r.drained = true
		return
	}
	r.in[0], r.have = r.in[r.s.size+tagLen], 1
}
