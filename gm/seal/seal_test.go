package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io"
	mrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"
	"time"

	ghash "github.com/emmansun/gmsm/sm3"
	gcipher "github.com/emmansun/gmsm/sm4"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/sm2"
)

const chunk = 1 << defaultLog

var word = []byte("口令")

func asked() ([]byte, error) { return bytes.Clone(word), nil }

func newKey(t testing.TB) *sm2.PrivateKey {
	t.Helper()
	k, err := keys.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func random(n int) []byte {
	b := make([]byte, n)
	var seed [32]byte
	_, _ = mrand.NewChaCha8(seed).Read(b)
	return b
}

func sealed(t testing.TB, plain []byte, o Options) []byte {
	t.Helper()
	if o.Iterations == 0 {
		o.Iterations = 1000
	}
	var b bytes.Buffer
	if err := Encrypt(t.Context(), &b, bytes.NewReader(plain), o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func open(b []byte, o Opener) ([]byte, error) {
	var out bytes.Buffer
	err := Decrypt(context.Background(), &out, bytes.NewReader(b), o)
	return out.Bytes(), err
}

func TestLengths(t *testing.T) {
	a, b := newKey(t), newKey(t)
	for _, n := range []int{0, 1, 15, 16, chunk - 1, chunk, chunk + 1, 2*chunk - 1, 2 * chunk, 3*chunk + 5} {
		plain := random(n)
		s := sealed(t, plain, Options{Password: word, Recipients: []*sm2.PublicKey{&a.PublicKey, &b.PublicKey}})
		for name, o := range map[string]Opener{"password": {Password: asked}, "first": {Key: a}, "second": {Key: b}} {
			if got, err := open(s, o); err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%d bytes by %s: %v", n, name, err)
			}
		}
		r, err := NewReader(iotest.OneByteReader(bytes.NewReader(s)), Opener{Key: a})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(iotest.OneByteReader(r)); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%d bytes one by one: %v", n, err)
		}
	}
}

func TestWriter(t *testing.T) {
	k, plain := newKey(t), random(3*chunk)
	var b bytes.Buffer
	w, err := NewWriter(&b, Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	if err != nil {
		t.Fatal(err)
	}
	for rest := plain; len(rest) > 0; {
		n := min(len(rest), 1+mrand.IntN(chunk))
		if _, err := w.Write(rest[:n]); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if _, err := open(b.Bytes(), Opener{Key: k}); err != ErrDamaged {
		t.Errorf("not closed yet: %v", err)
	}
	if err := errors.Join(w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(plain); err == nil {
		t.Error("written to after its end")
	}
	if got, err := open(b.Bytes(), Opener{Key: k}); err != nil || !bytes.Equal(got, plain) {
		t.Error(err)
	}
	for name, o := range map[string]Options{"nobody": {}, "few iterations": {Password: word, Iterations: 1}, "many": {Recipients: make([]*sm2.PublicKey, maxStanzas+1)}} {
		if _, err := NewWriter(io.Discard, o); err == nil {
			t.Errorf("%s: sealed", name)
		}
	}
}

func TestOpeners(t *testing.T) {
	k := newKey(t)
	forKey := sealed(t, []byte("x"), Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	forWord := sealed(t, []byte("x"), Options{Password: word})
	for _, c := range []struct {
		name string
		b    []byte
		o    Opener
		want error
	}{
		{"another key", forKey, Opener{Key: newKey(t)}, ErrKey},
		{"a key of what is under a password", forWord, Opener{Key: k}, ErrKey},
		{"a password of what is for a key", forKey, Opener{Password: asked}, ErrNoWord},
		{"a wrong password", forWord, Opener{Password: func() ([]byte, error) { return []byte("x"), nil }}, ErrPassword},
		{"nothing", forWord, Opener{}, keys.ErrNeeded},
		{"iterations", forWord, Opener{Password: asked, most: 999}, ErrWork},
	} {
		if got, err := open(c.b, c.o); err != c.want || len(got) != 0 {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// TestDamage changes, cuts, extends and shuffles a file: nothing but authentic bytes come
// out, never all of them, and never without an error.
func TestDamage(t *testing.T) {
	k, plain := newKey(t), random(3*chunk+100)
	o := Opener{Key: k}
	s := sealed(t, plain, Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	head := len(s) - len(plain) - 4*tagLen
	at := func(i int) int { return head + i*(chunk+tagLen) }
	refuse := func(name string, b []byte) {
		t.Helper()
		got, err := open(b, o)
		if err == nil || !bytes.HasPrefix(plain, got) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for i := range head { // every byte of the head
		bad := bytes.Clone(s)
		bad[i] ^= 1
		if got, err := open(bad, o); err == nil || len(got) != 0 {
			t.Errorf("byte %d of the head changed: %d bytes, %v", i, len(got), err)
		}
		refuse("cut in the head", s[:i])
	}
	for range 300 {
		bad := bytes.Clone(s)
		bad[head+mrand.IntN(len(s)-head)] ^= 1 << mrand.IntN(8)
		refuse("a bit changed", bad)
		refuse("cut", s[:head+mrand.IntN(len(s)-head)])
	}
	for i := range 5 {
		refuse("cut between chunks", s[:min(at(i), len(s)-1)])
	}
	cat := func(parts ...[]byte) (b []byte) {
		for _, p := range parts {
			b = append(b, p...)
		}
		return b
	}
	refuse("a byte more", append(bytes.Clone(s), 0))
	refuse("a tag more", append(bytes.Clone(s), make([]byte, tagLen)...))
	refuse("another file behind", cat(s, s))
	refuse("a chunk twice", cat(s[:at(2)], s[at(1):]))
	refuse("a chunk left out", cat(s[:at(1)], s[at(2):]))
	refuse("chunks swapped", cat(s[:at(0)], s[at(1):at(2)], s[at(0):at(1)], s[at(2):]))
	refuse("the last one first", cat(s[:at(0)], s[at(3):], s[at(0):at(3)]))
	other := sealed(t, plain, Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	refuse("another file's chunk", cat(s[:at(1)], other[at(1):at(2)], s[at(2):]))
	refuse("another file's head", cat(other[:head], s[head:]))
	refuse("empty", nil)
	refuse("plain", plain)
	// An empty last chunk behind a full one is not how a file ends.
	full := sealed(t, plain[:chunk], Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	refuse("an empty chunk behind", append(bytes.Clone(full), make([]byte, tagLen)...))
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	k, plain := newKey(t), random(5*chunk+1)
	if err := os.WriteFile(at("plain"), plain, 0o640); err != nil {
		t.Fatal(err)
	}
	var told int64
	if err := EncryptFile(t.Context(), at("sealed"), at("plain"), Options{Recipients: []*sm2.PublicKey{&k.PublicKey}}, func(n int64) { told = n }); err != nil {
		t.Fatal(err)
	}
	if told != int64(len(plain)) {
		t.Errorf("told of %d bytes", told)
	}
	if err := DecryptFile(t.Context(), at("back"), at("sealed"), Opener{Key: k}, nil); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(at("back")); err != nil || !bytes.Equal(b, plain) {
		t.Error("another text came back")
	}
	for name, want := range map[string]os.FileMode{"sealed": 0o640, "back": 0o600} {
		if s, err := os.Stat(at(name)); err != nil || s.Mode().Perm() != want {
			t.Errorf("%s: mode %v", name, s.Mode())
		}
	}
	// What is cut leaves nothing, and what was there before stays.
	b, err := os.ReadFile(at("sealed"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("cut"), b[:len(b)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, to := range []string{"new", "back"} {
		if err := DecryptFile(t.Context(), at(to), at("cut"), Opener{Key: k}, nil); !errors.Is(err, ErrDamaged) {
			t.Errorf("cut: %v", err)
		}
	}
	if after, err := os.ReadDir(dir); err != nil || len(after) != len(before) {
		t.Errorf("files: %v", after)
	}
	if b, err := os.ReadFile(at("back")); err != nil || !bytes.Equal(b, plain) {
		t.Error("what was there before is gone")
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EncryptFile(over, at("over"), at("plain"), Options{Recipients: []*sm2.PublicKey{&k.PublicKey}}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("ended: %v", err)
	}
	if _, err := os.Stat(at("over")); err == nil {
		t.Error("ended, and there is a file")
	}
	if EncryptFile(t.Context(), at("x"), dir, Options{Password: word}, nil) == nil {
		t.Error("a folder is sealed")
	}
}

// TestModes: what is sealed may be read by those who could read it before, and written to by
// its owner alone.
func TestModes(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	o := Options{Recipients: []*sm2.PublicKey{&newKey(t).PublicKey}}
	for mode, want := range map[os.FileMode]os.FileMode{0o666: 0o644, 0o640: 0o640, 0o777: 0o755, 0o400: 0o400} {
		if err := errors.Join(os.WriteFile(at("plain"), nil, 0o600), os.Chmod(at("plain"), mode)); err != nil {
			t.Fatal(err)
		}
		if err := EncryptFile(t.Context(), at("sealed"), at("plain"), o, nil); err != nil {
			t.Fatal(err)
		}
		if s, err := os.Stat(at("sealed")); err != nil || s.Mode() != want {
			t.Errorf("of %v: %v, %v", mode, s.Mode(), err)
		}
		if err := os.Remove(at("plain")); err != nil {
			t.Fatal(err)
		}
	}
	if err := EncryptFile(t.Context(), at("device"), "/dev/null", o, nil); err != nil {
		t.Fatal(err)
	}
	if s, err := os.Stat(at("device")); err != nil || s.Mode() != 0o600 {
		t.Errorf("of a device: %v, %v", s.Mode(), err)
	}
}

// TestDevice has devices and pipes get what is sealed and opened, and nothing of what is not
// genuine to its end.
func TestDevice(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	k, plain := newKey(t), random(3*chunk)
	o, opener := Options{Recipients: []*sm2.PublicKey{&k.PublicKey}}, Opener{Key: k}
	s := sealed(t, plain, o)
	if err := errors.Join(os.WriteFile(at("plain"), plain, 0o600), os.WriteFile(at("sealed"), s, 0o600), os.WriteFile(at("cut"), s[:len(s)-1], 0o600), unix.Mkfifo(at("pipe"), 0o600)); err != nil {
		t.Fatal(err)
	}
	through := func(write func() error) ([]byte, error) {
		got := make(chan []byte, 1)
		go func() {
			b, _ := os.ReadFile(at("pipe"))
			got <- b
		}()
		err := write()
		return <-got, err
	}
	for name, write := range map[string]func() error{
		"file": func() error { return DecryptFile(t.Context(), at("pipe"), at("sealed"), opener, nil) },
		"stream": func() error {
			return DecryptStream(t.Context(), at("pipe"), iotest.HalfReader(bytes.NewReader(s)), opener)
		},
	} {
		if b, err := through(write); err != nil || !bytes.Equal(b, plain) {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
	if b, err := through(func() error { return DecryptFile(t.Context(), at("pipe"), at("cut"), opener, nil) }); !errors.Is(err, ErrDamaged) || len(b) != 0 {
		t.Errorf("cut: %d bytes, %v", len(b), err)
	}
	b, err := through(func() error { return EncryptFile(t.Context(), at("pipe"), at("plain"), o, nil) })
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(b, opener); err != nil || !bytes.Equal(got, plain) {
		t.Errorf("sealed through a pipe: %v", err)
	}
	if err := DecryptFile(t.Context(), "/dev/full", at("sealed"), opener, nil); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("a full device: %v", err)
	}
	if err := DecryptFile(t.Context(), dir, at("sealed"), opener, nil); !errors.Is(err, unix.EISDIR) {
		t.Errorf("a folder: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := DecryptFile(ctx, at("pipe"), at("sealed"), opener, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a pipe that nobody reads: %v", err)
	}
}

// TestChecked writes nothing of what is not genuine to its end.
func TestChecked(t *testing.T) {
	k, plain := newKey(t), random(3*chunk)
	s := sealed(t, plain, Options{Recipients: []*sm2.PublicKey{&k.PublicKey}})
	for name, reader := range map[string]func([]byte) io.Reader{
		"seekable": func(b []byte) io.Reader { return bytes.NewReader(b) },
		"not":      func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	} {
		var out bytes.Buffer
		if err := DecryptChecked(t.Context(), &out, reader(s), Opener{Key: k}); err != nil || !bytes.Equal(out.Bytes(), plain) {
			t.Errorf("%s: %v", name, err)
		}
		out.Reset()
		if err := DecryptChecked(t.Context(), &out, reader(s[:len(s)-1]), Opener{Key: k}); err != ErrDamaged || out.Len() != 0 {
			t.Errorf("%s, cut: %d bytes, %v", name, out.Len(), err)
		}
	}
}

// TestFormat opens a file by doc.go alone, with another implementation of the algorithms.
func TestFormat(t *testing.T) {
	plain := random(chunk + 7)
	s := sealed(t, plain, Options{Password: word})
	if string(s[:10]) != "\x89gmseal\n\x01\x10" {
		t.Fatalf("%x", s[:10])
	}
	k := int(binary.BigEndian.Uint16(s[10:]))
	body := s[12+3 : 12+k]
	if s[12] != 1 || int(binary.BigEndian.Uint16(s[13:])) != len(body) {
		t.Fatalf("stanza %x", s[12:15])
	}
	word, err := pbkdf2.Key(ghash.New, string(word), body[4:20], int(binary.BigEndian.Uint32(body)), 28)
	if err != nil {
		t.Fatal(err)
	}
	gcm := func(key []byte) cipher.AEAD {
		b, err := gcipher.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		a, err := cipher.NewGCM(b)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	master, err := gcm(word[:16]).Open(nil, word[16:], body[20:], nil)
	if err != nil {
		t.Fatal(err)
	}
	hk, err := hkdf.Key(ghash.New, master, nil, "anole gm seal 1 header", 32)
	if err != nil {
		t.Fatal(err)
	}
	h := hmac.New(ghash.New, hk)
	h.Write(s[:12+k])
	if !hmac.Equal(h.Sum(nil), s[12+k:12+k+32]) {
		t.Error("the head's HMAC")
	}
	pk, err := hkdf.Key(ghash.New, master, nil, "anole gm seal 1 payload", 23)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, 12)
	copy(nonce, pk[16:])
	chunks := s[12+k+32:]
	first, err := gcm(pk[:16]).Open(nil, nonce, chunks[:65536+16], nil)
	if err != nil {
		t.Fatal(err)
	}
	nonce[10], nonce[11] = 1, 1
	second, err := gcm(pk[:16]).Open(nil, nonce, chunks[65536+16:], nil)
	if err != nil || !bytes.Equal(append(first, second...), plain) {
		t.Error("the chunks")
	}
}

func FuzzHeader(f *testing.F) {
	k, err := sm2.NewPrivateKey([]byte("0123456789abcdef0123456789abcdef"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed(f, []byte("text"), Options{Password: word}))
	f.Add(sealed(f, nil, Options{Recipients: []*sm2.PublicKey{&k.PublicKey}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, o := range []Opener{{Key: k}, {Password: asked, most: 1000}} {
			r, err := NewReader(bytes.NewReader(b), o)
			if err != nil {
				continue
			}
			if n, err := io.Copy(io.Discard, r); n > int64(len(b)) {
				t.Errorf("%d bytes of %d: %v", n, len(b), err)
			}
		}
		if all, err := parse(b); err == nil && len(all) > maxStanzas {
			t.Error("more stanzas than are allowed")
		}
	})
}

func BenchmarkEncrypt(b *testing.B) {
	k, plain := newKey(b), random(16<<20)
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		if err := Encrypt(b.Context(), io.Discard, bytes.NewReader(plain), Options{Recipients: []*sm2.PublicKey{&k.PublicKey}}); err != nil {
			b.Fatal(err)
		}
	}
}
