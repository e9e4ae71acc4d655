package keys

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/sm2"
)

func TestNew(t *testing.T) {
	made := map[policy.Alg][]byte{}
	for alg, is := range map[policy.Alg]func(Private) bool{
		policy.SM2:     func(k Private) bool { _, ok := k.(*sm2.PrivateKey); return ok },
		policy.RSA:     func(k Private) bool { r, ok := k.(*rsa.PrivateKey); return ok && r.N.BitLen() == 2048 },
		policy.P256:    func(k Private) bool { e, ok := k.(*ecdsa.PrivateKey); return ok && e.Curve.Params().BitSize == 256 },
		policy.P384:    func(k Private) bool { e, ok := k.(*ecdsa.PrivateKey); return ok && e.Curve.Params().BitSize == 384 },
		policy.P521:    func(k Private) bool { e, ok := k.(*ecdsa.PrivateKey); return ok && e.Curve.Params().BitSize == 521 },
		policy.Ed25519: func(k Private) bool { _, ok := k.(ed25519.PrivateKey); return ok },
	} {
		k, err := New(rand.Reader, alg, 2048)
		if err != nil || !is(k) {
			t.Fatalf("%s: %T, %v", alg, k, err)
		}
		b, err := PEM(k, nil, Encryption{})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(b, nil); err != nil || !Equal(again.Public(), k.Public()) {
			t.Errorf("%s: %v", alg, err)
		}
		made[alg] = b
	}
	for _, bits := range []int{-1, 0, 1024, MaxRSA + 1} {
		if _, err := New(rand.Reader, policy.RSA, bits); err == nil {
			t.Errorf("RSA with %d bits", bits)
		}
	}
	if _, err := New(rand.Reader, policy.SM4, 0); !errors.Is(err, ErrUnsupported) {
		t.Errorf("SM4: %v", err)
	}
	// The policy goes before: neither made nor taken in.
	policytest.Set(t, policy.Config{Mode: policy.Only})
	for alg, b := range made {
		_, made := New(rand.Reader, alg, 2048)
		_, read := Parse(b, nil)
		for _, err := range []error{made, read} {
			if alg == policy.SM2 && err != nil || alg != policy.SM2 && !policy.Denied(err) {
				t.Errorf("%s: %v", alg, err)
			}
		}
	}
	policytest.Set(t, policy.Config{Mode: policy.Intl, MinBits: 192})
	if _, err := Generate(rand.Reader); !policy.Denied(err) {
		t.Errorf("SM2 with 192 bits: %v", err)
	}
}
