package x509

import (
	"crypto"
	"crypto/ecdsa"
	"errors"
	"fmt"
	"io"

	gmsm "github.com/emmansun/gmsm/sm2"
	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/issuers"
	"github.com/anole-os/anole/gm/keys"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/gm/sm2"
)

// Create signs a certificate of a public key and gives its DER. What counts of template
// is told at smx509.CreateCertificate; parent is the signer's certificate, or template
// itself. id is the signer's identity, where that is not "" for the standard one.
// policy.Default is asked about both keys and the hash that is signed.
func Create(random io.Reader, template, parent *Certificate, pub crypto.PublicKey, key keys.Private, id string) ([]byte, error) {
	if err := policy.CheckKey(policy.Issue, pub, ""); err != nil {
		return nil, err
	}
	if err := ready(key, template.SignatureAlgorithm, id); err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	signer := keys.Signer(key)
	b, err := smx509.CreateCertificate(random, template, parent, pub, signer)
	if err != nil {
		return nil, fmt.Errorf("sign certificate: %w", err)
	}
	return identified(random, b, signer, id)
}

// CreateRequest signs a request for a certificate of the key. policy.Default is asked about
// it and the hash that is signed.
func CreateRequest(random io.Reader, template *CertificateRequest, key keys.Private, id string) ([]byte, error) {
	if err := ready(key, template.SignatureAlgorithm, id); err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	signer := keys.Signer(key)
	b, err := smx509.CreateCertificateRequest(random, template, signer)
	if err != nil {
		return nil, fmt.Errorf("sign request: %w", err)
	}
	return identified(random, b, signer, id)
}

// CreateCRL signs a revocation list: with its Number, ThisUpdate, NextUpdate and
// RevokedCertificateEntries set. policy.Default is asked about the key and the hash that is
// signed.
func CreateCRL(random io.Reader, template *RevocationList, issuer *Certificate, key keys.Private, id string) ([]byte, error) {
	if err := ready(key, template.SignatureAlgorithm, id); err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	signer := keys.Signer(key)
	b, err := smx509.CreateRevocationList(random, template, issuer, signer)
	if err != nil {
		return nil, fmt.Errorf("sign revocation list: %w", err)
	}
	return identified(random, b, signer, id)
}

// ready asks policy.Default about a key that signs and about the hash that is signed, and
// selftest.OK.
func ready(key keys.Private, algorithm SignatureAlgorithm, id string) error {
	if err := policy.CheckKey(policy.Sign, key, id); err != nil {
		return err
	}
	if err := policy.Check(policy.Hash, hashOf(algorithm, key.Public()), policy.Params{}); err != nil {
		return err
	}
	return selftest.OK()
}

// hashOf is the hash of a signature: where the template names none, the one that
// smx509.CreateCertificate takes for the key.
func hashOf(algorithm SignatureAlgorithm, pub crypto.PublicKey) policy.Alg {
	if algorithm != 0 {
		return hashes[algorithm]
	}
	alg, _ := policy.Of(pub)
	switch alg {
	case policy.SM2:
		return policy.SM3
	case policy.P384:
		return policy.SHA384
	case policy.P521, policy.Ed25519:
		return policy.SHA512
	}
	return policy.SHA256
}

func isSM2(pub crypto.PublicKey) bool {
	k, ok := pub.(*ecdsa.PublicKey)
	return ok && sm2.IsPublicKey(k)
}

// standard says whether id is the identity of a signer who has no other.
func standard(id string) bool { return id == "" || id == sm2.DefaultID }

// identified signs once more, under another identity: smx509 knows the standard one
// alone. Certificates, requests and lists have one form: what is signed, how, and the
// signature.
func identified(random io.Reader, b []byte, signer crypto.Signer, id string) ([]byte, error) {
	if standard(id) || !isSM2(signer.Public()) {
		return b, nil
	}
	var in, signed, algorithm cryptobyte.String
	s := cryptobyte.String(b)
	if !s.ReadASN1(&in, tag.SEQUENCE) || !in.ReadASN1Element(&signed, tag.SEQUENCE) || !in.ReadASN1Element(&algorithm, tag.SEQUENCE) {
		return nil, errors.New("sign under another identity: the form is not known")
	}
	signature, err := signer.Sign(random, signed, gmsm.NewSM2SignerOption(true, []byte(id)))
	if err != nil {
		return nil, fmt.Errorf("sign under another identity: %w", err)
	}
	var out cryptobyte.Builder
	out.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(signed)
		b.AddBytes(algorithm)
		b.AddASN1BitString(signature)
	})
	return out.Bytes()
}

// ErrSignature is of a signature that does not fit.
var ErrSignature = errors.New("the signature is wrong")

// CheckRequest checks that a request was signed with the key that it asks a certificate
// for.
func CheckRequest(r *CertificateRequest, id string) error {
	return check(r.PublicKey, r.SignatureAlgorithm, r.RawTBSCertificateRequest, r.Signature, id)
}

// CheckCertificate checks that a certificate was signed with the key of another.
func CheckCertificate(c, issuer *Certificate, id string) error {
	return check(issuer.PublicKey, c.SignatureAlgorithm, c.RawTBSCertificate, c.Signature, id)
}

// check checks a signature; SM2's keys sign with SM3 only, and others' never so.
func check(pub crypto.PublicKey, algorithm SignatureAlgorithm, signed, signature []byte, id string) error {
	if isSM2(pub) != (algorithm == SM2WithSM3) {
		return ErrSignature
	}
	if isSM2(pub) {
		if standard(id) {
			id = sm2.DefaultID
		}
		if issuers.VerifyMessage(pub.(*ecdsa.PublicKey), []byte(id), signed, signature) != nil {
			return ErrSignature
		}
		return nil
	}
	if (&Certificate{PublicKey: pub}).CheckSignature(algorithm, signed, signature) != nil {
		return ErrSignature
	}
	return nil
}
