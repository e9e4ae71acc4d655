package authenticode

import (
	"bytes"
	"crypto"
	encoding "encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/cms"
	"github.com/anole-os/anole/gm/policy"
)

// Of Microsoft's specification.
var (
	oidIndirectData = encoding.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 4}
	oidPEImageData  = encoding.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 2, 1, 15}
)

// SignOptions say how to sign. Certificate and Key are needed.
type SignOptions struct {
	Certificate *cms.Certificate
	Key         crypto.Signer      // of sm2.NewSigner, or of RSA or ECDSA
	Hash        cms.Hash           // zero: SM3 with SM2, SHA-256 with RSA
	Chain       []*cms.Certificate // to carry beside Certificate
	Time        time.Time          // of signing; zero is now
	Replace     bool               // take signatures that are there off
}

var errHash = errors.New("hash image: take SM3, SHA-256, SHA-384 or SHA-512")

func known(h cms.Hash) bool { return h >= cms.SM3 && h <= cms.SHA512 }

// Hash is what a signature of an image covers, if policy.Default lets the hash be used.
func Hash(file []byte, h cms.Hash) ([]byte, error) {
	if !known(h) {
		return nil, errHash
	}
	if err := policy.Check(policy.Hash, policy.Alg(strings.ToLower(h.String())), policy.Params{}); err != nil {
		return nil, err
	}
	i, err := parse(file)
	if err != nil {
		return nil, err
	}
	return i.hash(h), nil
}

// Sign adds a signature to an image and gives the file to be.
func Sign(file []byte, o SignOptions) ([]byte, error) {
	i, err := parse(file)
	if err != nil {
		return nil, err
	}
	if i.directory == 0 {
		return nil, ErrNoRoom
	}
	if o.Replace {
		i.entries = nil
	}
	if len(i.entries) == maxEntries {
		return nil, fmt.Errorf("sign image: it has %d signatures already", maxEntries)
	}
	message, err := i.sign(o)
	if err != nil {
		return nil, fmt.Errorf("sign image: %w", err)
	}
	i.entries = append(i.entries, entry{winCertPKCS, message})
	return i.bytes(), nil
}

func (i *image) sign(o SignOptions) ([]byte, error) {
	h := o.Hash
	if h == 0 && o.Certificate != nil {
		h = cms.DefaultHash(o.Certificate.PublicKey)
	}
	content, err := indirect(h, i.hash)
	if err != nil {
		return nil, err
	}
	return cms.Sign(bytes.NewReader(content), cms.SignOptions{
		Signers: []cms.Signer{{Certificate: o.Certificate, Key: o.Key, Hash: h}}, Chain: o.Chain,
		ContentType: oidIndirectData, Element: true, Time: o.Time,
	})
}

// indirect makes a SpcIndirectDataContent.
func indirect(h cms.Hash, sum func(cms.Hash) []byte) ([]byte, error) {
	if !known(h) {
		return nil, errHash
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidPEImageData)
			b.AddASN1(asn1.SEQUENCE, addImageData)
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(h.OID())
				b.AddASN1NULL()
			})
			b.AddASN1OctetString(sum(h))
		})
	})
	return b.Bytes()
}

// addImageData adds a SpcPeImageData as all have it: no flags, and a file that is called
// <<<Obsolete>>> in UTF-16.
func addImageData(b *cryptobyte.Builder) {
	b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) { b.AddUint8(0) })
	explicit := func(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }
	b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) {
				for _, c := range "<<<Obsolete>>>" {
					b.AddUint16(uint16(c))
				}
			})
		})
	})
}

// Remove takes one signature off an image, the first being 0, or with -1 all. The file
// to be may be some bytes longer than the one that was signed: to a multiple of 8.
func Remove(file []byte, n int) ([]byte, error) {
	i, err := parse(file)
	if err != nil {
		return nil, err
	}
	switch {
	case len(i.entries) == 0:
		return nil, ErrUnsigned
	case n >= len(i.entries) || n < -1:
		return nil, fmt.Errorf("remove signature: there is no number %d: the image has %d", n, len(i.entries))
	case n == -1:
		i.entries = nil
	default:
		i.entries = append(i.entries[:n:n], i.entries[n+1:]...)
	}
	return i.bytes(), nil
}
