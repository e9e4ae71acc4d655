package cms_test

import (
	"bytes"
	"crypto"
	"errors"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
)

func decrypter(e *testpki.Entity) crypto.Decrypter { return e.Key.(crypto.Decrypter) }

func TestEnvelopAndOpen(t *testing.T) {
	p := makePeople(t)
	dave := p.ca.Issue(t, "dave", testpki.SM2(t))
	for _, o := range []cms.EnvelopOptions{
		{Recipients: []*cms.Certificate{p.sm2.Certificate, dave.Certificate}, GMT: true},
		{Recipients: []*cms.Certificate{p.sm2.Certificate, p.rsa.Certificate, dave.Certificate}},
	} {
		for _, n := range sizes {
			content := random(t, n)
			der, err := cms.Envelop(content, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range []*testpki.Entity{p.sm2, dave, p.rsa} {
				if e == p.rsa && o.GMT {
					continue
				}
				for _, c := range []*cms.Certificate{nil, e.Certificate} {
					out, err := cms.Open(cms.PEM(der), cms.OpenOptions{Key: decrypter(e), Certificate: c})
					if err != nil || !bytes.Equal(out.Content, content) {
						t.Fatalf("%s, %d bytes: %v", e.Certificate.Subject, n, err)
					}
				}
			}
		}
	}
}

func TestSignAndEnvelop(t *testing.T) {
	p := makePeople(t)
	for _, isGMT := range []bool{true, false} {
		content := random(t, 1000)
		der, err := cms.SignAndEnvelop(content, cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}},
			cms.EnvelopOptions{Recipients: []*cms.Certificate{p.sm2.Certificate}, GMT: isGMT})
		if err != nil {
			t.Fatal(err)
		}
		o := cms.OpenOptions{Key: decrypter(p.sm2), Verify: cms.VerifyOptions{Roots: p.roots()}}
		out, err := cms.Open(der, o)
		if err != nil || !bytes.Equal(out.Content, content) || len(out.Report.Signers) != 1 {
			t.Fatalf("%v", err)
		}
		o.Verify = cms.VerifyOptions{}
		if out, err = cms.Open(der, o); !errors.Is(err, cms.ErrUntrusted) || out.Content != nil {
			t.Errorf("without roots: %v", err)
		}
	}
}

func TestNotOpened(t *testing.T) {
	p := makePeople(t)
	content := random(t, 100)
	eve := p.ca.Issue(t, "eve", testpki.SM2(t))
	rsaEve := p.ca.Issue(t, "eve", testpki.RSA(t))
	for _, to := range []*testpki.Entity{p.sm2, p.rsa} {
		der, err := cms.Envelop(content, cms.EnvelopOptions{Recipients: []*cms.Certificate{to.Certificate}})
		if err != nil {
			t.Fatal(err)
		}
		thief := eve
		if to == p.rsa {
			thief = rsaEve
		}
		out, err := cms.Open(der, cms.OpenOptions{Key: decrypter(thief)})
		if !errors.Is(err, cms.ErrOpen) && (to == p.sm2 || bytes.Equal(out.Content, content)) { // RSA may open to nonsense
			t.Errorf("another's key: %v", err)
		}
		if _, err := cms.Open(der, cms.OpenOptions{Key: decrypter(thief), Certificate: thief.Certificate}); !errors.Is(err, cms.ErrNoRecipient) {
			t.Errorf("another's certificate: %v", err)
		}
		// The last byte is of the content's last block: its padding comes out wrong.
		bent := bytes.Clone(der)
		bent[len(bent)-17] ^= 0x80
		if out, err := cms.Open(bent, cms.OpenOptions{Key: decrypter(to)}); !errors.Is(err, cms.ErrOpen) {
			t.Errorf("bent: %v %v", out, err)
		}
		if _, err := cms.Verify(der, cms.VerifyOptions{}); !errors.Is(err, cms.ErrKind) {
			t.Errorf("verified: %v", err)
		}
	}
	der, err := cms.Envelop(content, cms.EnvelopOptions{Recipients: []*cms.Certificate{p.rsa.Certificate, rsaEve.Certificate}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Open(der, cms.OpenOptions{Key: decrypter(p.rsa)}); !errors.Is(err, cms.ErrRecipients) {
		t.Errorf("for several with RSA: %v", err)
	}
	if out, err := cms.Open(der, cms.OpenOptions{Key: decrypter(rsaEve), Certificate: rsaEve.Certificate}); err != nil || !bytes.Equal(out.Content, content) {
		t.Errorf("for the second of them: %v", err)
	}
	sign := p.ca.Issue(t, "signer", testpki.SM2(t), func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageDigitalSignature })
	if _, err := cms.Envelop(content, cms.EnvelopOptions{Recipients: []*cms.Certificate{sign.Certificate}}); !errors.Is(err, cms.ErrUsage) {
		t.Errorf("for what signs: %v", err)
	}
}

// Whatever is cut off a message or bent in it: an answer, and no panic.
func TestEveryCutAndBend(t *testing.T) {
	p := makePeople(t)
	signed, err := cms.Sign(bytes.NewReader([]byte("content")), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, GMT: true})
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := cms.SignAndEnvelop([]byte("content"), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}},
		cms.EnvelopOptions{Recipients: []*cms.Certificate{p.sm2.Certificate}, GMT: true})
	if err != nil {
		t.Fatal(err)
	}
	v := cms.VerifyOptions{Roots: p.roots()}
	for i := range signed {
		if _, err := cms.Verify(signed[:i], v); err == nil {
			t.Errorf("cut at %d of %d", i, len(signed))
		}
	}
	for i := range sealed {
		if _, err := cms.Open(sealed[:i], cms.OpenOptions{Key: decrypter(p.sm2), Verify: v}); err == nil {
			t.Errorf("cut at %d of %d", i, len(sealed))
		}
	}
	for i := range signed {
		bent := bytes.Clone(signed)
		bent[i] ^= 1 << (i % 8)
		if r, err := cms.Verify(bent, v); err == nil && !bytes.Equal(r.Content, []byte("content")) {
			t.Errorf("bent at %d: %q", i, r.Content)
		}
	}
}
