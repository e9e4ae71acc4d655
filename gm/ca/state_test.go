package ca

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/gm/selftest"
)

// In the error state no CA is made, and none does anything with its keys.
func TestErrorState(t *testing.T) {
	c := newCA(t, options(t, true))
	r := subject(t, "CN=holder")
	r.Dual, r.Keep = true, true
	out := issue(t, c, r)
	all, err := c.List()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	selftest.Fail("condition", errors.New("of this test"))
	defer selftest.Run(t.Context())
	for name, do := range map[string]func() error{
		"init":    func() error { _, err := Init(filepath.Join(dir, "ca"), options(t, false)); return err },
		"issue":   func() error { _, err := c.Issue(r); return err },
		"list":    func() error { _, err := c.CRL(Root, 30); return err },
		"recover": func() error { _, err := c.Recover(all[len(all)-1].Serial); return err },
	} {
		if err := do(); !errors.Is(err, selftest.ErrState) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) > 0 {
		t.Errorf("left over: %v, %v", l, err)
	}
	if r := selftest.Run(t.Context()); r.State != selftest.Passed {
		t.Fatalf("%+v", r.Failures())
	}
	if k, err := c.Recover(all[len(all)-1].Serial); err != nil || !k.Equal(out.EncryptionKey) {
		t.Errorf("afterwards: %v", err)
	}
}
