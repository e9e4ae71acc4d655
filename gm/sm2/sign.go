package sm2

import (
	"crypto"
	"errors"
	"io"

	"github.com/emmansun/gmsm/sm2"
)

// ErrRefused is of a signature that does not fit: it says no more.
var ErrRefused = errors.New("sm2: signature refused")

// Signer signs with one key, fast. It implements crypto.Signer and may be used by any
// number of goroutines.
type Signer struct{ key *PrivateKey }

// NewSigner makes a Signer. The key must not change while it is in use.
func NewSigner(key *PrivateKey) *Signer { return &Signer{key} }

// Public implements crypto.Signer: a *PublicKey.
func (s *Signer) Public() crypto.PublicKey { return &s.key.PublicKey }

// Sign implements crypto.Signer. The digest is of Digest; or, where opts are of
// gmsm's sm2.NewSM2SignerOption, a message.
func (s *Signer) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	return s.key.Sign(random, digest, opts)
}

// SignMessage signs a message under the signer's identity. The signature is the DER of
// SEQUENCE { r, s }.
func (s *Signer) SignMessage(random io.Reader, id, msg []byte) ([]byte, error) {
	return s.key.SignWithSM2(random, id, msg)
}

// Verify checks a signature over a digest.
func Verify(pub *PublicKey, digest, signature []byte) error {
	if !sm2.VerifyASN1(pub, digest, signature) {
		return ErrRefused
	}
	return nil
}

// VerifyMessage checks a signature over a message under the signer's identity.
func VerifyMessage(pub *PublicKey, id, msg, signature []byte) error {
	if !sm2.VerifyASN1WithSM2(pub, id, msg, signature) {
		return ErrRefused
	}
	return nil
}
