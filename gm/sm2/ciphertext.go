package sm2

import (
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// pointSize is of 04 x y.
const pointSize = 1 + 2*32

// parted reads a ciphertext of an order and writes it as C1C3C2 with the point as 04 x y,
// or 02 or 03 and x. Whether the point is on the curve is not looked at. The error is of
// an order that is none.
func parted(b []byte, order Order) (out []byte, ok bool, err error) {
	if order < C1C3C2 || order > ASN1 {
		return nil, false, errOrder
	}
	if order == ASN1 {
		out, ok = partedDER(b)
		return out, ok, nil
	}
	var room [pointSize]byte
	c1, rest, ok := readPoint(&room, b)
	if !ok || len(rest) <= hashSize || len(rest)-hashSize > longest {
		return nil, false, nil
	}
	c3, c2 := rest[:hashSize], rest[hashSize:]
	if order == C1C2C3 {
		c2, c3 = rest[:len(rest)-hashSize], rest[len(rest)-hashSize:]
	}
	return join(c1, c3, c2), true, nil
}

func join(c1, c3, c2 []byte) []byte {
	out := make([]byte, 0, len(c1)+len(c3)+len(c2))
	out = append(out, c1...)
	out = append(out, c3...)
	return append(out, c2...)
}

// readPoint takes a point off the front: GB/T 32918.1-2016, 4.2.9. A hybrid one is written
// to room as 04 x y, once its first byte fits its y.
func readPoint(room *[pointSize]byte, b []byte) (c1, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	size := pointSize
	switch b[0] {
	case 2, 3:
		size = 1 + 32
	case 4, 6, 7:
	default: // infinity, 00, among it
		return nil, nil, false
	}
	if len(b) < size {
		return nil, nil, false
	}
	c1, rest = b[:size], b[size:]
	if b[0] < 6 {
		return c1, rest, true
	}
	copy(room[:], c1)
	room[0] = 4
	return room[:], rest, b[0]&1 == c1[size-1]&1
}

// partedDER reads what GM/T 0009-2012, 7.2, has, in DER and nothing after it.
func partedDER(b []byte) ([]byte, bool) {
	s := cryptobyte.String(b)
	var inner, c3, c2 cryptobyte.String
	if !s.ReadASN1(&inner, asn1.SEQUENCE) || !s.Empty() {
		return nil, false
	}
	x, rest, ok := parseInteger(inner)
	if !ok {
		return nil, false
	}
	y, rest, ok := parseInteger(rest)
	if !ok {
		return nil, false
	}
	inner = rest
	if !inner.ReadASN1(&c3, asn1.OCTET_STRING) || !inner.ReadASN1(&c2, asn1.OCTET_STRING) || !inner.Empty() ||
		len(c3) != hashSize || len(c2) == 0 || len(c2) > longest {
		return nil, false
	}
	var c1 [pointSize]byte
	c1[0] = 4
	putBytes(c1[1:], &x)
	putBytes(c1[33:], &y)
	return join(c1[:], c3, c2), true
}
