package policy

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"strings"

	"github.com/anole-os/anole/gm/sm2"
)

// Of names the algorithm of a key, private or public: of SM2, RSA, ECDSA or Ed25519. The
// Alg is empty, which no policy lets through, for all others.
func Of(key any) (Alg, Params) {
	if k, ok := key.(crypto.Signer); ok {
		key = k.Public()
	}
	switch k := key.(type) {
	case *rsa.PublicKey:
		return RSA, Params{KeyBits: k.N.BitLen()}
	case ed25519.PublicKey:
		return Ed25519, Params{}
	case *ecdsa.PublicKey:
		if sm2.IsPublicKey(k) {
			return SM2, Params{}
		}
		return Alg(strings.ToLower(k.Curve.Params().Name)), Params{} // "P-256"
	}
	return "", Params{}
}

// CheckKey asks about an operation with a key; id is the signer's identity, where SM2 signs
// or verifies, and empty for the usual one.
func (g *Gate) CheckKey(op Op, key any, id string) error {
	alg, params := Of(key)
	params.DistID = id
	return g.Check(op, alg, params)
}

// CheckKey asks Default.
func CheckKey(op Op, key any, id string) error { return Default.CheckKey(op, key, id) }
