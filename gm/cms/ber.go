package cms

import "bytes"

const maxDepth = 32

// header is the start of an element: X.690, clause 8.1.
type header struct {
	tag        byte // class, constructed bit and number, which is under 31
	size       int  // of the header
	length     int  // of the contents, unless indefinite
	indefinite bool
	exact      bool // the length is in as few bytes as DER has it
}

func (h header) constructed() bool { return h.tag&0x20 != 0 }

// readHeader reads a header whose element is within b.
func readHeader(b []byte) (header, bool) {
	if len(b) < 2 || b[0]&0x1f == 0x1f {
		return header{}, false
	}
	h := header{tag: b[0], size: 2, length: int(b[1]), exact: true}
	switch n := int(b[1] & 0x7f); {
	case b[1] < 0x80:
	case n == 0:
		h.indefinite, h.exact, h.length = true, false, 0
		return h, h.constructed()
	case n > 8 || len(b) < 2+n:
		return header{}, false
	default:
		var length uint64
		for _, v := range b[2 : 2+n] {
			length = length<<8 | uint64(v)
		}
		h.size = 2 + n
		if length > uint64(len(b)-h.size) {
			return header{}, false
		}
		h.length = int(length)
		h.exact = b[2] != 0 && length >= 0x80
	}
	return h, h.length <= len(b)-h.size
}

// isDER says whether all of b is elements whose lengths are as DER has them, and no octet
// string is in pieces.
func isDER(b []byte, depth int) bool {
	for len(b) > 0 {
		h, ok := readHeader(b)
		if !ok || !h.exact || h.tag == 0x24 || depth == 0 {
			return false
		}
		if h.constructed() && !isDER(b[h.size:h.size+h.length], depth-1) {
			return false
		}
		b = b[h.size+h.length:]
	}
	return true
}

// definite gives one element of BER the lengths of DER, and makes octet strings whole. It
// takes no more memory than a small multiple of its input.
func definite(b []byte) ([]byte, error) {
	if isDER(b, maxDepth) {
		return b, nil
	}
	var out bytes.Buffer
	rest, err := rewrite(&out, b, maxDepth)
	if err != nil {
		return nil, err
	}
	if len(rest) > 0 {
		return nil, ErrMalformed
	}
	return out.Bytes(), nil
}

// rewrite writes the first element of b anew and gives what follows it.
func rewrite(out *bytes.Buffer, b []byte, depth int) ([]byte, error) {
	h, ok := readHeader(b)
	if !ok || depth == 0 {
		return nil, ErrMalformed
	}
	if !h.constructed() {
		writeElement(out, h.tag, b[h.size:h.size+h.length])
		return b[h.size+h.length:], nil
	}
	var inner bytes.Buffer
	rest, err := rewriteAll(&inner, b, h, depth)
	if err != nil {
		return nil, err
	}
	if h.tag != 0x24 {
		writeElement(out, h.tag, inner.Bytes())
		return rest, nil
	}
	whole, ok := joined(inner.Bytes())
	if !ok {
		return nil, ErrMalformed
	}
	writeElement(out, 0x04, whole)
	return rest, nil
}

// rewriteAll writes the elements within one that begins b.
func rewriteAll(out *bytes.Buffer, b []byte, h header, depth int) (rest []byte, err error) {
	if h.indefinite {
		b = b[h.size:]
		for {
			if len(b) < 2 {
				return nil, ErrMalformed
			}
			if b[0] == 0 && b[1] == 0 {
				return b[2:], nil
			}
			if b, err = rewrite(out, b, depth-1); err != nil {
				return nil, err
			}
		}
	}
	in := b[h.size : h.size+h.length]
	for len(in) > 0 {
		if in, err = rewrite(out, in, depth-1); err != nil {
			return nil, err
		}
	}
	return b[h.size+h.length:], nil
}

// joined puts the octet strings of b, which are in one piece each, together.
func joined(b []byte) (out []byte, ok bool) {
	for len(b) > 0 {
		h, ok := readHeader(b)
		if !ok || h.tag != 0x04 {
			return nil, false
		}
		out = append(out, b[h.size:h.size+h.length]...)
		b = b[h.size+h.length:]
	}
	return out, true
}

func writeElement(out *bytes.Buffer, tag byte, contents []byte) {
	out.WriteByte(tag)
	n := len(contents)
	if n < 0x80 {
		out.WriteByte(byte(n))
	} else {
		size := 1
		for n>>(8*size) > 0 && size < 8 {
			size++
		}
		out.WriteByte(0x80 | byte(size))
		for i := size - 1; i >= 0; i-- {
			out.WriteByte(byte(n >> (8 * i)))
		}
	}
	out.Write(contents)
}
