package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"

	"github.com/emmansun/gmsm/smx509"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
)

// Private is a private key: a *sm2.PrivateKey, *ecdsa.PrivateKey, *rsa.PrivateKey or
// ed25519.PrivateKey.
type Private = crypto.Signer

// What foreign bytes are refused with.
var (
	ErrMalformed   = errors.New("keys: not a key in a form that is read here")
	ErrInvalid     = errors.New("keys: the key is not valid: a point or a number is out of range, or its halves do not fit")
	ErrPassword    = errors.New("keys: the password is wrong or the file is damaged")
	ErrNeeded      = errors.New("keys: the key is under a password")
	ErrUnsupported = errors.New("keys: an algorithm that is not supported here")
	ErrWork        = errors.New("keys: the file asks for more iterations than are allowed")
)

// MaxSize is how many bytes a file of keys and certificates may have.
const MaxSize = 1 << 20

// ready says whether a key may be made, taken in or put under a password at all: not in
// the error state (selftest.OK).
func ready(verb string) error {
	if err := selftest.OK(); err != nil {
		return fmt.Errorf("%s: %w", verb, err)
	}
	return nil
}

// Generate makes a key of SM2, if policy.Default and selftest.OK let it. All keys of SM2 that the room
// makes come from here, with random being rng.Reader, and each is checked by what it makes
// (selftest.Pairwise): one that fails is not given.
func Generate(random io.Reader) (*sm2.PrivateKey, error) {
	if err := policy.Check(policy.Generate, policy.SM2, policy.Params{}); err != nil {
		return nil, err
	}
	if err := ready("make key"); err != nil {
		return nil, err
	}
	k, err := sm2.GenerateKey(random)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	if err := selftest.Pairwise(k); err != nil {
		return nil, err
	}
	return k, nil
}

// MaxRSA and MinRSA bound the modulus of a key that New makes, in bits.
const (
	MinRSA = 2048
	MaxRSA = 16384
)

// New makes a key: of policy.SM2, RSA with a modulus of so many bits, P256, P384, P521 or
// Ed25519, if policy.Default and selftest.OK let it. Bits count for RSA alone. An algorithm that has no
// keys here is ErrUnsupported. Go makes RSA and ECDSA keys of its own random bytes,
// whatever random is: of them random is asked whether it is in order, and no more.
func New(random io.Reader, alg policy.Alg, bits int) (Private, error) {
	if alg == policy.SM2 {
		k, err := Generate(random)
		if err != nil { // a nil *sm2.PrivateKey would be a Private that is not nil
			return nil, err
		}
		return k, nil
	}
	if err := policy.Check(policy.Generate, alg, policy.Params{KeyBits: bits}); err != nil {
		return nil, err
	}
	if err := ready("make key"); err != nil {
		return nil, err
	}
	var fresh [32]byte
	if _, err := io.ReadFull(random, fresh[:]); err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	var k Private
	var err error
	curves := map[policy.Alg]elliptic.Curve{policy.P256: elliptic.P256(), policy.P384: elliptic.P384(), policy.P521: elliptic.P521()}
	switch curve := curves[alg]; {
	case curve != nil:
		k, err = ecdsa.GenerateKey(curve, random)
	case alg == policy.Ed25519:
		_, k, err = ed25519.GenerateKey(random)
	case alg == policy.RSA && (bits < MinRSA || bits > MaxRSA):
		return nil, fmt.Errorf("make key: RSA with %d bits: take %d to %d", bits, MinRSA, MaxRSA)
	case alg == policy.RSA:
		k, err = rsa.GenerateKey(random, bits)
	default:
		return nil, ErrUnsupported
	}
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	return k, nil
}

// Signer is what signs fastest with a key.
func Signer(key Private) crypto.Signer {
	if k, ok := key.(*sm2.PrivateKey); ok {
		return sm2.NewSigner(k)
	}
	return key
}

// Algorithm names a key's, private or public: "SM2", "RSA-2048", "P-256", "Ed25519"; ""
// of anything else.
func Algorithm(key any) string {
	if k, ok := key.(crypto.Signer); ok {
		key = k.Public()
	}
	switch k := key.(type) {
	case *ecdsa.PublicKey:
		if sm2.IsPublicKey(k) {
			return "SM2"
		}
		return k.Curve.Params().Name
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA-%d", k.N.BitLen())
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}

// MarshalPKCS8 gives the DER of a key's PrivateKeyInfo.
func MarshalPKCS8(key Private) ([]byte, error) {
	b, err := smx509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("write key as PKCS#8: %w", err)
	}
	return b, nil
}

// MarshalSEC1 gives the DER of a key's ECPrivateKey: a *sm2.PrivateKey or an
// *ecdsa.PrivateKey.
func MarshalSEC1(key Private) ([]byte, error) {
	var b []byte
	var err error
	switch k := key.(type) {
	case *sm2.PrivateKey:
		b, err = smx509.MarshalSM2PrivateKey(k)
	case *ecdsa.PrivateKey:
		b, err = smx509.MarshalECPrivateKey(k)
	default:
		err = ErrUnsupported
	}
	if err != nil {
		return nil, fmt.Errorf("write key as SEC1: %w", err)
	}
	return b, nil
}

// MarshalPublic gives the DER of a public key's SubjectPublicKeyInfo.
func MarshalPublic(pub crypto.PublicKey) ([]byte, error) {
	b, err := smx509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("write public key: %w", err)
	}
	return b, nil
}

// Equal says whether two public keys are the same.
func Equal(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
