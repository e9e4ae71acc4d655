package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
)

// ParsePublic reads the DER of a SubjectPublicKeyInfo: a *sm2.PublicKey, an
// *ecdsa.PublicKey of a curve of NIST's, an *rsa.PublicKey or an ed25519.PublicKey.
func ParsePublic(b []byte) (crypto.PublicKey, error) {
	if der.Check(b) != nil {
		return nil, ErrMalformed
	}
	var in, algorithm cryptobyte.String
	var id, curve asn1.ObjectIdentifier
	var key []byte
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&id) ||
		!in.ReadASN1BitStringAsBytes(&key) || !in.Empty() {
		return nil, ErrMalformed
	}
	if algorithm.PeekASN1Tag(tag.OBJECT_IDENTIFIER) && (!algorithm.ReadASN1ObjectIdentifier(&curve) || !algorithm.Empty()) {
		return nil, ErrMalformed
	}
	if id.Equal(oidSM2) || id.Equal(oidECPublicKey) && curve.Equal(oidSM2) {
		return point(key)
	}
	pub, err := x509.ParsePKIXPublicKey(b)
	if err != nil {
		return nil, ErrInvalid
	}
	switch pub.(type) {
	case *ecdsa.PublicKey, *rsa.PublicKey, ed25519.PublicKey:
		return pub, nil
	}
	return nil, ErrUnsupported
}
