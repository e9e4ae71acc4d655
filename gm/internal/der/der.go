// Package der holds foreign bytes to the distinguished encoding rules of X.690: one
// encoding of each value, so that what was signed and what is read cannot differ.
package der

import "errors"

// ErrNotDER is of bytes that are not exactly one DER value.
var ErrNotDER = errors.New("der: not one value in distinguished encoding")

// deepest bounds nesting: X.509's deepest extensions need 12.
const deepest = 32

// Check says whether b is exactly one value in DER, as far as that can be told without
// its schema: lengths definite and minimal, integers, enumerated, object identifiers and
// booleans in their one form, strings in one piece, nothing behind. What is inside of
// octet strings is not looked at.
func Check(b []byte) error {
	rest, ok := value(b, 0)
	if !ok || len(rest) != 0 {
		return ErrNotDER
	}
	return nil
}

// value checks one value and gives what follows it.
func value(b []byte, depth int) (rest []byte, ok bool) {
	if depth > deepest || len(b) < 2 {
		return nil, false
	}
	tag := b[0]
	b, ok = number(tag, b[1:])
	if !ok {
		return nil, false
	}
	content, rest, ok := length(b)
	if !ok {
		return nil, false
	}
	if tag&0x20 == 0 {
		return rest, primitive(tag, content)
	}
	if tag&0xc0 == 0 && !structured(tag&0x1f) {
		return nil, false // a string in pieces
	}
	for len(content) > 0 {
		if content, ok = value(content, depth+1); !ok {
			return nil, false
		}
	}
	return rest, true
}

// number skips the rest of a tag whose number is over 30.
func number(tag byte, b []byte) ([]byte, bool) {
	if tag&0x1f != 0x1f {
		return b, true
	}
	if len(b) == 0 || b[0] == 0x80 || b[0] < 31 {
		return nil, false
	}
	for i := 0; i < len(b) && i < 4; i++ {
		if b[i]&0x80 == 0 {
			return b[i+1:], true
		}
	}
	return nil, false
}

func length(b []byte) (content, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	n, b := int(b[0]), b[1:]
	if n >= 0x80 {
		size := n & 0x7f
		if size == 0 || size > 4 || len(b) < size || b[0] == 0 {
			return nil, nil, false
		}
		n = 0
		for _, c := range b[:size] {
			n = n<<8 | int(c)
		}
		if n < 0x80 {
			return nil, nil, false
		}
		b = b[size:]
	}
	if n > len(b) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}

// structured says which universal types are constructed: EXTERNAL, SEQUENCE, SET.
func structured(number byte) bool { return number == 8 || number == 16 || number == 17 }

func primitive(tag byte, b []byte) bool {
	if tag&0xc0 != 0 {
		return true // its type is the schema's
	}
	switch tag & 0x1f {
	case 1: // BOOLEAN
		return len(b) == 1 && (b[0] == 0 || b[0] == 0xff)
	case 2, 10: // INTEGER, ENUMERATED
		return len(b) == 1 || len(b) > 1 && (b[0] != 0 || b[1] >= 0x80) && (b[0] != 0xff || b[1] < 0x80)
	case 3: // BIT STRING
		return len(b) == 1 && b[0] == 0 || len(b) > 1 && b[0] < 8 && b[len(b)-1]&(1<<b[0]-1) == 0
	case 5: // NULL
		return len(b) == 0
	case 6: // OBJECT IDENTIFIER
		return identifier(b)
	case 0, 8, 16, 17:
		return false
	}
	return true
}

func identifier(b []byte) bool {
	if len(b) == 0 || b[len(b)-1]&0x80 != 0 {
		return false
	}
	for i, c := range b {
		if c == 0x80 && (i == 0 || b[i-1]&0x80 == 0) {
			return false
		}
	}
	return true
}
