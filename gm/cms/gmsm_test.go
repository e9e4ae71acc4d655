package cms_test

import (
	"bytes"
	"testing"

	"github.com/emmansun/gmsm/pkcs"
	"github.com/emmansun/gmsm/pkcs7"
	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/cms"
)

// gmsm has its own reader and writer of GM/T 0010.
func TestGMSMReads(t *testing.T) {
	p := makePeople(t)
	for _, n := range []int{0, 1, 300, 70000} {
		content := random(t, n)
		for _, o := range []cms.SignOptions{{GMT: true}, {GMT: true, NoAttributes: true}, {GMT: true, Detached: true}} {
			o.Signers = []cms.Signer{signer(p.sm2)}
			der, err := cms.Sign(bytes.NewReader(content), o)
			if err != nil {
				t.Fatal(err)
			}
			m, err := pkcs7.Parse(der)
			if err != nil {
				t.Fatal(err)
			}
			if o.Detached {
				m.Content = content
			}
			roots := smx509.NewCertPool()
			roots.AddCert(p.ca.Certificate)
			if err := m.VerifyWithChain(roots); err != nil || !bytes.Equal(m.Content, content) {
				t.Fatalf("%+v, %d bytes: %v", o, n, err)
			}
		}
		der, err := cms.Envelop(content, cms.EnvelopOptions{Recipients: []*cms.Certificate{p.sm2.Certificate}, GMT: true})
		if err != nil {
			t.Fatal(err)
		}
		m, err := pkcs7.Parse(der)
		if err != nil {
			t.Fatal(err)
		}
		if out, err := m.Decrypt(p.sm2.Certificate, p.sm2.Key); err != nil || !bytes.Equal(out, content) {
			t.Fatalf("decrypt %d bytes: %v", n, err)
		}
		der, err = cms.SignAndEnvelop(content, cms.SignOptions{Signers: []cms.Signer{signer(p.sm2)}},
			cms.EnvelopOptions{Recipients: []*cms.Certificate{p.sm2.Certificate}, GMT: true})
		if err != nil {
			t.Fatal(err)
		}
		if m, err = pkcs7.Parse(der); err != nil {
			t.Fatal(err)
		}
		if out, err := m.DecryptAndVerify(p.sm2.Certificate, p.sm2.Key, m.Verify); err != nil || !bytes.Equal(out, content) {
			t.Fatalf("decrypt and verify %d bytes: %v", n, err)
		}
	}
}

func TestGMSMWrites(t *testing.T) {
	p := makePeople(t)
	v := cms.VerifyOptions{Roots: p.roots()}
	for _, n := range []int{0, 1, 300, 70000} {
		content := random(t, n)
		for _, plain := range []bool{false, n > 0} { // without attributes it does not sign nothing
			m, err := pkcs7.NewSMSignedData(content)
			if err != nil {
				t.Fatal(err)
			}
			if plain {
				err = m.SignWithoutAttr(p.sm2.Certificate, p.sm2.Key, pkcs7.SignerInfoConfig{})
			} else {
				err = m.AddSigner(p.sm2.Certificate, p.sm2.Key, pkcs7.SignerInfoConfig{})
			}
			if err != nil {
				t.Fatal(err)
			}
			der, err := m.Finish()
			if err != nil {
				t.Fatal(err)
			}
			if r, err := cms.Verify(der, v); err != nil || !bytes.Equal(r.Content, content) {
				t.Fatalf("without attributes %v, %d bytes: %v", plain, n, err)
			}
		}
		o := cms.OpenOptions{Key: decrypter(p.sm2), Certificate: p.sm2.Certificate, Verify: v}
		der, err := pkcs7.EncryptSM(pkcs.SM4CBC, content, []*smx509.Certificate{p.sm2.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		if out, err := cms.Open(der, o); err != nil || !bytes.Equal(out.Content, content) {
			t.Fatalf("open %d bytes: %v", n, err)
		}
		if n == 0 {
			continue // nor this
		}
		both, err := pkcs7.NewSMSignedAndEnvelopedData(content, pkcs.SM4CBC)
		if err != nil {
			t.Fatal(err)
		}
		if err := both.AddSigner(p.sm2.Certificate, p.sm2.Key); err != nil {
			t.Fatal(err)
		}
		if err := both.AddRecipient(p.sm2.Certificate); err != nil {
			t.Fatal(err)
		}
		if der, err = both.Finish(); err != nil {
			t.Fatal(err)
		}
		if out, err := cms.Open(der, o); err != nil || !bytes.Equal(out.Content, content) {
			t.Fatalf("open signed and enveloped %d bytes: %v", n, err)
		}
	}
}
