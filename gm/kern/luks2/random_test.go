package luks2

import (
	"bytes"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/rng"
)

// Without random bytes no volume gets a header, none another key, and no key slot goes.
func TestNoRandom(t *testing.T) {
	m, c, key := made(t, Options{}, 4096)
	before := bytes.Clone(m.b)
	norandom.Break(t)
	if _, _, err := Format(t.Context(), m, []byte("first"), Options{DataOffset: 2 << 20, Slot: quick, UUID: "x"}); !errors.Is(err, rng.ErrState) {
		t.Errorf("format: %v", err)
	}
	if _, err := c.AddKey(t.Context(), key, []byte("second"), quick); !errors.Is(err, rng.ErrState) {
		t.Errorf("add key: %v", err)
	}
	if err := c.RemoveKey(0, true); !errors.Is(err, rng.ErrState) {
		t.Errorf("remove key: %v", err)
	}
	if !bytes.Equal(m.b, before) {
		t.Error("something was written")
	}
}
