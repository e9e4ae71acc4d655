package cms_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"errors"
	"strings"
	"testing"
	"time"

	gmsm2 "github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/x509"
)

func usedFor(all ...smx509.ExtKeyUsage) func(*smx509.Certificate) {
	return func(c *smx509.Certificate) { c.ExtKeyUsage = all }
}

func signText(t *testing.T, o cms.SignOptions) []byte {
	t.Helper()
	der, err := cms.Sign(strings.NewReader("text"), o)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A certificate that says for what it is signs nothing else; one that is trusted itself
// is not asked.
func TestUsages(t *testing.T) {
	ca := testpki.New(t, "authority", testpki.SM2(t))
	server := ca.Issue(t, "server", testpki.SM2(t), usedFor(smx509.ExtKeyUsageServerAuth))
	code := ca.Issue(t, "code", testpki.SM2(t), usedFor(smx509.ExtKeyUsageCodeSigning))
	for name, c := range map[string]struct {
		who  *testpki.Entity
		use  []x509.ExtKeyUsage
		root *testpki.Entity
		want error
	}{
		"none":                    {ca.Issue(t, "none", testpki.SM2(t)), nil, ca, nil},
		"email":                   {ca.Issue(t, "email", testpki.SM2(t), usedFor(smx509.ExtKeyUsageEmailProtection)), nil, ca, nil},
		"any":                     {ca.Issue(t, "any", testpki.SM2(t), usedFor(smx509.ExtKeyUsageAny)), nil, ca, nil},
		"server":                  {server, nil, ca, x509.ErrUsage},
		"code":                    {code, nil, ca, x509.ErrUsage},
		"code, asked for":         {code, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, ca, nil},
		"server, for code":        {server, []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, ca, x509.ErrUsage},
		"not asked":               {server, []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, ca, nil},
		"trusted itself":          {server, nil, server, nil},
		"trusted with its issuer": {server, nil, nil, x509.ErrUsage},
	} {
		roots := []*cms.Certificate{server.Certificate, ca.Certificate}
		if c.root != nil {
			roots = []*cms.Certificate{c.root.Certificate}
		}
		for _, always := range []bool{false, true} {
			_, err := cms.Verify(signText(t, cms.SignOptions{Signers: []cms.Signer{signer(c.who)}}),
				cms.VerifyOptions{Roots: roots, Usages: c.use, AnyTime: always})
			if !errors.Is(err, c.want) || err != nil && !errors.Is(err, cms.ErrUntrusted) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

func revoking(t *testing.T, ca *testpki.Entity, who ...*testpki.Entity) []*x509.Revocations {
	t.Helper()
	now := time.Now()
	l := &x509.RevocationList{Number: ca.Certificate.SerialNumber, ThisUpdate: now.Add(-time.Hour), NextUpdate: now.Add(time.Hour)}
	for _, e := range who {
		l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: e.Certificate.SerialNumber, RevocationTime: now.Add(-time.Minute)})
	}
	der, err := x509.CreateCRL(rand.Reader, l, ca.Certificate, ca.Key, "")
	if err != nil {
		t.Fatal(err)
	}
	list, err := x509.ReadCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	r, err := x509.NewRevocations(list, ca.Certificate, "")
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Revocations{r}
}

// A signer whose certificate was revoked is not believed, be it trusted itself.
func TestRevokedSigner(t *testing.T) {
	p := makePeople(t)
	for name, c := range map[string]struct {
		lists []*x509.Revocations
		need  bool
		root  *testpki.Entity
		want  error
	}{
		"no list":            {nil, false, p.ca, nil},
		"no list, needed":    {nil, true, p.ca, x509.ErrNotTold},
		"another":            {revoking(t, p.ca, p.rsa), true, p.ca, nil},
		"revoked":            {revoking(t, p.ca, p.sm2), false, p.ca, x509.ErrRevoked},
		"revoked and a root": {revoking(t, p.ca, p.sm2), false, p.sm2, x509.ErrRevoked},
	} {
		for _, always := range []bool{false, true} {
			_, err := cms.Verify(signText(t, cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}}),
				cms.VerifyOptions{Roots: []*cms.Certificate{c.root.Certificate}, CRLs: c.lists, Revocation: c.need, AnyTime: always})
			if !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", name, err, c.want)
			}
		}
	}
}

