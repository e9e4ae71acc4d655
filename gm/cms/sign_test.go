package cms_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/sm2"
)

// people are signers of each kind with one authority.
type people struct {
	ca, sm2, rsa, ecdsa *testpki.Entity
}

func makePeople(t testing.TB) people {
	ca := testpki.New(t, "authority", testpki.SM2(t))
	return people{
		ca, ca.Issue(t, "alice", testpki.SM2(t)), ca.Issue(t, "bob", testpki.RSA(t)), ca.Issue(t, "carol", testpki.ECDSA(t)),
	}
}

func signer(e *testpki.Entity) cms.Signer {
	key := e.Key
	if k, ok := key.(*sm2.PrivateKey); ok {
		key = sm2.NewSigner(k)
	}
	return cms.Signer{Certificate: e.Certificate, Key: key}
}

func (p people) roots() []*cms.Certificate { return []*cms.Certificate{p.ca.Certificate} }

func random(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

// sizes of contents: none, around blocks and lengths of DER, large.
var sizes = []int{0, 1, 15, 16, 17, 55, 64, 127, 128, 255, 256, 4095, 65535, 65536, 1 << 20}

func TestSignAndVerify(t *testing.T) {
	p := makePeople(t)
	all := map[string][]cms.Signer{
		"SM2": {signer(p.sm2)}, "RSA": {signer(p.rsa)}, "ECDSA": {signer(p.ecdsa)}, "several": {signer(p.sm2), signer(p.rsa), signer(p.ecdsa)},
	}
	for name, signers := range all {
		for _, o := range []cms.SignOptions{
			{}, {Detached: true}, {NoAttributes: true}, {NoAttributes: true, Plain: true}, {Detached: true, NoAttributes: true},
			{GMT: true}, {GMT: true, NoAttributes: true, Detached: true}, {ID: "somebody"}, {NoCertificates: true},
		} {
			if o.GMT && name != "SM2" {
				continue
			}
			o.Signers = signers
			for _, n := range sizes {
				content := random(t, n)
				der, err := cms.Sign(bytes.NewReader(content), o)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				v := cms.VerifyOptions{Roots: p.roots(), ID: o.ID, Plain: o.Plain}
				if o.Detached {
					v.Content = bytes.NewReader(content)
				}
				if o.NoCertificates {
					v.Certificates = []*cms.Certificate{p.sm2.Certificate, p.rsa.Certificate, p.ecdsa.Certificate}
				}
				r, err := cms.Verify(cms.PEM(der), v)
				if err != nil {
					t.Fatalf("%s %+v, %d bytes: %v", name, o, n, err)
				}
				if len(r.Signers) != len(signers) || !o.Detached && !bytes.Equal(r.Content, content) {
					t.Fatalf("%s: %d signers, %d bytes", name, len(r.Signers), len(r.Content))
				}
				for _, s := range r.Signers {
					if since := time.Since(s.Time); s.Attributes && (since < -time.Second || since > time.Minute) {
						t.Fatalf("signed at %v", s.Time)
					}
				}
			}
		}
	}
}

func TestReport(t *testing.T) {
	p := makePeople(t)
	when := time.Date(2051, 2, 3, 4, 5, 6, 0, time.UTC)
	der, err := cms.Sign(strings.NewReader("text"), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, Time: when})
	if err != nil {
		t.Fatal(err)
	}
	r, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots()})
	if err != nil {
		t.Fatal(err)
	}
	s := r.Signers[0]
	if !s.Time.Equal(when) || s.Algorithm() != "SM2 with SM3" || s.Issuer() != "CN=authority" || s.Serial() != p.sm2.Certificate.SerialNumber.Text(16) ||
		!s.Certificate.Equal(p.sm2.Certificate) {
		t.Errorf("%v %s %s %s", s.Time, s.Algorithm(), s.Issuer(), s.Serial())
	}
}

