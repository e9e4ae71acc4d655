package cms

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// attribute is the DER of one, with values that are DER.
func attribute(id oid, values ...[]byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(values...)) })
	})
	return b.BytesOrPanic()
}

func TestAttributes(t *testing.T) {
	data := []byte("\x06\x09*\x86H\x86\xf7\r\x01\x07\x01")
	digest, when := []byte("\x04\x02hi"), []byte("\x17\x0d260102030405Z")
	kind, sum, at := attribute(oidContentType, data), attribute(oidMessageDigest, digest), attribute(oidSigningTime, when)
	for name, c := range map[string]struct {
		attrs [][]byte
		want  error
	}{
		"both":                 {[][]byte{kind, sum}, nil},
		"a time":               {[][]byte{kind, at, sum}, nil},
		"one not known":        {[][]byte{kind, sum, attribute(oid{1, 2, 3}, data, data)}, nil},
		"none":                 {nil, ErrMalformed},
		"no digest":            {[][]byte{kind, at}, ErrMalformed},
		"no type":              {[][]byte{sum}, ErrMalformed},
		"two digests":          {[][]byte{kind, sum, sum}, ErrMalformed},
		"two types":            {[][]byte{kind, kind, sum}, ErrMalformed},
		"two times":            {[][]byte{kind, at, at, sum}, ErrMalformed},
		"digest of two values": {[][]byte{kind, attribute(oidMessageDigest, digest, digest)}, ErrMalformed},
		"digest of no value":   {[][]byte{kind, attribute(oidMessageDigest)}, ErrMalformed},
		"type of two values":   {[][]byte{attribute(oidContentType, data, data), sum}, ErrMalformed},
		"no such month":        {[][]byte{kind, attribute(oidSigningTime, []byte("\x17\x0d261302030405Z")), sum}, ErrMalformed},
		"too many":             {append(slices.Repeat([][]byte{attribute(oid{1, 2, 3})}, maxAttributes), kind, sum), ErrMalformed},
	} {
		var b cryptobyte.Builder
		b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(slices.Concat(c.attrs...)) })
		s := SignerInfo{attrs: b.BytesOrPanic()}
		if err := s.readAttributes(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// message is one of a kind.
func message(kind oid, body func(b *cryptobyte.Builder)) []byte {
	var b cryptobyte.Builder
	wrap(&b, kind, body)
	return b.BytesOrPanic()
}

func TestBounds(t *testing.T) {
	many := func(element string, n int) func(*cryptobyte.Builder) {
		return func(b *cryptobyte.Builder) { b.AddBytes(slices.Repeat([]byte(element), n)) }
	}
	content := func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(rfc.data) }
	signed := func(certificates, signers int) []byte {
		return message(rfc.signed, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(1)
			b.AddASN1(asn1.SET, func(*cryptobyte.Builder) {})
			b.AddASN1(asn1.SEQUENCE, content)
			b.AddASN1(tag0, many("0\x00", certificates))
			b.AddASN1(asn1.SET, many("0\x00", signers))
		})
	}
	enveloped := func(version int64, recipients int) []byte {
		return message(gmt.enveloped, func(b *cryptobyte.Builder) {
			b.AddASN1Int64(version)
			b.AddASN1(asn1.SET, many("\xa1\x00", recipients))
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				content(b)
				addAlgorithm(b, oidSM4CBC, true)
			})
		})
	}
	for name, c := range map[string]struct {
		message []byte
		want    error
	}{
		"certificates":          {signed(maxCertificates, 0), nil},
		"too many certificates": {signed(maxCertificates+1, 0), ErrMalformed},
		"an empty signer":       {signed(0, 1), ErrMalformed},
		"recipients":            {enveloped(1, maxRecipients), nil},
		"too many recipients":   {enveloped(1, maxRecipients+1), ErrMalformed},
		"a later version":       {enveloped(9, 0), ErrUnsupported},
		"digested data":         {message(oid{1, 2, 840, 113549, 1, 7, 5}, content), ErrKind},
	} {
		if _, err := Parse(c.message); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}
