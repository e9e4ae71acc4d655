package keys

import (
	"crypto"
	"encoding/asn1"
	"encoding/pem"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/rng"
)

// PEM gives a private key as PKCS#8, under a password unless that is nil.
func PEM(key Private, password []byte, e Encryption) ([]byte, error) {
	if password == nil {
		b, err := MarshalPKCS8(key)
		if err != nil {
			return nil, err
		}
		defer clear(b)
		return pem.EncodeToMemory(&pem.Block{Type: PEMPrivate, Bytes: b}), nil
	}
	b, err := EncryptPKCS8(rng.Reader, key, password, e)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: PEMEncrypted, Bytes: b}), nil
}

// PublicPEM gives a public key as SubjectPublicKeyInfo.
func PublicPEM(pub crypto.PublicKey) ([]byte, error) {
	b, err := MarshalPublic(pub)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: PEMPublic, Bytes: b}), nil
}

// wrapRSA makes a PrivateKeyInfo around an RSAPrivateKey; nil of what is too long.
func wrapRSA(key []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidRSA)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(key)
	})
	out, err := b.Bytes()
	if err != nil {
		return nil
	}
	return out
}

// looksEncrypted says whether DER begins as an EncryptedPrivateKeyInfo.
func looksEncrypted(b []byte) bool {
	var in, algorithm cryptobyte.String
	var id asn1.ObjectIdentifier
	s := cryptobyte.String(b)
	return der.Check(b) == nil && s.ReadASN1(&in, tag.SEQUENCE) && in.ReadASN1(&algorithm, tag.SEQUENCE) &&
		algorithm.ReadASN1ObjectIdentifier(&id) && in.PeekASN1Tag(tag.OCTET_STRING)
}

// looksPKCS12 says whether DER begins as a PFX.
func looksPKCS12(b []byte) bool {
	var in cryptobyte.String
	var version int
	s := cryptobyte.String(b)
	return der.Check(b) == nil && s.ReadASN1(&in, tag.SEQUENCE) && in.ReadASN1Integer(&version) && version == 3 && in.PeekASN1Tag(tag.SEQUENCE)
}
