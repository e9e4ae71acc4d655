package seal

import (
	"bytes"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/norandom"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
)

// Without random bytes nothing is sealed, and nothing written.
func TestNoRandom(t *testing.T) {
	k := newKey(t)
	norandom.Break(t)
	for name, o := range map[string]Options{"password": {Password: word, Iterations: 1000}, "key": {Recipients: []*sm2.PublicKey{&k.PublicKey}}} {
		var out bytes.Buffer
		if err := Encrypt(&out, bytes.NewReader([]byte("plain")), o); !errors.Is(err, rng.ErrState) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
		if _, err := header(make([]byte, masterLen), &o); !errors.Is(err, rng.ErrState) {
			t.Errorf("%s: header: %v", name, err)
		}
	}
}
