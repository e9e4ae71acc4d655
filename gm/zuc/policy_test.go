package zuc

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/internal/policytest"
	"github.com/anole-os/anole/gm/policy"
)

// uses are all functions that the package exports, those of ZUC-256 with a name of that.
func uses(t *testing.T) map[string]func() error {
	t.Helper()
	b := make([]byte, 32)
	return map[string]func() error{
		"New":        func() error { _, err := New(b[:16], b[:16]); return err },
		"EEA":        func() error { _, err := EEA(b[:16], frame, b, 8); return err },
		"EIA":        func() error { _, err := EIA(b[:16], frame, b, 8); return err },
		"256 New":    func() error { _, err := New256(b, b[:23]); return err },
		"256 MAC256": func() error { _, err := MAC256(b, b[:23], 4, b, 8); return err },
	}
}

// gm-only lets ZUC through, and not ZUC-256, which no standard has.
func TestPolicy(t *testing.T) {
	policytest.Set(t, policy.Config{Mode: policy.Only})
	for name, do := range uses(t) {
		if err := do(); policy.Denied(err) != strings.HasPrefix(name, "256") {
			t.Errorf("%s: %v", name, err)
		}
	}
	policytest.Set(t, policy.Config{Mode: policy.Intl, MinBits: 256})
	for name, do := range uses(t) {
		if err := do(); policy.Denied(err) == strings.HasPrefix(name, "256") {
			t.Errorf("256 bits, %s: %v", name, err)
		}
	}
}

// Where a known answer is wrong at first use, nothing is done.
func TestSelfTestFails(t *testing.T) {
	before := tested
	t.Cleanup(func() { tested = before })
	tested = sync.OnceValue(SelfTest)
	mend := kat.Spoil("ZUC EIA", "gmsm")
	defer mend()
	for name, do := range uses(t) {
		if err := do(); !errors.Is(err, kat.ErrMismatch) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
