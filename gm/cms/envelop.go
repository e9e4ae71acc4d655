package cms

import (
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/rsa"
	"errors"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/sm2"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/gm/x509"
)

// EnvelopOptions say for whom to encrypt.
type EnvelopOptions struct {
	Recipients []*Certificate // with keys of SM2 or RSA that may encrypt keys
	GMT        bool           // identifiers of GM/T 0010; all recipients have SM2
	Time       time.Time      // when the certificates must be valid; zero is now
	AnyTime    bool           // when they are valid is not asked
}

// Envelop encrypts a content with SM4-CBC, so that each of the recipients opens it. The
// error wraps ErrUsage or an *x509.Problem where a certificate is not for that, or not now;
// whether who issued it is trusted is up to the caller.
// Nothing in such a message tells that it was not changed, or who made it.
func Envelop(content []byte, o EnvelopOptions) ([]byte, error) {
	e, err := o.seal(content)
	if err != nil {
		return nil, err
	}
	f := familyOf(o.GMT)
	var b cryptobyte.Builder
	wrap(&b, f.enveloped, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(e.version)
		addSet(b, asn1.SET, e.recipients)
		e.add(b, f)
	})
	return finish(&b)
}

// SignAndEnvelop makes a message that is both, with contents that only recipients read and
// whose signatures only they can check (GM/T 0010, clause 10; PKCS #7, clause 11). It has
// no attributes. New designs do better to envelop a signed message.
func SignAndEnvelop(content []byte, s SignOptions, o EnvelopOptions) ([]byte, error) {
	s.NoAttributes, s.GMT, s.ContentType, s.Element = true, o.GMT, nil, false
	if err := s.check(); err != nil {
		return nil, err
	}
	sums, err := s.hashBytes(content)
	if err != nil {
		return nil, err
	}
	infos := make([][]byte, len(s.Signers))
	for i, v := range s.Signers {
		if infos[i], err = s.signer(v, sums[i]); err != nil {
			return nil, err
		}
	}
	e, err := o.seal(content)
	if err != nil {
		return nil, err
	}
	f := familyOf(o.GMT)
	var b cryptobyte.Builder
	wrap(&b, f.both, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		addSet(b, asn1.SET, e.recipients)
		s.addDigests(b)
		e.add(b, f)
		s.addCertificates(b)
		addSet(b, asn1.SET, infos)
	})
	return finish(&b)
}

// envelope is a content that was encrypted.
type envelope struct {
	version    int64
	recipients [][]byte
	iv, sealed []byte
}

func (o *EnvelopOptions) seal(content []byte) (*envelope, error) {
	if len(o.Recipients) == 0 {
		return nil, errors.New("envelop message: no recipients are given")
	}
	if len(o.Recipients) > maxRecipients {
		return nil, fmt.Errorf("envelop message: %d recipients are more than %d", len(o.Recipients), maxRecipients)
	}
	if err := policy.Check(policy.Encrypt, policy.SM4, policy.Params{Mode: "cbc"}); err != nil {
		return nil, err
	}
	e := &envelope{iv: make([]byte, sm4.BlockSize)}
	if o.GMT {
		e.version = 1
	}
	key := make([]byte, sm4.KeySize)
	defer clear(key)
	for _, b := range [][]byte{key, e.iv} {
		if _, err := rng.Read(b); err != nil {
			return nil, fmt.Errorf("envelop message: %w", err)
		}
	}
	for _, c := range o.Recipients {
		r, err := o.recipient(c, key, e.version)
		if err != nil {
			return nil, fmt.Errorf("envelop message for %s: %w", nameOf(c), err)
		}
		e.recipients = append(e.recipients, r)
	}
	block, err := sm4.NewCipher(key)
	if err != nil {
		return nil, err
	}
	pad := sm4.BlockSize - len(content)%sm4.BlockSize // RFC 5652, clause 6.3
	e.sealed = make([]byte, len(content)+pad)
	copy(e.sealed, content)
	for i := len(content); i < len(e.sealed); i++ {
		e.sealed[i] = byte(pad)
	}
	cipher.NewCBCEncrypter(block, e.iv).CryptBlocks(e.sealed, e.sealed)
	return e, nil
}

// recipient makes a KeyTransRecipientInfo: RFC 5652, clause 6.2.1.
func (o *EnvelopOptions) recipient(c *Certificate, key []byte, version int64) ([]byte, error) {
	if c == nil {
		return nil, errors.New("a certificate is needed")
	}
	if c.KeyUsage != 0 && c.KeyUsage&x509.ForEncryption == 0 {
		return nil, ErrUsage
	}
	if !o.AnyTime {
		when := o.Time
		if when.IsZero() {
			when = time.Now()
		}
		if err := x509.CheckTime(c, when, x509.Encryption); err != nil {
			return nil, err
		}
	}
	if err := policy.CheckKey(policy.Encrypt, c.PublicKey, ""); err != nil {
		return nil, err
	}
	var sealed []byte
	var err error
	alg := oidSM2Encrypt
	switch kind := kindOf(c.PublicKey); {
	case kind == kindSM2:
		sealed, err = sm2.Encrypt(rng.Reader, c.PublicKey.(*ecdsa.PublicKey), key, sm2.ASN1)
	case kind == kindRSA && !o.GMT:
		alg = oidRSA
		//nolint:staticcheck // RSAES-PKCS1-v1_5 is what RFC 3370 has every reader know.
		sealed, err = rsa.EncryptPKCS1v15(rng.Reader, c.PublicKey.(*rsa.PublicKey), key)
	case o.GMT:
		return nil, errors.New("GM/T 0010 has SM2 alone: leave GMT out")
	default:
		return nil, errors.New("keys of its kind are not supported: take SM2 or RSA")
	}
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(version)
		addIdentity(b, c)
		addAlgorithm(b, alg, true)
		b.AddASN1OctetString(sealed)
	})
	return finish(&b)
}

// add adds an EncryptedContentInfo: RFC 5652, clause 6.1.
func (e *envelope) add(b *cryptobyte.Builder, f family) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(f.data)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidSM4CBC)
			b.AddASN1OctetString(e.iv)
		})
		b.AddASN1(tag0p, func(b *cryptobyte.Builder) { b.AddBytes(e.sealed) })
	})
}
