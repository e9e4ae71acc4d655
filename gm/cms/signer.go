package cms

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/crypto/cryptobyte"
	basn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/anole-os/anole/gm/rng"
)

// signer makes a SignerInfo: RFC 5652, clause 5.3.
func (o *SignOptions) signer(s Signer, sum []byte) ([]byte, error) {
	var attrs []byte
	if !o.NoAttributes {
		var err error
		if attrs, err = o.attributes(sum); err != nil {
			return nil, err
		}
		h := &contentHash{}
		covered := h.with(s.hash())
		if s.hash() == SM3 {
			covered = h.withZ(s.Certificate.PublicKey, o.ID)
		}
		_, _ = h.Write(attrs)
		sum = covered.Sum(nil)
	}
	signature, err := s.Key.Sign(rng.Reader, sum, hashes[s.hash()].std)
	if err != nil {
		return nil, fmt.Errorf("sign message as %s: %w", nameOf(s.Certificate), err)
	}
	var b cryptobyte.Builder
	b.AddASN1(basn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		addIdentity(b, s.Certificate)
		addHash(b, s.hash())
		if attrs != nil {
			b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddBytes(contents(attrs)) })
		}
		o.addScheme(b, &s)
		b.AddASN1OctetString(signature)
	})
	return finish(&b)
}

// addScheme names the signature's algorithm.
func (o *SignOptions) addScheme(b *cryptobyte.Builder, s *Signer) {
	switch kind := kindOf(s.Certificate.PublicKey); {
	case kind == kindRSA:
		addAlgorithm(b, oidRSA, true)
	case kind == kindSM2 && o.GMT:
		addAlgorithm(b, oidSM2Sign, true)
	case kind == kindSM2:
		addAlgorithm(b, oidSM2WithSM3, false)
	default:
		for _, v := range schemes {
			if v.kind == kind && v.hash == s.hash() {
				addAlgorithm(b, v.oid, false)
			}
		}
	}
}

// attributes makes those that are signed: the DER of a SET.
func (o *SignOptions) attributes(sum []byte) ([]byte, error) {
	when := o.Time
	if when.IsZero() {
		when = time.Now()
	}
	when = when.UTC().Truncate(time.Second)
	values := []struct {
		id  oid
		add func(*cryptobyte.Builder)
	}{
		{oidContentType, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(o.contentType()) }},
		{oidSigningTime, func(b *cryptobyte.Builder) { addTime(b, when) }},
		{oidMessageDigest, func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum) }},
	}
	var all [][]byte
	for _, v := range values {
		var b cryptobyte.Builder
		b.AddASN1(basn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(v.id)
			b.AddASN1(basn1.SET, v.add)
		})
		one, err := finish(&b)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	var b cryptobyte.Builder
	addSet(&b, basn1.SET, all)
	return finish(&b)
}

func (o *SignOptions) addDigests(b *cryptobyte.Builder) {
	var all [][]byte
	for i := range o.Signers {
		var d cryptobyte.Builder
		addHash(&d, o.Signers[i].hash())
		one := d.BytesOrPanic()
		if !containsBytes(all, one) {
			all = append(all, one)
		}
	}
	addSet(b, basn1.SET, all)
}

func (o *SignOptions) addCertificates(b *cryptobyte.Builder) {
	if o.NoCertificates {
		return
	}
	var all [][]byte
	for i := range o.Signers {
		all = append(all, o.Signers[i].Certificate.Raw)
	}
	for _, c := range o.Chain {
		all = append(all, c.Raw)
	}
	var once [][]byte
	for _, c := range all {
		if !containsBytes(once, c) {
			once = append(once, c)
		}
	}
	addSet(b, tag0, once)
}

func containsBytes(list [][]byte, b []byte) bool {
	for _, v := range list {
		if bytes.Equal(v, b) {
			return true
		}
	}
	return false
}
