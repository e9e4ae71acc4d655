package keys

import (
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
)

// Without random bytes no key is made, wrapped or written, and once there are some again,
// all goes on: the pairwise check does not stay failed.
func TestNoRandom(t *testing.T) {
	to, err := Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	mend := norandom.Break(t)
	for name, do := range map[string]func() (any, error){
		"generate": func() (any, error) { k, err := Generate(rng.Reader); return k == nil, err },
		"new":      func() (any, error) { k, err := New(rng.Reader, policy.SM2, 0); return k == nil, err },
		"P-256":    func() (any, error) { k, err := New(rng.Reader, policy.P256, 0); return k == nil, err },
		"RSA":      func() (any, error) { k, err := New(rng.Reader, policy.RSA, MinRSA); return k == nil, err },
		"Ed25519":  func() (any, error) { k, err := New(rng.Reader, policy.Ed25519, 0); return k == nil, err },
		"pairwise": func() (any, error) { k, err := Generate(rand.Reader); return k == nil, err },
		"envelope": func() (any, error) { b, err := Envelope(rng.Reader, &to.PublicKey, to); return b == nil, err },
		"save": func() (any, error) {
			err := Save(file, to, []byte("word"), Encryption{Iterations: 1000})
			_, gone := os.Stat(file)
			return os.IsNotExist(gone), err
		},
	} {
		if nothing, err := do(); !errors.Is(err, rng.ErrState) || nothing != true {
			t.Errorf("%s: %v, nothing: %v", name, err, nothing)
		}
	}
	mend()
	if _, err := Generate(rng.Reader); err != nil || selftest.OK() != nil {
		t.Errorf("afterwards: %v, %v", err, selftest.OK())
	}
}

// A key of which the public half is of another is not given out.
func TestGenerateChecks(t *testing.T) {
	k, err := Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k.PublicKey = other.PublicKey
	defer selftest.Run(t.Context())
	if selftest.Pairwise(k) == nil || selftest.OK() == nil {
		t.Error("halves of two keys pass")
	}
}
