// Package rawsign keeps signatures by SM2 over a content's bare hash, as of IMA's labels and
// of Linux' modules, apart from those over SM3(Z || message), as of messages, certificates
// and TLS. A content that begins with Z of the signer's key would be both: whoever places
// such a file would have the signer sign a message of his choice.
package rawsign

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/subtle"
	"errors"

	gmsm2 "github.com/emmansun/gmsm/sm2"

	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm3"
)

// Size is how many bytes of a content's beginning are looked at.
const Size = sm3.Size

// ErrForeign is of a content that is refused.
var ErrForeign = errors.New("the content begins as what is hashed for a message, certificate or handshake of the signer's key (Z of GB/T 32918.2): a signature of it would be one of those")

// tls13 is the identity of RFC 8998, clause 3.2.1.
const tls13 = "TLSv1.3+GM+Cipher+Suite"

// Guard knows Z of a key, for the identities that are in general use. That of a key of
// another kind than SM2 lets all pass.
type Guard [][]byte

// New makes the Guard of a key, for further identities too.
func New(pub crypto.PublicKey, ids ...string) (g Guard, err error) {
	k, ok := pub.(*ecdsa.PublicKey)
	if !ok || !sm2.IsPublicKey(k) {
		return nil, nil
	}
	for _, id := range append([]string{sm2.DefaultID, tls13}, ids...) {
		z, err := gmsm2.CalculateZA(k, []byte(id)) // of "" that of the default
		if err != nil {
			return nil, err
		}
		g = append(g, z)
	}
	return g, nil
}

// Check says with ErrForeign that a content, of which the first Size bytes do, is none to
// sign.
func (g Guard) Check(content []byte) error {
	for _, z := range g {
		if len(content) >= Size && subtle.ConstantTimeCompare(content[:Size], z) == 1 {
			return ErrForeign
		}
	}
	return nil
}

// Check is that of a key's Guard.
func Check(pub crypto.PublicKey, content []byte, ids ...string) error {
	g, err := New(pub, ids...)
	if err != nil {
		return err
	}
	return g.Check(content)
}
