package sm4

import (
	"bytes"
	"crypto/cipher"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	peer "github.com/emmansun/gmsm/sm4"

	"github.com/anole-os/anole/gm/internal/impl"
)

// each runs a test with every implementation that the processor has.
func each(t *testing.T, test func(t *testing.T, of func(key []byte) *Cipher)) {
	for _, l := range impl.Available() {
		open, ok := implementations[l]
		if !ok {
			continue
		}
		t.Run(l.String(), func(t *testing.T) {
			test(t, func(key []byte) *Cipher { return &Cipher{open((*[KeySize]byte)(key))} })
		})
	}
}

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// GB/T 32907-2016, appendix A: once, and a million times over.
func TestStandard(t *testing.T) {
	key := unhex("0123456789abcdeffedcba9876543210")
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		c, b := of(key), bytes.Clone(key)
		for n, want := range map[int]string{1: "681edf34d206965e86b3e94f536e4246", 1_000_000: "595298c7c6fd271f0402f804c33d3f66"} {
			copy(b, key)
			for range n {
				c.Encrypt(b, b)
			}
			if hex.EncodeToString(b) != want {
				t.Errorf("%d times: %x, want %s", n, b, want)
			}
		}
		for range 1000 {
			c.Decrypt(b, b)
			c.Encrypt(b, b)
		}
	})
}

// panics wants f to panic with a text that has want in it.
func panics(t *testing.T, want string, f func()) {
	t.Helper()
	defer func() {
		if said := recover(); said == nil || !strings.Contains(fmt.Sprint(said), want) {
			t.Errorf("want a panic of %q, got %v", want, said)
		}
	}()
	f()
}

// random is the same in each run.
func random(seed uint64) *rand.ChaCha8 {
	var s [32]byte
	copy(s[:], fmt.Sprint("sm4 ", seed))
	return rand.NewChaCha8(s)
}

func some(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// All numbers of blocks to a few hundred, at each alignment, in place and not, are what
// another implementation makes of them.
func TestBlocks(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r := random(1)
		for n := range 350 {
			key, src := some(r, KeySize), some(r, n*BlockSize)
			other, err := peer.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, len(src))
			for i := 0; i < len(src); i += BlockSize {
				other.Encrypt(want[i:], src[i:])
			}
			c, off := of(key), n%17
			room := some(r, len(src)+64)
			guard := bytes.Clone(room)
			dst := room[off : off+len(src)]
			c.EncryptBlocks(dst, src)
			if !bytes.Equal(dst, want) {
				t.Fatalf("%d blocks are not as they should be", n)
			}
			if !bytes.Equal(room[:off], guard[:off]) || !bytes.Equal(room[off+len(src):], guard[off+len(src):]) {
				t.Fatalf("%d blocks: wrote outside", n)
			}
			c.DecryptBlocks(dst, dst)
			if !bytes.Equal(dst, src) {
				t.Fatalf("%d blocks do not come back", n)
			}
		}
	})
}

// Counters wrap at 2³², 2⁶⁴ and 2¹²⁸, wherever that is among the blocks; a stream may be
// taken in pieces of any length.
func TestCTR(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r := random(2)
		pick := rand.New(random(3))
		for n := range 2050 {
			key, src := some(r, KeySize), some(r, n)
			iv := some(r, BlockSize)
			for i := 0; i < n%4*4; i++ { // of ones, which soon wrap
				iv[BlockSize-1-i] = 0xff
			}
			iv[BlockSize-1] = byte(pick.Uint32())
			if n%8 == 7 {
				iv = bytes.Repeat([]byte{0xff}, BlockSize)
				iv[BlockSize-1] -= byte(pick.Uint32N(64))
			}
			other, err := peer.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			want := make([]byte, n)
			counter := [BlockSize]byte(iv)
			for i := 0; i < n; i += BlockSize {
				var stream [BlockSize]byte
				other.Encrypt(stream[:], counter[:])
				advance(&counter, 1)
				for j := i; j < min(n, i+BlockSize); j++ {
					want[j] = src[j] ^ stream[j-i]
				}
			}
			got := make([]byte, n)
			cipher.NewCTR(of(key), iv).XORKeyStream(got, src)
			if !bytes.Equal(got, want) {
				t.Fatalf("%d bytes from %x are not as they should be", n, iv)
			}
			s := cipher.NewCTR(of(key), iv)
			for at := 0; at < n; {
				end := min(n, at+pick.IntN(700))
				s.XORKeyStream(src[at:end], src[at:end])
				at = end
			}
			if !bytes.Equal(src, want) {
				t.Fatalf("%d bytes in pieces from %x are not as they should be", n, iv)
			}
		}
	})
}

func TestAdvance(t *testing.T) {
	for _, c := range []struct {
		from string
		n    uint64
		want string
	}{
		{"00000000000000000000000000000000", 5, "00000000000000000000000000000005"},
		{"000000000000000000000000ffffffff", 1, "00000000000000000000000100000000"},
		{"0000000000000000ffffffffffffffff", 2, "00000000000000010000000000000001"},
		{"ffffffffffffffffffffffffffffffff", 3, "00000000000000000000000000000002"},
	} {
		b := [BlockSize]byte(unhex(c.from))
		if advance(&b, c.n); hex.EncodeToString(b[:]) != c.want {
			t.Errorf("%s + %d is %x, want %s", c.from, c.n, b, c.want)
		}
	}
}

func TestCBC(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r := random(4)
		pick := rand.New(random(5))
		for n := range 150 {
			key, iv, src := some(r, KeySize), some(r, BlockSize), some(r, n*BlockSize)
			other, err := peer.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]byte, len(src)), make([]byte, len(src))
			cipher.NewCBCEncrypter(other, iv).CryptBlocks(want, src)
			c := of(key)
			copy(got, src)
			en := cipher.NewCBCEncrypter(c, iv)
			for at := 0; at < len(got); {
				end := min(len(got), at+BlockSize*pick.IntN(80))
				en.CryptBlocks(got[at:end], got[at:end])
				at = end
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("%d blocks are not encrypted as they should be", n)
			}
			d := cipher.NewCBCDecrypter(c, iv)
			for at := 0; at < len(got); {
				end := min(len(got), at+BlockSize*pick.IntN(80))
				d.CryptBlocks(got[at:end], got[at:end])
				at = end
			}
			if !bytes.Equal(got, src) {
				t.Fatalf("%d blocks do not come back", n)
			}
		}
	})
}

func TestWrongUse(t *testing.T) {
	var size KeySizeError
	if _, err := NewCipher(make([]byte, 24)); !errors.As(err, &size) || size != 24 || err.Error() != "sm4: the key has 24 bytes, want 16" {
		t.Error(err)
	}
	c, err := NewCipher(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 64)
	for name, f := range map[string]func(){
		"input is not a full block":            func() { c.Encrypt(b, b[:15]) },
		"output is not a full block":           func() { c.Decrypt(b[:15], b) },
		"input is not of full blocks":          func() { c.EncryptBlocks(b, b[:17]) },
		"output is shorter than input":         func() { c.DecryptBlocks(b[:16], b[:32]) },
		"output overlaps input":                func() { c.EncryptBlocks(b[1:33], b[:32]) },
		"counter is not a block":               func() { c.NewCTR(b[:12]) },
		"initialization vector is not a block": func() { c.NewCBCDecrypter(b[:17]) },
		"vector is not a block":                func() { c.NewCBCEncrypter(nil) },
	} {
		panics(t, name, f)
	}
	c.Encrypt(b, b) // in place is well
	c.EncryptBlocks(b[32:], b[:32])
}
