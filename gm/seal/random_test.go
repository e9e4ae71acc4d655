package seal

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
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
		if err := Encrypt(t.Context(), &out, bytes.NewReader([]byte("plain")), o); !errors.Is(err, rng.ErrState) || out.Len() > 0 {
			t.Errorf("%s: %v, %d bytes", name, err, out.Len())
		}
		if _, err := header(t.Context(), make([]byte, masterLen), &o); !errors.Is(err, rng.ErrState) {
			t.Errorf("%s: header: %v", name, err)
		}
	}
}

// A file that was sealed with gmsm's encryption of SM2 opens.
func TestOldFile(t *testing.T) {
	b, err := os.ReadFile("testdata/gmsm.sealed")
	if err != nil {
		t.Fatal(err)
	}
	d := sha256.Sum256([]byte("anole gm seal fixture"))
	k, err := sm2.NewPrivateKey(d[:])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := open(b, Opener{Key: k}); err != nil || string(got) != "sealed before\n" {
		t.Errorf("%q, %v", got, err)
	}
}
