package sm4

import (
	"bytes"
	"math/rand/v2"
	"testing"

	peercipher "github.com/emmansun/gmsm/cipher"
	peer "github.com/emmansun/gmsm/sm4"
)

// RFC 8998, appendix A.2.
func TestCCMOfTheRFC(t *testing.T) {
	nonce, data := unhex("00001234567800000000abcd"), unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	plain := unhex("aaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbccccccccccccccccddddddddddddddddeeeeeeeeeeeeeeeeffffffffffffffffeeeeeeeeeeeeeeeeaaaaaaaaaaaaaaaa")
	want := unhex("48af93501fa62adbcd414cce6034d895dda1bf8f132f042098661572e7483094fd12e518ce062c98acee28d95df4416bed31a2f04476c18bb40c84a74b97dc5b" + "16842d4fa186f56ab33256971fa110f4")
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		a, err := of(unhex("0123456789abcdeffedcba9876543210")).NewCCM(12, 16)
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

// 184 of them.
func TestCCMOfWycheproof(t *testing.T) { wycheproofs(t, "sm4_ccm_test.json", (*Cipher).NewCCM) }

// Lengths of text, data, nonces and tags are what another implementation makes of them;
// data have a longer head from 65,280 bytes on.
func TestCCM(t *testing.T) {
	each(t, func(t *testing.T, of func([]byte) *Cipher) {
		r, pick := random(30), rand.New(random(31))
		for n := range 700 {
			data := some(r, pick.IntN(3)*pick.IntN(300))
			if n%100 == 50 {
				data = some(r, 65_270+pick.IntN(20))
			}
			key, text, nonce, tagSize := some(r, KeySize), some(r, n), some(r, 7+n%7), 4+2*(n%7)
			other, err := peer.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := peercipher.NewCCMWithNonceAndTagSize(other, len(nonce), tagSize)
			if err != nil {
				t.Fatal(err)
			}
			ours, err := of(key).NewCCM(len(nonce), tagSize)
			if err != nil {
				t.Fatal(err)
			}
			want := theirs.Seal(nil, nonce, text, data)
			got := ours.Seal([]byte("head"), nonce, text, data)
			if !bytes.Equal(got[4:], want) {
				t.Fatalf("%d bytes, %d of data, nonce of %d, tag of %d: not as they should be", n, len(data), len(nonce), tagSize)
			}
			if back, err := ours.Open(got[4:4], nonce, got[4:], data); err != nil || !bytes.Equal(back, text) {
				t.Fatalf("%d bytes do not come back: %v", n, err)
			}
			want[pick.IntN(len(want))] ^= 1 << pick.IntN(8)
			out := bytes.Repeat([]byte{0}, n)
			if back, err := ours.Open(out[:0], nonce, want, data); err == nil || back != nil || !bytes.Equal(out, make([]byte, n)) {
				t.Fatalf("%d bytes: a bit was changed: %v, or something of a forged text is there", n, err)
			}
		}
	})
}

func TestCCMWrongUse(t *testing.T) {
	c, err := NewCipher(make([]byte, KeySize))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range [][2]int{{6, 16}, {14, 16}, {12, 3}, {12, 15}, {12, 18}} {
		if _, err := c.NewCCM(s[0], s[1]); err == nil {
			t.Errorf("%v is taken", s)
		}
	}
	a, err := c.NewCCM(13, 16)
	if err != nil {
		t.Fatal(err)
	}
	long := make([]byte, 1<<16)
	if got := a.Seal(nil, make([]byte, 13), long[1:], nil); len(got) != 1<<16+15 {
		t.Errorf("the longest message is sealed to %d bytes", len(got))
	}
	if _, err := a.Open(nil, make([]byte, 13), make([]byte, 1<<16+16), nil); err == nil {
		t.Error("a message that is too long is taken")
	}
	panics(t, "message is too long", func() { a.Seal(nil, make([]byte, 13), long, nil) })
}
