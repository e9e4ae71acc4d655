package keys

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
)

// In the error state no key is made, taken in or put under a password.
func TestErrorState(t *testing.T) {
	k, err := Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	word, fast := []byte("word"), Encryption{Iterations: 1000}
	plain := must(t)(MarshalPKCS8(k))
	sealed := must(t)(EncryptPKCS8(rng.Reader, k, word, fast))
	bundle := must(t)(MarshalPKCS12(rng.Reader, &Bundle{Key: k}, word, fast))
	sec1 := must(t)(MarshalSEC1(k))
	envelope := must(t)(Envelope(rng.Reader, &k.PublicKey, k))
	selftest.Fail("condition", errors.New("of this test"))
	defer selftest.Run(t.Context())
	for name, do := range map[string]func() error{
		"generate":    func() error { _, err := Generate(rng.Reader); return err },
		"SM2":         func() error { _, err := New(rng.Reader, policy.SM2, 0); return err },
		"P-256":       func() error { _, err := New(rng.Reader, policy.P256, 0); return err },
		"read":        func() error { _, err := Parse(plain, nil); return err },
		"PKCS#8":      func() error { _, err := ParsePKCS8(plain); return err },
		"SEC1":        func() error { _, err := ParseSEC1(sec1); return err },
		"password":    func() error { _, err := ParseEncryptedPKCS8(sealed, word); return err },
		"PKCS#12":     func() error { _, err := ParsePKCS12(bundle, word); return err },
		"encrypt":     func() error { _, err := EncryptPKCS8(rng.Reader, k, word, fast); return err },
		"to PKCS#12":  func() error { _, err := MarshalPKCS12(rng.Reader, &Bundle{Key: k}, word, fast); return err },
		"envelop":     func() error { _, err := Envelope(rng.Reader, &k.PublicKey, k); return err },
		"of envelope": func() error { _, err := OpenEnvelope(k, envelope); return err },
	} {
		if err := do(); !errors.Is(err, selftest.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r := selftest.Run(t.Context()); r.State != selftest.Passed {
		t.Fatalf("%+v", r.Failures())
	}
	if _, err := Parse(plain, nil); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// What the policy lets nobody have is neither written nor taken in, by whichever function.
func TestOnly(t *testing.T) {
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	k, err := Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := New(rng.Reader, policy.P256, 0)
	if err != nil {
		t.Fatal(err)
	}
	word, fast := []byte("word"), Encryption{Iterations: 1000}
	plain := must(t)(MarshalPKCS8(other))
	sec1 := must(t)(MarshalSEC1(ec))
	sealed := must(t)(EncryptPKCS8(rng.Reader, other, word, fast))
	bundle := must(t)(MarshalPKCS12(rng.Reader, &Bundle{Key: other}, word, fast))
	old := must(t)(EncryptPKCS8(rng.Reader, k, word, Encryption{Cipher: AES256, PRF: SHA256, Iterations: 1000}))
	for _, mode := range []policy.Mode{policy.Intl, policy.Only} {
		policytest.Set(t, policy.Config{Mode: mode, MinBits: 112})
		for name, do := range map[string]func() error{
			"AES-256": func() error {
				_, err := EncryptPKCS8(rng.Reader, k, word, Encryption{Cipher: AES256, Iterations: 1000})
				return err
			},
			"SHA-256": func() error {
				_, err := EncryptPKCS8(rng.Reader, k, word, Encryption{PRF: SHA256, Iterations: 1000})
				return err
			},
			"to PKCS#12": func() error {
				_, err := MarshalPKCS12(rng.Reader, &Bundle{Key: k}, word, Encryption{PRF: SHA256, Iterations: 1000})
				return err
			},
			"to PEM":   func() error { _, err := PEM(k, word, Encryption{Cipher: AES256, Iterations: 1000}); return err },
			"asked":    func() error { return Encryption{Cipher: AES256}.Check() },
			"PKCS#8":   func() error { _, err := ParsePKCS8(plain); return err },
			"SEC1":     func() error { _, err := ParseSEC1(sec1); return err },
			"password": func() error { _, err := ParseEncryptedPKCS8(sealed, word); return err },
			"PKCS#12":  func() error { _, err := ParsePKCS12(bundle, word); return err },
		} {
			if err := do(); policy.Denied(err) != (mode == policy.Only) || mode == policy.Intl && err != nil {
				t.Errorf("%s, %s: %v", mode, name, err)
			}
		}
		// What is of ShangMi goes on, and a key of SM2 that was under AES is read still.
		for name, do := range map[string]func() error{
			"SM4":      func() error { _, err := EncryptPKCS8(rng.Reader, k, word, fast); return err },
			"from AES": func() error { _, err := ParseEncryptedPKCS8(old, word); return err },
		} {
			if err := do(); err != nil {
				t.Errorf("%s, %s: %v", mode, name, err)
			}
		}
	}
	if _, err := EncryptPKCS8(rng.Reader, k, word, Encryption{Cipher: 7, Iterations: 1000}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a cipher that is none: %v", err)
	}
}
