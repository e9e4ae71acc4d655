package rawsign_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/internal/testpki"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
)

// A signature over a message with the identity is one over Z and the message without; the
// guard refuses that, for the identities that it knows, and little else.
func TestGuard(t *testing.T) {
	key := testpki.SM2(t)
	pub := key.(*sm2.PrivateKey).Public().(*sm2.PublicKey)
	g, err := rawsign.New(pub, "somebody")
	if err != nil {
		t.Fatal(err)
	}
	if len(g) != 3 {
		t.Fatalf("%d identities", len(g))
	}
	for i, id := range []string{sm2.DefaultID, "TLSv1.3+GM+Cipher+Suite", "somebody"} {
		content := append(bytes.Clone(g[i]), "message"...)
		digest, err := sm2.Digest(pub, []byte(id), []byte("message"))
		if sum := sm3.Sum(content); err != nil || !bytes.Equal(digest, sum[:]) {
			t.Errorf("%s: not what is hashed of a message: %v", id, err)
		}
		if err := g.Check(content); !errors.Is(err, rawsign.ErrForeign) {
			t.Errorf("%s: %v", id, err)
		}
		if err := g.Check(content[:rawsign.Size]); !errors.Is(err, rawsign.ErrForeign) {
			t.Errorf("%s, alone: %v", id, err)
		}
		if err := g.Check(content[:rawsign.Size-1]); err != nil {
			t.Errorf("%s, in part: %v", id, err)
		}
	}
	for _, other := range []any{testpki.RSA(t).Public(), testpki.ECDSA(t).Public(), nil} {
		if err := rawsign.Check(other, g[0]); err != nil {
			t.Errorf("%T: %v", other, err)
		}
	}
}
