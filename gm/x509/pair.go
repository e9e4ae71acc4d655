package x509

import (
	"bytes"
	"errors"

	"github.com/anole-os/anole/gm/keys"
)

// What can be wrong with a pair as such.
var (
	ErrSwapped  = errors.New("the signing and the encryption certificate are swapped")
	ErrSubjects = errors.New("the signing and the encryption certificate are not of one subject")
	ErrIssuers  = errors.New("the signing and the encryption certificate are not from one issuer")
	ErrOneKey   = errors.New("the signing and the encryption certificate have one key")
	ErrPairKind = errors.New("the signing or the encryption certificate is not of SM2")
	ErrSignKey  = errors.New("the key is not that of the signing certificate")
	ErrEncKey   = errors.New("the key is not that of the encryption certificate")
)

// SignEncPair is the two certificates that GB/T 38636 and GM/T 0015 give to one subject:
// one's key signs, the other's, which the CA made and may keep, decrypts.
type SignEncPair struct {
	Sign, Enc *Certificate
}

// NewSignEncPair makes a pair of two certificates of SM2 that belong together: their
// usages are right, their subject and issuer are one, their keys are two.
func NewSignEncPair(sign, enc *Certificate) (*SignEncPair, error) {
	for _, c := range []*Certificate{sign, enc} {
		if !isSM2(c.PublicKey) {
			return nil, ErrPairKind
		}
	}
	switch {
	case !signs(sign) && signs(enc) && encrypts(sign) && !encrypts(enc):
		return nil, ErrSwapped
	case !signs(sign):
		return nil, &Problem{Signing, ErrUsage}
	case !encrypts(enc):
		return nil, &Problem{Encryption, ErrUsage}
	case !bytes.Equal(sign.RawSubject, enc.RawSubject):
		return nil, ErrSubjects
	case !bytes.Equal(sign.RawIssuer, enc.RawIssuer):
		return nil, ErrIssuers
	case bytes.Equal(sign.RawSubjectPublicKeyInfo, enc.RawSubjectPublicKeyInfo):
		return nil, ErrOneKey
	}
	return &SignEncPair{sign, enc}, nil
}

func signs(c *Certificate) bool    { return c.KeyUsage&ForSigning != 0 }
func encrypts(c *Certificate) bool { return c.KeyUsage&ForEncryption != 0 }

// Verify checks both certificates; o.KeyUsage is not looked at. The error is a *Problem
// that tells which one is wrong.
func (p *SignEncPair) Verify(o Options) error {
	o.KeyUsage = ForSigning
	if _, err := verify(p.Sign, &o, Signing); err != nil {
		return err
	}
	o.KeyUsage = ForEncryption
	_, err := verify(p.Enc, &o, Encryption)
	return err
}

// Fits checks that two keys are those of the certificates.
func (p *SignEncPair) Fits(sign, enc keys.Private) error {
	if !keys.Equal(p.Sign.PublicKey, sign.Public()) {
		return ErrSignKey
	}
	if !keys.Equal(p.Enc.PublicKey, enc.Public()) {
		return ErrEncKey
	}
	return nil
}
