package cms

import (
	"bytes"
	"fmt"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// wrap adds a ContentInfo: RFC 5652, clause 3.
func wrap(b *cryptobyte.Builder, kind oid, body func(*cryptobyte.Builder)) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(kind)
		b.AddASN1(tag0, func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, body) })
	})
}

func finish(b *cryptobyte.Builder) ([]byte, error) {
	out, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encode message: %w", err)
	}
	return out, nil
}

// addSet adds elements in the order of DER.
func addSet(b *cryptobyte.Builder, tag asn1.Tag, elements [][]byte) {
	sorted := slices.Clone(elements)
	slices.SortFunc(sorted, bytes.Compare)
	b.AddASN1(tag, func(b *cryptobyte.Builder) {
		for _, e := range sorted {
			b.AddBytes(e)
		}
	})
}

func addAlgorithm(b *cryptobyte.Builder, id oid, null bool) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if null {
			b.AddASN1NULL()
		}
	})
}

// addHash adds a digestAlgorithm: SHA-2 without parameters (RFC 5754, clause 2), SM3 with
// NULL, as all have it.
func addHash(b *cryptobyte.Builder, h Hash) { addAlgorithm(b, h.OID(), h == SM3) }

// addIdentity adds an IssuerAndSerialNumber: RFC 5652, clause 10.2.4.
func addIdentity(b *cryptobyte.Builder, c *Certificate) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(c.RawIssuer)
		b.AddASN1BigInt(c.SerialNumber)
	})
}

// addTime adds a time: in two digits of years until 2049 (RFC 5652, clause 11.3).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if y := t.Year(); y >= 1950 && y < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// contents is what is in an element that this package made.
func contents(element []byte) []byte {
	h, _ := readHeader(element)
	return element[h.size:]
}
