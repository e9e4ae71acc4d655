package ima

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
)

// A label's hash must be one that the policy lets be used, whoever made the label and
// whatever key was taken in before.
func TestHashPolicy(t *testing.T) {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	s, ring := newSigner(t, r, SHA256)
	strong, mixed := newSigner(t, r, SM3)
	digest := make([]byte, 32)
	signed, err := s.Sign(TypeSignature, digest)
	if err != nil {
		t.Fatal(err)
	}
	other, err := strong.Sign(TypeSignature, digest)
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]Label{"digest": DigestLabel(SHA256, digest), "signature": signed}
	for name, l := range labels {
		if err := ring.Verify(l, digest); err != nil {
			t.Errorf("%s, before: %v", name, err)
		}
	}
	policytest.Set(t, policy.Config{Mode: policy.Only})
	for name, l := range labels {
		if err := ring.Verify(l, digest); !policy.Denied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ring.Verify(DigestLabel(SM3, digest), digest); err != nil {
		t.Errorf("SM3: %v", err)
	}
	if err := mixed.Verify(other, digest); err != nil {
		t.Errorf("SM3 signed before: %v", err)
	}
	if err := ring.Verify(DigestLabel(Algo(99), digest), digest); !errors.Is(err, ErrAlgo) {
		t.Errorf("a hash that is none: %v", err)
	}
	for name, w := range map[string]Work{"label": LabelWork{SHA256}, "hash": HashWork{SHA512}} {
		if _, err := w.begin(nil); !policy.Denied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
