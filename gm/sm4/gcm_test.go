package sm4

import (
	"bytes"
	"crypto/cipher"
	"math/rand/v2"
	"testing"

	peer "github.com/emmansun/gmsm/sm4"

	"github.com/anole-os/anole/gm/internal/wycheproof"
)

// RFC 8998, appendix A.1.
func TestGCMOfTheRFC(t *testing.T) {
	key, nonce := unhex("0123456789abcdeffedcba9876543210"), unhex("00001234567800000000abcd")
	data := unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	plain := unhex("aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa")
	want := unhex("17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d" + "83de3541e4c2b58177e065a9bf7b62ec")
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		a, err := cipher.NewGCM(of(key))
		if err != nil {
			t.Fatal(err)
		}
		if got := a.Seal(nil, nonce, plain, data); !bytes.Equal(got, want) {
			t.Errorf("%x", got)
		}
		if got, err := a.Open(nil, nonce, want, data); err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%x, %v", got, err)
		}
	})
}

// wycheproofs takes Project Wycheproof's tests of a mode.
func wycheproofs(t *testing.T, file string, open func(c *Cipher, nonceSize, tagSize int) (cipher.AEAD, error)) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		wycheproof.AEADs(t, file, func(v *wycheproof.AEAD) {
			a, err := open(of(v.Key), v.IVSize/8, v.TagSizeBits/8)
			if err != nil {
				if v.Valid() {
					t.Errorf("%d %s: %v", v.ID, v.Comment, err)
				}
				return
			}
			sealed := append(bytes.Clone(v.CT), v.Tag...)
			got, err := a.Open(nil, v.IV, sealed, v.AAD)
			if (err == nil) != v.Valid() || err == nil && !bytes.Equal(got, v.Msg) {
				t.Errorf("%d %s: opened %x, %v; want %s", v.ID, v.Comment, got, err, v.Result)
			}
			if again := a.Seal(nil, v.IV, v.Msg, v.AAD); v.Valid() && !bytes.Equal(again, sealed) {
				t.Errorf("%d %s: sealed %x, want %x", v.ID, v.Comment, again, sealed)
			}
		})
	})
}

// 104 of them.
func TestGCMOfWycheproof(t *testing.T) { wycheproofs(t, "sm4_gcm_test.json", (*Cipher).NewGCM) }

// All lengths of text, and of additional data and nonces among them, are what another
// implementation makes of them, in place and not; a bit that is another is found.
func TestGCM(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(10), rand.New(random(11))
		for n := range 2050 {
			key, text, data := some(r, KeySize), some(r, n), some(r, pick.IntN(4)*pick.IntN(200))
			if n%20 == 9 {
				text = some(r, 2500+pick.IntN(30_000))
			}
			nonceSize, tagSize := 12, 16
			switch n % 5 {
			case 3:
				tagSize = 12 + pick.IntN(5)
			case 4:
				nonceSize = 1 + pick.IntN(50)
			}
			nonce := some(r, nonceSize)
			other, err := peer.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			open := func(b cipher.Block) cipher.AEAD {
				a, err := cipher.NewGCMWithNonceSize(b, nonceSize)
				if tagSize != 16 {
					a, err = cipher.NewGCMWithTagSize(b, tagSize)
				}
				if err != nil {
					t.Fatal(err)
				}
				return a
			}
			theirs, ours := open(other), open(of(key))
			want := theirs.Seal(nil, nonce, text, data)
			head := []byte("head")
			got := ours.Seal(head, nonce, text, data)
			if !bytes.Equal(got[:4], head) || !bytes.Equal(got[4:], want) {
				t.Fatalf("%d bytes, %d of data, nonce of %d: not as they should be", len(text), len(data), nonceSize)
			}
			back, err := ours.Open(got[4:4], nonce, got[4:], data)
			if err != nil || !bytes.Equal(back, text) {
				t.Fatalf("%d bytes do not come back: %v", len(text), err)
			}
			in := make([]byte, len(text), len(text)+tagSize)
			copy(in, text)
			if in = ours.Seal(in[:0], nonce, in, data); !bytes.Equal(in, want) {
				t.Fatalf("%d bytes in place: not as they should be", len(text))
			}
			bad := bytes.Clone(want)
			bad[pick.IntN(len(bad))] ^= 1 << pick.IntN(8)
			out := bytes.Repeat([]byte{7}, len(text))
			if got, err := ours.Open(out[:0], nonce, bad, data); err == nil || got != nil {
				t.Fatalf("%d bytes: a bit was changed, and nothing is said", len(text))
			}
			for _, b := range out {
				if b != 0 && b != 7 {
					t.Fatalf("%d bytes: something of a forged text is there", len(text))
				}
			}
		}
	})
}

// The last 32 bits of GCM's counter wrap by themselves.
func TestGCMCounterWraps(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r := random(12)
		for before := range 40 {
			key, src := some(r, KeySize), some(r, 1000)
			a, err := of(key).NewGCM(12, 16)
			if err != nil {
				t.Fatal(err)
			}
			g, w := a.(*gcm), &work{}
			copy(w.counter[:], some(r, 12))
			copy(w.counter[12:], []byte{0xff, 0xff, 0xff, byte(0xff - before)})
			want, counter := make([]byte, len(src)), w.counter
			c := of(key)
			for i := 0; i < len(src); i += BlockSize {
				var stream [BlockSize]byte
				c.Encrypt(stream[:], counter[:])
				for j := i; j < min(len(src), i+BlockSize); j++ {
					want[j] = src[j] ^ stream[j-i]
				}
				for j := 15; j >= 12; j-- {
					if counter[j]++; counter[j] != 0 {
						break
					}
				}
			}
			g.stream(w, src, src)
			if !bytes.Equal(src, want) || w.counter != counter {
				t.Fatalf("%d blocks before it wraps: counter %x, want %x", before, w.counter, counter)
			}
		}
	})
}

func TestGCMWrongUse(t *testing.T) {
	c, err := NewCipher(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][2]int{{0, 16}, {12, 11}, {12, 17}} {
		if _, err := c.NewGCM(s[0], s[1]); err == nil {
			t.Errorf("%v is taken", s)
		}
	}
	a, err := c.NewGCM(12, 16)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 16 {
		if _, err := a.Open(nil, make([]byte, 12), make([]byte, n), nil); err == nil {
			t.Errorf("%d bytes are taken", n)
		}
	}
	b := make([]byte, 100)
	for name, f := range map[string]func(){
		"nonce of 11 bytes":     func() { a.Seal(nil, b[:11], nil, nil) },
		"output overlaps input": func() { a.Seal(b[1:1], make([]byte, 12), b[:50], nil) },
	} {
		panics(t, name, f)
	}
}
