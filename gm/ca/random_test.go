package ca

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/rng"
)

// Without random bytes no CA is made, none issues, and neither leaves anything.
func TestNoRandom(t *testing.T) {
	c := newCA(t, options(t, true))
	r := subject(t, "CN=one")
	r.Dual, r.Keep = true, true
	k, err := keys.Generate(rng.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr := r
	csr.CSR = request(t, k, "CN=holder")
	index := filepath.Join(c.dir, "index")
	before, err := os.ReadFile(index)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	norandom.Break(t)
	if _, err := Init(filepath.Join(dir, "ca"), options(t, true)); !errors.Is(err, rng.ErrState) {
		t.Errorf("init: %v", err)
	}
	if l, err := os.ReadDir(dir); err != nil || len(l) > 0 {
		t.Errorf("init leaves %v, %v", l, err)
	}
	for _, r := range []Request{r, csr} {
		if out, err := c.Issue(r); !errors.Is(err, rng.ErrState) || out != nil {
			t.Errorf("issue: %v, %v", out, err)
		}
	}
	if after, err := os.ReadFile(index); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the index changed: %v", err)
	}
}
