package cms

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/sm2"
)

// indefinite is data without signers in BER, whose lengths are open and whose content is
// in pieces.
const indefinite = "0\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x02\xa0\x800\x80\x02\x01\x011\x000\x80\x06\x09*\x86H\x86\xf7\r\x01\x07\x01\xa0\x80$\x80" +
	"\x04\x02he\x04\x03llo\x00\x00\x00\x00\x00\x001\x00\x00\x00\x00\x00\x00\x00"

func TestIndefinite(t *testing.T) {
	m, err := Parse([]byte(indefinite))
	if err != nil || string(m.Content) != "hello" || m.Detached {
		t.Fatalf("%+v %v", m, err)
	}
	if _, err := m.Verify(VerifyOptions{}); !errors.Is(err, ErrNoSigner) {
		t.Errorf("nobody signed: %v", err)
	}
	for _, bad := range []string{
		indefinite + "x", indefinite[:len(indefinite)-2], strings.Repeat("0\x80", 100), strings.Repeat("0\x80", 1<<16),
		"0\x84\xff\xff\xff\xff", "0\x88\xff\xff\xff\xff\xff\xff\xff\xff", "0\x88\x7f\xff\xff\xff\xff\xff\xff\xff", "\x04\x80\x00\x00", "\x1f\x81\x01\x00",
	} {
		if _, err := Parse([]byte(bad)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzVerify(f *testing.F) {
	ca := testpki.New(f, "authority", testpki.SM2(f))
	alice := ca.Issue(f, "alice", testpki.SM2(f))
	roots := []*Certificate{ca.Certificate}
	for _, o := range []SignOptions{{}, {GMT: true}, {NoAttributes: true}, {NoAttributes: true, GMT: true}, {Detached: true}} {
		o.Signers = []Signer{{Certificate: alice.Certificate, Key: alice.Key}}
		der, err := Sign(strings.NewReader("content"), o)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
		f.Add(PEM(der))
	}
	f.Add([]byte(indefinite))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Verify(b, VerifyOptions{Roots: roots})
		if errors.Is(err, ErrDetached) {
			r, err = Verify(b, VerifyOptions{Roots: roots, Content: strings.NewReader("content")})
		}
		if err == nil && r.Content != nil && string(r.Content) != "content" {
			t.Fatalf("alice did not sign %q", r.Content)
		}
		if m, err := Parse(b); err == nil {
			for i := range m.Signers {
				_ = m.Signers[i].Algorithm() + m.Signers[i].Issuer() + m.Signers[i].Serial() + m.Signers[i].KeyID()
			}
		}
	})
}

func FuzzOpen(f *testing.F) {
	ca := testpki.New(f, "authority", testpki.SM2(f))
	alice := ca.Issue(f, "alice", testpki.SM2(f))
	to := EnvelopOptions{Recipients: []*Certificate{alice.Certificate}}
	v := VerifyOptions{Roots: []*Certificate{ca.Certificate}}
	for _, to.GMT = range []bool{true, false} {
		sealed, err := Envelop([]byte("content"), to)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(sealed)
		both, err := SignAndEnvelop([]byte("content"), SignOptions{Signers: []Signer{{Certificate: alice.Certificate, Key: alice.Key}}}, to)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(both)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := Open(b, OpenOptions{Key: alice.Key.(*sm2.PrivateKey), Verify: v})
		if err == nil && out.Report != nil && string(out.Content) != "content" {
			t.Fatalf("alice did not sign %q", out.Content)
		}
	})
}

// FuzzBER has what definite makes be DER, and be left alone by it.
func FuzzBER(f *testing.F) {
	f.Add([]byte(indefinite))
	f.Add([]byte("0\x82\x00\x03\x02\x01\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		der, err := definite(b)
		if err != nil {
			return
		}
		again, err := definite(der)
		if err != nil || !bytes.Equal(again, der) {
			t.Fatalf("%x became %x, and that %x: %v", b, der, again, err)
		}
	})
}
