package sm2

// maxSignature is the most bytes of a signature: two numbers of 33 bytes with their heads.
const maxSignature = 2 + 2*(2+33)

// appendSignature appends the DER of SEQUENCE { r INTEGER, s INTEGER }, GM/T 0009, 7.3.
func appendSignature(b []byte, r, s *words) []byte {
	b = append(b, 0x30, 0)
	from := len(b)
	b = appendInteger(b, r)
	b = appendInteger(b, s)
	b[from-1] = byte(len(b) - from)
	return b
}

func appendInteger(b []byte, w *words) []byte {
	var n [33]byte // with a 0 that makes it positive
	putBytes(n[1:], w)
	i := 0
	for i < 32 && n[i] == 0 && n[i+1] < 0x80 {
		i++
	}
	b = append(b, 0x02, byte(33-i))
	return append(b, n[i:]...)
}

// parseSignature reads what appendSignature writes, and nothing else.
func parseSignature(b []byte) (r, s words, ok bool) {
	if len(b) < 2 || len(b) > maxSignature || b[0] != 0x30 || int(b[1]) != len(b)-2 {
		return r, s, false
	}
	r, b, ok = parseInteger(b[2:])
	if !ok {
		return r, s, false
	}
	s, b, ok = parseInteger(b)
	return r, s, ok && len(b) == 0
}

// parseInteger reads a positive number in its shortest form.
func parseInteger(b []byte) (w words, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != 0x02 {
		return w, nil, false
	}
	n := int(b[1])
	if n < 1 || n > 33 || len(b) < 2+n {
		return w, nil, false
	}
	v, rest := b[2:2+n], b[2+n:]
	switch {
	case v[0] >= 0x80: // negative
		return w, nil, false
	case v[0] == 0 && n > 1 && v[1] < 0x80: // longer than need be
		return w, nil, false
	case v[0] == 0:
		v = v[1:]
	case n == 33:
		return w, nil, false
	}
	var full [32]byte
	copy(full[32-len(v):], v)
	return wordsOf(full[:]), rest, true
}
