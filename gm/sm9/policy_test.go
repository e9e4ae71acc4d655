package sm9

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
)

// uses are all functions that the package exports.
func uses(t *testing.T) map[string]func() error {
	t.Helper()
	pub, der := new(SignMasterPublic), []byte{0x30, 0}
	return map[string]func() error{
		"NewSignMaster":            func() error { _, err := NewSignMaster(); return err },
		"NewEncryptMaster":         func() error { _, err := NewEncryptMaster(); return err },
		"Sign":                     func() error { _, err := Sign(nil, msg); return err },
		"Verify":                   func() error { return Verify(pub, alice, msg, der) },
		"Encrypt":                  func() error { _, err := Encrypt(nil, alice, msg); return err },
		"Decrypt":                  func() error { _, err := Decrypt(nil, alice, der); return err },
		"Encapsulate":              func() error { _, _, err := Encapsulate(nil, alice, 16); return err },
		"Decapsulate":              func() error { _, err := Decapsulate(nil, alice, der, 16); return err },
		"NewExchange":              func() error { _, err := NewExchange(nil, alice, bob, 16, true); return err },
		"ParseSignMaster":          func() error { _, err := ParseSignMaster(der); return err },
		"ParseSignMasterPublic":    func() error { _, err := ParseSignMasterPublic(der); return err },
		"ParseSignKey":             func() error { _, err := ParseSignKey(der, pub); return err },
		"ParseEncryptMaster":       func() error { _, err := ParseEncryptMaster(der); return err },
		"ParseEncryptMasterPublic": func() error { _, err := ParseEncryptMasterPublic(der); return err },
		"ParseEncryptKey":          func() error { _, err := ParseEncryptKey(der, nil); return err },
	}
}

// SM9 has some 100 bits: a policy that asks for 112 lets nothing be done with it, whatever
// the mode; the default does.
func TestPolicy(t *testing.T) {
	policytest.Set(t, policy.Config{Mode: policy.Only, MinBits: policy.DefaultConfig().MinBits})
	if _, err := NewSignMaster(); err != nil {
		t.Errorf("gm-only: %v", err)
	}
	policytest.Set(t, policy.Config{Mode: policy.Only, MinBits: 112})
	for name, do := range uses(t) {
		if err := do(); !policy.Denied(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Without a key there is an error and no panic.
func TestNoKey(t *testing.T) {
	all := uses(t)
	all["Verify"] = func() error { return Verify(nil, alice, msg, nil) }
	for name, do := range all {
		if err := do(); !errors.Is(err, ErrKey) && !strings.HasPrefix(name, "New") || name == "NewExchange" && err == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Where a known answer is wrong at first use, nothing is done.
func TestSelfTestFails(t *testing.T) {
	before := tested
	t.Cleanup(func() { tested = before })
	tested = sync.OnceValue(SelfTest)
	mend := kat.Spoil("SM9 verify", "gmsm")
	defer mend()
	for name, do := range uses(t) {
		if err := do(); !errors.Is(err, kat.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
