package sm2

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"io"
	"math/big"

	"github.com/emmansun/gmsm/sm2"
)

// DefaultID is the identity of a signer who has no other: GM/T 0009, clause 10.
const DefaultID = "1234567812345678"

// PrivateKey is a private key. It implements crypto.Signer and crypto.Decrypter; a
// Signer is faster.
type PrivateKey = sm2.PrivateKey

// PublicKey is a public key whose curve is Curve.
type PublicKey = ecdsa.PublicKey

// Curve is the curve of GB/T 32918.5.
func Curve() elliptic.Curve { return sm2.P256() }

// IsPublicKey says whether k is a *PublicKey on Curve.
func IsPublicKey(k any) bool {
	pub, ok := k.(*PublicKey)
	return ok && pub != nil && sm2.IsSM2PublicKey(pub)
}

// GenerateKey makes a key.
func GenerateKey(random io.Reader) (*PrivateKey, error) { return sm2.GenerateKey(random) }

// NewPrivateKey is the key whose scalar is of those 32 bytes, big-endian. The error is of
// one that is not in [1, n-2].
func NewPrivateKey(scalar []byte) (*PrivateKey, error) { return sm2.NewPrivateKey(scalar) }

// NewPublicKey is the key at an encoded point: 04 x y, or 02 or 03 and x. The error is of
// one that is not on the curve, or at infinity.
func NewPublicKey(point []byte) (*PublicKey, error) {
	if len(point) == 33 {
		// Not by gmsm, which gives a point that is not on the curve, and no error.
		x, y := elliptic.UnmarshalCompressed(Curve(), point)
		if x == nil {
			return nil, errPublic
		}
		return &PublicKey{Curve: Curve(), X: x, Y: y}, nil
	}
	if len(point) != 65 {
		return nil, errPublic
	}
	return sm2.NewPublicKey(point)
}

// clone is a copy that does not change with the original.
func clone(pub *PublicKey) *PublicKey {
	return &PublicKey{Curve: pub.Curve, X: new(big.Int).Set(pub.X), Y: new(big.Int).Set(pub.Y)}
}
