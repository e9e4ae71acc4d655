package cms

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"

	"golang.org/x/crypto/cryptobyte"
	basn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/internal/rawsign"
	"github.com/anole-os/anole/gm/policy"
)

// Signer is who signs.
type Signer struct {
	Certificate *Certificate
	Key         crypto.Signer // of sm2.NewSigner, or of RSA or ECDSA
	Hash        Hash          // zero is the one that goes with the key
}

// SignOptions say how to sign. Signers are needed; all else may be left out.
type SignOptions struct {
	Signers        []Signer
	Chain          []*Certificate        // to carry beside the signers' own
	Detached       bool                  // the content is left out
	NoAttributes   bool                  // sign the content itself, not attributes that have its hash
	NoCertificates bool                  // carry none
	Plain          bool                  // SM2 and NoAttributes: leave the signer's identity out, as OpenSSL and Linux do
	GMT            bool                  // identifiers of GM/T 0010; all signers have SM2
	ID             string                // the signers' identity with SM2; "" is sm2.DefaultID
	Time           time.Time             // of signing, an attribute; zero is now
	ContentType    asn1.ObjectIdentifier // nil is data
	// Element: the content is an element of DER of ContentType. It goes into the
	// message as it is, and what is signed are its contents (PKCS #7, clause 9.3).
	Element bool
}

// Sign makes a signed message, if policy.Default lets all of its signers. A content that is
// detached is read as a stream. With Plain, one that begins with Z of a signer's own key
// is refused: its signature would be of what follows, as of a message with the identity.
func Sign(content io.Reader, o SignOptions) ([]byte, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	sums, all, err := o.hash(content)
	if err != nil {
		return nil, err
	}
	infos := make([][]byte, len(o.Signers))
	for i, s := range o.Signers {
		if infos[i], err = o.signer(s, sums[i]); err != nil {
			return nil, err
		}
	}
	var b cryptobyte.Builder
	f := familyOf(o.GMT)
	wrap(&b, f.signed, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(o.version())
		o.addDigests(b)
		b.AddASN1(basn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(o.contentType())
			switch {
			case o.Detached:
			case o.Element:
				b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(all) })
			default:
				b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1OctetString(all) })
			}
		})
		o.addCertificates(b)
		addSet(b, basn1.SET, infos)
	})
	return finish(&b)
}

// Errors about how to sign.
var (
	errNoSigners = errors.New("sign message: no signers are given")
	errPlain     = errors.New("sign message: only a message without attributes can leave the signer's identity out")
	errAttrs     = errors.New("sign message: a content that is not data takes attributes")
	errElement   = errors.New("sign message: the content is not an element of DER")
)

func (o *SignOptions) contentType() oid {
	if o.ContentType != nil {
		return o.ContentType
	}
	return familyOf(o.GMT).data
}

// version is 1 but for contents that PKCS #7 has not: RFC 5652, clause 5.1.
func (o *SignOptions) version() int64 {
	if o.Element || o.contentType().Equal(familyOf(o.GMT).data) {
		return 1
	}
	return 3
}

func (o *SignOptions) check() error {
	switch {
	case len(o.Signers) == 0:
		return errNoSigners
	case len(o.Signers) > maxSigners:
		return fmt.Errorf("sign message: %d signers are more than %d", len(o.Signers), maxSigners)
	case o.Plain && !o.NoAttributes:
		return errPlain
	case o.NoAttributes && !o.contentType().Equal(familyOf(o.GMT).data):
		return errAttrs
	}
	for i := range o.Signers {
		s := &o.Signers[i]
		err := s.check(o.GMT)
		if err == nil {
			err = permitted(policy.Sign, s.Certificate.PublicKey, s.hash(), o.ID)
		}
		if err != nil {
			return fmt.Errorf("sign message as %s: %w", nameOf(s.Certificate), err)
		}
	}
	return nil
}

func nameOf(c *Certificate) string {
	if c == nil {
		return "somebody without a certificate"
	}
	return c.Subject.String()
}

func (s *Signer) check(isGMT bool) error {
	if s.Certificate == nil || s.Key == nil {
		return errors.New("a certificate and its key are needed")
	}
	pub := s.Certificate.PublicKey
	kind := kindOf(pub)
	h := s.hash()
	same, ok := pub.(interface{ Equal(crypto.PublicKey) bool })
	switch {
	case kind == 0:
		return errors.New("keys of its kind are not supported: take SM2, RSA or ECDSA")
	case !ok || !same.Equal(s.Key.Public()):
		return errors.New("the key is not the certificate's")
	case isGMT && kind != kindSM2:
		return errors.New("GM/T 0010 has SM2 alone: leave GMT out")
	case (kind == kindSM2) != (h == SM3) || h > SHA512:
		return fmt.Errorf("%s does not go with %s", kindNames[kind], h)
	case !signs(s.Certificate):
		return ErrUsage
	}
	return nil
}

func (s *Signer) hash() Hash {
	if s.Hash != 0 {
		return s.Hash
	}
	return DefaultHash(s.Certificate.PublicKey)
}

// hash reads the content: what each signer signs or has in its attributes, and the whole
// where it goes into the message.
func (o *SignOptions) hash(content io.Reader) (sums [][]byte, all []byte, err error) {
	h := &contentHash{}
	by := make([]hash.Hash, len(o.Signers))
	for i := range o.Signers {
		s := &o.Signers[i]
		if by[i] = h.with(s.hash()); o.NoAttributes && !o.Plain && s.hash() == SM3 {
			by[i] = h.withZ(s.Certificate.PublicKey, o.ID)
		}
	}
	if o.Detached && !o.Element {
		_, err = io.Copy(h, content)
	} else if all, err = io.ReadAll(content); err == nil {
		signed := all
		if o.Element {
			var tag basn1.Tag
			in, body := cryptobyte.String(all), cryptobyte.String(nil)
			if !in.ReadAnyASN1(&body, &tag) || !in.Empty() {
				return nil, nil, errElement
			}
			signed = body
		}
		_, _ = h.Write(signed)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read content: %w", err)
	}
	for i := 0; o.Plain && i < len(o.Signers); i++ {
		if err := rawsign.Check(o.Signers[i].Certificate.PublicKey, h.start, o.ID); err != nil {
			return nil, nil, fmt.Errorf("sign message as %s: %w", nameOf(o.Signers[i].Certificate), err)
		}
	}
	for _, s := range by {
		sums = append(sums, s.Sum(nil))
	}
	return sums, all, nil
}

// hashBytes is hash of a content that is in memory.
func (o *SignOptions) hashBytes(content []byte) ([][]byte, error) {
	d := *o
	d.Detached = true
	sums, _, err := d.hash(bytes.NewReader(content))
	return sums, err
}