// An authority whose certificate was made anew after the signer's is as good where the
// time is not asked.
func TestRenewedAuthority(t *testing.T) {
	key, now := testpki.SM2(t), time.Now()
	old := testpki.New(t, "authority", key)
	leaf := old.Issue(t, "leaf", testpki.SM2(t), func(c *smx509.Certificate) {
		c.NotBefore, c.NotAfter = now.AddDate(-3, 0, 0), now.AddDate(-2, 0, 0)
	})
	renewed := testpki.New(t, "authority", key) // of an hour ago
	der := signText(t, cms.SignOptions{Signers: []cms.Signer{signer(leaf)}})
	o := cms.VerifyOptions{Roots: []*cms.Certificate{renewed.Certificate}}
	if _, err := cms.Verify(der, o); !errors.Is(err, x509.ErrExpired) {
		t.Errorf("where it is asked: %v", err)
	}
	o.AnyTime = true
	if _, err := cms.Verify(der, o); err != nil {
		t.Error(err)
	}
}

// Nobody encrypts for a certificate that expired, or is not valid yet, or is for
// something else.
func TestEnvelopRefuses(t *testing.T) {
	p := makePeople(t)
	later := time.Now().Add(48 * time.Hour)
	signs := p.ca.Issue(t, "signs", testpki.SM2(t), func(c *smx509.Certificate) { c.KeyUsage = smx509.KeyUsageDigitalSignature })
	for name, c := range map[string]struct {
		to   *testpki.Entity
		o    cms.EnvelopOptions
		want error
	}{
		"now":               {p.sm2, cms.EnvelopOptions{}, nil},
		"expired":           {p.sm2, cms.EnvelopOptions{Time: later}, x509.ErrExpired},
		"early":             {p.rsa, cms.EnvelopOptions{Time: later.AddDate(-1, 0, 0)}, x509.ErrEarly},
		"expired, no asked": {p.sm2, cms.EnvelopOptions{Time: later, AnyTime: true}, nil},
		"for signatures":    {signs, cms.EnvelopOptions{}, cms.ErrUsage},
	} {
		c.o.Recipients = []*cms.Certificate{c.to.Certificate}
		if _, err := cms.Envelop([]byte("text"), c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := cms.SignAndEnvelop([]byte("text"), cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}}, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s, signed: %v, want %v", name, err, c.want)
		}
	}
}

// What is signed without the identity must not be what is hashed with it: a signature of
// Z and a text would be one of the text, and the other way.
func TestPlainOfForeignContent(t *testing.T) {
	p := makePeople(t)
	pub := p.sm2.Certificate.PublicKey.(*ecdsa.PublicKey)
	for _, id := range []string{"1234567812345678", "TLSv1.3+GM+Cipher+Suite", "somebody"} {
		z, err := gmsm2.CalculateZA(pub, []byte(id))
		if err != nil {
			t.Fatal(err)
		}
		content := append(bytes.Clone(z), "pay Eve"...)
		o := cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, NoAttributes: true, Detached: true, Plain: true}
		if id == "somebody" {
			o.ID = id
		}
		if _, err := cms.Sign(bytes.NewReader(content), o); !errors.Is(err, rawsign.ErrForeign) {
			t.Errorf("%s: %v", id, err)
		}
		content[3] ^= 1
		if _, err := cms.Sign(bytes.NewReader(content), o); err != nil {
			t.Errorf("%s, of another key: %v", id, err)
		}
	}
	o := cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}, NoAttributes: true, Detached: true}
	z, _ := gmsm2.CalculateZA(pub, []byte("1234567812345678"))
	v := cms.VerifyOptions{Roots: p.roots(), Plain: true, Content: bytes.NewReader(append(z, "text"...))}
	if _, err := cms.Verify(signText(t, o), v); !errors.Is(err, cms.ErrMalformed) {
		t.Errorf("a signature of a text taken for one of Z and the text: %v", err)
	}
}
