package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/der"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/sm2"
)

// taken passes on a key that was read, if policy.Default lets it be taken in. Each exported
// function that reads a private key ends with it.
func taken(key Private, err error) (Private, error) {
	if err != nil {
		return nil, err
	}
	if err := policy.CheckKey(policy.Import, key, ""); err != nil {
		return nil, err
	}
	return key, nil
}

// ParsePKCS8 reads the DER of a PrivateKeyInfo or OneAsymmetricKey (RFC 5958). Whether the
// key may be taken in, policy.Default is asked.
func ParsePKCS8(b []byte) (Private, error) {
	if err := ready("read key"); err != nil {
		return nil, err
	}
	return taken(parsePKCS8(b))
}

func parsePKCS8(b []byte) (Private, error) {
	info, err := parseInfo(b)
	if err != nil {
		return nil, err
	}
	if info.algorithm.Equal(oidSM2) || info.algorithm.Equal(oidECPublicKey) && info.curve.Equal(oidSM2) {
		return parseSM2(info.key, info.public, true)
	}
	if info.algorithm.Equal(oidECPublicKey) {
		// crypto/x509 does not look at the public part.
		ec, err := parseSEC1(info.key)
		if err != nil {
			return nil, err
		}
		if len(info.public) > 0 && len(ec.public) == 0 {
			ec.public = info.public
		}
		return fitting(b, ec.public)
	}
	if info.algorithm.Equal(oidRSA) && der.Check(info.key) != nil {
		return nil, ErrMalformed
	}
	return fitting(b, info.public)
}

var oidRSA = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}

// fitting reads a key that is not of SM2, and holds it to its public part if there is one.
func fitting(b, public []byte) (Private, error) {
	k, err := x509.ParsePKCS8PrivateKey(b)
	if err != nil {
		return nil, ErrInvalid
	}
	switch k := k.(type) {
	case *rsa.PrivateKey:
		return k, nil
	case *ecdsa.PrivateKey:
		if p, err := k.PublicKey.Bytes(); err != nil || len(public) > 0 && !bytes.Equal(p, public) {
			return nil, ErrInvalid
		}
		return k, nil
	case ed25519.PrivateKey:
		if len(public) > 0 && !bytes.Equal(k.Public().(ed25519.PublicKey), public) {
			return nil, ErrInvalid
		}
		return k, nil
	}
	return nil, ErrUnsupported
}

// info is a PrivateKeyInfo.
type info struct {
	algorithm, curve asn1.ObjectIdentifier // curve: where the parameter is an identifier
	key, public      []byte
}

func parseInfo(b []byte) (i info, err error) {
	if der.Check(b) != nil {
		return i, ErrMalformed
	}
	var in, algorithm, key cryptobyte.String
	var version int
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Integer(&version) || version < 0 || version > 1 ||
		!in.ReadASN1(&algorithm, tag.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&i.algorithm) ||
		!in.ReadASN1(&key, tag.OCTET_STRING) {
		return i, ErrMalformed
	}
	if algorithm.PeekASN1Tag(tag.OBJECT_IDENTIFIER) && (!algorithm.ReadASN1ObjectIdentifier(&i.curve) || !algorithm.Empty()) {
		return i, ErrMalformed
	}
	if !in.SkipOptionalASN1(tag.Tag(0).ContextSpecific().Constructed()) { // attributes
		return i, ErrMalformed
	}
	var public cryptobyte.String
	var has bool
	if !in.ReadOptionalASN1(&public, &has, tag.Tag(1).ContextSpecific()) || !in.Empty() || has && (version == 0 || len(public) < 2 || public[0] != 0) {
		return i, ErrMalformed
	}
	if has {
		i.public = public[1:]
	}
	i.key = key
	return i, nil
}

// ParseSEC1 reads the DER of an ECPrivateKey (RFC 5915). Whether the key may be taken in,
// policy.Default is asked.
func ParseSEC1(b []byte) (Private, error) {
	if err := ready("read key"); err != nil {
		return nil, err
	}
	return taken(readSEC1(b))
}

func readSEC1(b []byte) (Private, error) {
	ec, err := parseSEC1(b)
	if err != nil {
		return nil, err
	}
	if ec.curve.Equal(oidSM2) {
		return parseSM2(b, nil, false)
	}
	k, err := x509.ParseECPrivateKey(b)
	if err != nil {
		return nil, ErrInvalid
	}
	if p, err := k.PublicKey.Bytes(); err != nil || len(ec.public) > 0 && !bytes.Equal(p, ec.public) {
		return nil, ErrInvalid
	}
	return k, nil
}

// ecKey is an ECPrivateKey.
type ecKey struct {
	scalar, public []byte
	curve          asn1.ObjectIdentifier // nil where it is left out
}

func parseSEC1(b []byte) (k ecKey, err error) {
	if der.Check(b) != nil {
		return k, ErrMalformed
	}
	var in, scalar, params, public cryptobyte.String
	var version int
	var curve, point bool
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Integer(&version) || version != 1 || !in.ReadASN1(&scalar, tag.OCTET_STRING) ||
		!in.ReadOptionalASN1(&params, &curve, tag.Tag(0).ContextSpecific().Constructed()) ||
		!in.ReadOptionalASN1(&public, &point, tag.Tag(1).ContextSpecific().Constructed()) || !in.Empty() {
		return k, ErrMalformed
	}
	if curve && (!params.ReadASN1ObjectIdentifier(&k.curve) || !params.Empty()) {
		return k, ErrMalformed // a curve by its parameters, maybe
	}
	if point && (!public.ReadASN1BitStringAsBytes(&k.public) || !public.Empty()) {
		return k, ErrMalformed
	}
	k.scalar = scalar
	return k, nil
}

// parseSM2 reads a key of SM2, its curve being known from outside if inner, and holds it
// to its public parts.
func parseSM2(b, public []byte, inner bool) (*sm2.PrivateKey, error) {
	ec, err := parseSEC1(b)
	if err != nil {
		return nil, err
	}
	if ec.curve != nil && !ec.curve.Equal(oidSM2) || ec.curve == nil && !inner {
		return nil, ErrInvalid
	}
	if len(ec.scalar) != 32 {
		return nil, ErrInvalid
	}
	k, err := sm2.NewPrivateKey(ec.scalar)
	if err != nil {
		return nil, ErrInvalid
	}
	for _, p := range [][]byte{ec.public, public} {
		if len(p) == 0 {
			continue
		}
		if pub, err := point(p); err != nil || !k.PublicKey.Equal(pub) {
			return nil, ErrInvalid
		}
	}
	return k, nil
}

// point reads a point of SM2's curve, compressed or not.
func point(b []byte) (*sm2.PublicKey, error) {
	switch {
	case len(b) == 65 && b[0] == 4:
		if pub, err := sm2.NewPublicKey(b); err == nil {
			return pub, nil
		}
	case len(b) == 33 && b[0]&^1 == 2:
		if x, y := elliptic.UnmarshalCompressed(sm2.Curve(), b); x != nil {
			return &sm2.PublicKey{Curve: sm2.Curve(), X: x, Y: y}, nil
		}
	}
	return nil, ErrInvalid
}
