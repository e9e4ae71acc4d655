package x509

import (
	"crypto/rand"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
)

// The hash that the policy is asked about is the one that is then signed.
func TestHashOf(t *testing.T) {
	for _, alg := range []policy.Alg{policy.SM2, policy.RSA, policy.P256, policy.P384, policy.P521, policy.Ed25519} {
		key, err := keys.New(rng.Reader, alg, 2048)
		if err != nil {
			t.Fatal(err)
		}
		c := sign(t, asCA(template("root")), key, nil, "").cert
		if got, want := hashOf(0, key.Public()), hashes[c.SignatureAlgorithm]; got != want || want == "" {
			t.Errorf("%s: %q, and it is signed with %q", alg, got, want)
		}
	}
}

// In the error state nothing is signed.
func TestErrorState(t *testing.T) {
	key := newKey(t)
	root := sign(t, asCA(template("root")), key, nil, "")
	selftest.Fail("condition", errors.New("of this test"))
	defer selftest.Run(t.Context())
	for name, do := range map[string]func() ([]byte, error){
		"certificate": func() ([]byte, error) { return Create(rand.Reader, root.cert, root.cert, key.Public(), key, "") },
		"request":     func() ([]byte, error) { return CreateRequest(rand.Reader, &CertificateRequest{}, key, "") },
		"list": func() ([]byte, error) {
			return CreateCRL(rand.Reader, &RevocationList{Number: big.NewInt(1), ThisUpdate: time.Now(), NextUpdate: time.Now().AddDate(0, 1, 0)}, root.cert, key, "")
		},
	} {
		if b, err := do(); b != nil || !errors.Is(err, selftest.ErrState) {
			t.Errorf("%s: %x, %v", name, b, err)
		}
	}
}
