package cms_test

import (
	"bytes"
	"testing"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/x509"
)

// The policy is asked about signers, recipients and whole chains, and not only by verbs.
func TestPolicy(t *testing.T) {
	before := policy.Default.Policy()
	t.Cleanup(func() { policy.Default.Set(before) })
	ca := testpki.New(t, "authority", testpki.RSA(t))
	bob := ca.Issue(t, "bob", testpki.RSA(t))
	mixed := ca.Issue(t, "alice", testpki.SM2(t)) // by an authority with RSA
	sign := func(e *testpki.Entity) ([]byte, error) {
		return cms.Sign(bytes.NewReader([]byte("text")), cms.SignOptions{Signers: []cms.Signer{{Certificate: e.Certificate, Key: e.Key}}})
	}
	byBob, err := sign(bob)
	if err != nil {
		t.Fatal(err)
	}
	byAlice, err := sign(mixed)
	if err != nil {
		t.Fatal(err)
	}
	roots := []*x509.Certificate{ca.Certificate}
	for _, m := range [][]byte{byBob, byAlice} {
		if _, err := cms.Verify(m, cms.VerifyOptions{Roots: roots}); err != nil {
			t.Errorf("without a policy: %v", err)
		}
	}
	p, err := policy.New(policy.Config{Mode: policy.Only})
	if err != nil {
		t.Fatal(err)
	}
	policy.Default.Set(p)
	denied := func(what string, err error) {
		t.Helper()
		if !policy.Denied(err) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = sign(bob)
	denied("sign with RSA", err)
	for _, m := range [][]byte{byBob, byAlice} {
		r, err := cms.Verify(m, cms.VerifyOptions{Roots: roots})
		denied("verify", err)
		if len(r.Signers) != 1 || !policy.Denied(r.Signers[0].Err) {
			t.Errorf("%+v", r)
		}
	}
	if _, err := cms.Verify(byAlice, cms.VerifyOptions{Unchained: true}); err != nil {
		t.Errorf("SM2 without its chain: %v", err)
	}
	_, err = cms.Envelop([]byte("text"), cms.EnvelopOptions{Recipients: []*x509.Certificate{bob.Certificate}})
	denied("encrypt to RSA", err)
	_, err = x509.Verify(mixed.Certificate, x509.Options{Roots: roots})
	denied("a chain from RSA", err)
}