func TestChain(t *testing.T) {
	root := testpki.New(t, "root", testpki.SM2(t))
	middle := root.Issue(t, "middle", testpki.SM2(t), func(c *smx509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, smx509.KeyUsageCertSign
	})
	leaf := middle.Issue(t, "leaf", testpki.SM2(t))
	o := cms.SignOptions{Signers: []cms.Signer{signer(leaf)}}
	v := cms.VerifyOptions{Roots: []*cms.Certificate{root.Certificate}}
	without, err := cms.Sign(strings.NewReader("x"), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Verify(without, v); !errors.Is(err, cms.ErrUntrusted) {
		t.Errorf("without the chain: %v", err)
	}
	o.Chain = []*cms.Certificate{middle.Certificate, leaf.Certificate}
	with, err := cms.Sign(strings.NewReader("x"), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Verify(with, v); err != nil {
		t.Errorf("with the chain: %v", err)
	}
	if m, err := cms.Parse(with); err != nil || len(m.Certificates) != 2 {
		t.Errorf("%d certificates, %v", len(m.Certificates), err)
	}
}

// A signature that is as it should be in all but one thing.
func TestRefused(t *testing.T) {
	p := makePeople(t)
	other := testpki.New(t, "stranger", testpki.SM2(t))
	sign := func(o cms.SignOptions) []byte {
		if o.Signers == nil {
			o.Signers = []cms.Signer{signer(p.sm2)}
		}
		der, err := cms.Sign(strings.NewReader("content"), o)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	good := cms.VerifyOptions{Roots: p.roots()}
	detached := good
	detached.Content = strings.NewReader("another")
	late := good
	late.Time = time.Now().Add(48 * time.Hour)
	always := late
	always.AnyTime = true
	strange := p.ca.Issue(t, "strange", testpki.SM2(t), func(c *smx509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}}}
	})
	enc := p.ca.Issue(t, "alice", testpki.SM2(t), func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageKeyEncipherment })
	twin := p.ca.Issue(t, "twin", testpki.SM2(t), func(c *smx509.Certificate) { c.SerialNumber = p.sm2.Certificate.SerialNumber })
	swapped := good
	swapped.Certificates = []*cms.Certificate{twin.Certificate}
	for name, c := range map[string]struct {
		message []byte
		options cms.VerifyOptions
		want    error
	}{
		"other content":       {sign(cms.SignOptions{Detached: true}), detached, cms.ErrDigest},
		"no content":          {sign(cms.SignOptions{Detached: true}), good, cms.ErrDetached},
		"two contents":        {sign(cms.SignOptions{}), detached, cms.ErrAttached},
		"no certificate":      {sign(cms.SignOptions{NoCertificates: true}), good, cms.ErrNoCertificate},
		"swapped certificate": {sign(cms.SignOptions{NoCertificates: true}), swapped, cms.ErrSignature},
		"other roots":         {sign(cms.SignOptions{}), cms.VerifyOptions{Roots: []*cms.Certificate{other.Certificate}}, cms.ErrUntrusted},
		"no roots":            {sign(cms.SignOptions{}), cms.VerifyOptions{}, cms.ErrUntrusted},
		"other identity":      {sign(cms.SignOptions{ID: "mallory"}), good, cms.ErrSignature},
		"plain":               {sign(cms.SignOptions{NoAttributes: true, Plain: true}), good, cms.ErrPlain},
		"not plain":           {sign(cms.SignOptions{NoAttributes: true}), cms.VerifyOptions{Roots: p.roots(), Plain: true}, cms.ErrSignature},
		"expired":             {sign(cms.SignOptions{}), late, cms.ErrUntrusted},
		"expired, unasked":    {sign(cms.SignOptions{}), always, nil},
		"critical":            {sign(cms.SignOptions{Signers: []cms.Signer{signer(strange)}}), good, cms.ErrUntrusted},
		"other bytes":         {bytes.Replace(sign(cms.SignOptions{}), []byte("content"), []byte("CONTENT"), 1), good, cms.ErrDigest},
		"not signed":          {[]byte("0\x80"), good, cms.ErrMalformed},
		"empty":               {nil, good, cms.ErrMalformed},
	} {
		if _, err := cms.Verify(c.message, c.options); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	if _, err := cms.Sign(strings.NewReader(""), cms.SignOptions{Signers: []cms.Signer{signer(enc)}}); !errors.Is(err, cms.ErrUsage) {
		t.Errorf("signing with what encrypts: %v", err)
	}
	if _, err := cms.Sign(strings.NewReader(""), cms.SignOptions{Signers: []cms.Signer{{Certificate: enc.Certificate, Key: p.sm2.Key}}}); err == nil {
		t.Error("signing with another's key went")
	}
}

// With the real one beside it, a certificate of the same issuer and number does no harm.
func TestTwinCertificate(t *testing.T) {
	p := makePeople(t)
	twin := p.ca.Issue(t, "twin", testpki.SM2(t), func(c *smx509.Certificate) { c.SerialNumber = p.sm2.Certificate.SerialNumber })
	der, err := cms.Sign(strings.NewReader("x"), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, NoAttributes: true})
	if err != nil {
		t.Fatal(err)
	}
	r, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots(), Certificates: []*cms.Certificate{twin.Certificate}})
	if err != nil || !r.Signers[0].Certificate.Equal(p.sm2.Certificate) {
		t.Errorf("%v", err)
	}
}

func TestOneOfSeveral(t *testing.T) {
	p := makePeople(t)
	stranger := testpki.New(t, "stranger", testpki.SM2(t)).Issue(t, "eve", testpki.SM2(t))
	der, err := cms.Sign(strings.NewReader("x"), cms.SignOptions{Signers: []cms.Signer{signer(p.rsa), signer(stranger)}})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots()}); !errors.Is(err, cms.ErrUntrusted) || len(r.Signers) != 2 {
		t.Errorf("all: %v", err)
	}
	r, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots(), Any: true})
	if err != nil {
		t.Fatalf("any: %v", err)
	}
	for _, s := range r.Signers {
		if (s.Err == nil) != s.Certificate.Equal(p.rsa.Certificate) {
			t.Errorf("%s: %v", s.Certificate.Subject, s.Err)
		}
	}
}

// Attributes that were signed must not pass for a content.
func TestAttributesAreNoContent(t *testing.T) {
	p := makePeople(t)
	// SET { contentType data, messageDigest of 32 bytes }
	attrs := append([]byte{
		0x31, 75,
		0x30, 24, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 3, 0x31, 11, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 7, 1,
		0x30, 47, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 13, 1, 9, 4, 0x31, 34, 4, 32,
	}, random(t, 32)...)
	der, err := cms.Sign(bytes.NewReader(attrs), cms.SignOptions{Signers: []cms.Signer{signer(p.rsa)}, NoAttributes: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Verify(der, cms.VerifyOptions{Roots: p.roots()}); !errors.Is(err, cms.ErrMalformed) {
		t.Errorf("%v", err)
	}
}
