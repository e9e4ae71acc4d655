package l7

// Names of HPACK's static table (RFC 7541 appendix A): a method's are 2 and 3, a
// status's 8 to 14.
const (
	firstMethod, lastMethod = 2, 3
	firstStatus, lastStatus = 8, 14
)

// headerField is a representation of a header field (RFC 7541 §6): in the tables by
// an index, or a literal value with the name that an index has.
type headerField struct {
	index   int
	literal bool
	huffman bool // of the value
	value   []byte
}

// readField reads one; good is false where it is cut.
func readField(b []byte) (f headerField, rest []byte, good bool) {
	switch c := b[0]; {
	case c&0x80 != 0: // §6.1
		f.index, rest, good = integer(b, 7)
		return f, rest, good
	case c&0xe0 == 0x20: // §6.3, the table's size
		_, rest, good = integer(b, 5)
		return f, rest, good
	case c&0xc0 == 0x40: // §6.2.1
		f.index, rest, good = integer(b, 6)
	default: // §6.2.2, §6.2.3
		f.index, rest, good = integer(b, 4)
	}
	f.literal = true
	if good && f.index == 0 {
		_, _, rest, good = hpackString(rest)
	}
	if good {
		f.value, f.huffman, rest, good = hpackString(rest)
	}
	return f, rest, good
}

// integer reads one whose first byte has so many bits of it (§5.1).
func integer(b []byte, bits int) (n int, rest []byte, good bool) {
	if len(b) == 0 {
		return 0, nil, false
	}
	most := 1<<bits - 1
	n, b = int(b[0])&most, b[1:]
	if n < most {
		return n, b, true
	}
	for shift := 0; shift < 28 && len(b) > 0; shift += 7 {
		c := b[0]
		n, b = n+int(c&0x7f)<<shift, b[1:]
		if c&0x80 == 0 {
			return n, b, true
		}
	}
	return 0, nil, false
}

// hpackString reads a string (§5.2).
func hpackString(b []byte) (s []byte, huffman bool, rest []byte, good bool) {
	n, rest, good := integer(b, 7)
	if !good || n > len(rest) {
		return nil, false, nil, false
	}
	return rest[:n], b[0]&0x80 != 0, rest[n:], true
}

// blockMethod gives the method of a header block. One that is in the table of the
// connection alone is not known.
func blockMethod(b []byte) string {
	for len(b) > 0 {
		f, rest, good := readField(b)
		switch {
		case !good:
			return ""
		case f.index < firstMethod || f.index > lastMethod:
		case f.literal && f.huffman:
			return huffmanMethod(f.value)
		case f.literal:
			return knownMethod(f.value)
		case f.index == firstMethod:
			return "GET"
		default:
			return "POST"
		}
		b = rest
	}
	return ""
}

// huffmanMethods are methods in the code of RFC 7541 appendix B.
var huffmanMethods = map[string]string{
	"\xc5\x83\x7f": "GET", "\xd7\xab\x76\xff": "POST", "\xc7\x82\x1b\xff": "HEAD", "\xd7\xc3\x7f": "PUT", "\xbf\x83\x3e\x0d\xf8\x3f": "DELETE",
	"\xd7\x0e\xfb\xd8\xff": "PATCH", "\xd5\xa7\x7e\x4d\x5a\x77\x7f": "OPTIONS", "\xbd\xab\x4e\x9c\x17\xb7\xff": "CONNECT", "\xdf\xb6\x1b\xd8\x3f": "TRACE",
}

func huffmanMethod(b []byte) string {
	if m, known := huffmanMethods[string(b)]; known {
		return m
	}
	return Other
}

// blockStatus gives the status of a header block, as blockMethod does.
func blockStatus(b []byte) string {
	for len(b) > 0 {
		f, rest, good := readField(b)
		switch {
		case !good:
			return ""
		case f.index < firstStatus || f.index > lastStatus:
		case f.literal:
			return statusName(statusCode(f.value, f.huffman))
		default:
			return [...]string{"200", "204", "206", "304", "400", "404", "500"}[f.index-firstStatus]
		}
		b = rest
	}
	return ""
}

// statusCode reads three digits, or gives one that is no status.
func statusCode(b []byte, huffman bool) int {
	var room [3]byte
	if huffman {
		b = huffmanDigits(room[:0], b)
	}
	if len(b) != 3 || !digit(b[0]) || !digit(b[1]) || !digit(b[2]) {
		return 1
	}
	return max(1, int(b[0]-'0')*100+int(b[1]-'0')*10+int(b[2]-'0'))
}

// huffmanDigits appends three digits: in RFC 7541 appendix B, 0 to 2 have codes of 5
// bits, 00000 to 00010, and 3 to 9 of 6, 011001 to 011111.
func huffmanDigits(dst, b []byte) []byte {
	var bits uint32
	for i, c := range b[:min(len(b), 4)] {
		bits |= uint32(c) << (24 - 8*i)
	}
	for range 3 {
		switch five, six := bits>>27, bits>>26; {
		case five <= 2:
			dst = append(dst, '0'+byte(five))
			bits <<= 5
		case six >= 0x19 && six <= 0x1f:
			dst = append(dst, '3'+byte(six-0x19))
			bits <<= 6
		default:
			return nil
		}
	}
	return dst
}
