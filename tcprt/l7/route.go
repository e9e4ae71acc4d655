package l7

import "bytes"

const (
	anyID      = "{id}"
	more       = "/*" // what is over the bounds, or was cut
	maxDepth   = 8    // segments of a route
	maxSegment = 32   // bytes; longer ones are ids
)

// template appends the route of a request's target to dst: its path (RFC 9112 §3.2)
// with {id} for each segment that is not a word. Query and fragment are dropped, and
// of the authority nothing is kept. At most MaxRoute bytes are appended.
func template(dst, method, target []byte, cut bool) []byte {
	path, whole := pathOf(method, target)
	if len(path) == 0 {
		return dst
	}
	if path[0] == '*' {
		return append(dst, '*') // the asterisk-form, §3.2.4
	}
	cut = cut && !whole
	start := len(dst)
	for depth := 0; len(path) > 0; {
		path = path[1:] // the slash
		end := bytes.IndexByte(path, '/')
		last := end < 0
		if last {
			end = len(path)
		}
		segment, _, _ := bytes.Cut(path[:end], []byte{';'}) // parameters, RFC 3986 §3.3
		path = path[end:]
		switch {
		case last && cut, depth == maxDepth:
			return append(dst, more...)
		case len(segment) == 0 && !last:
			continue
		}
		depth++
		if len(segment) > 0 && !word(segment) {
			segment = []byte(anyID)
		}
		if len(dst)-start+1+len(segment)+len(more) > MaxRoute {
			return append(dst, more...)
		}
		dst = append(append(dst, '/'), segment...)
	}
	return dst
}

// pathOf cuts the path out of a target; whole when its end is seen there.
func pathOf(method, target []byte) (path []byte, whole bool) {
	if len(target) == 0 || string(method) == "CONNECT" {
		return nil, false
	}
	for _, mark := range []byte{'?', '#'} {
		if end := bytes.IndexByte(target, mark); end >= 0 {
			target, whole = target[:end], true
		}
	}
	if len(target) == 0 || target[0] == '/' || string(target) == "*" {
		return target, whole
	}
	_, rest, absolute := bytes.Cut(target, []byte("://"))
	if !absolute {
		return nil, false
	}
	if slash := bytes.IndexByte(rest, '/'); slash >= 0 {
		return rest[slash:], whole
	}
	return []byte("/"), whole
}

// word says whether a segment is likely a part of the program's vocabulary: it has
// no other characters than names do, few digits, no run of hexadecimal ones, and
// does not change case as base64 does.
func word(b []byte) bool {
	if len(b) > maxSegment {
		return false
	}
	var digits, upper, turns, hex int
	var last byte
	for i, c := range b {
		// What follows a colon is a verb, as in things:batchGet, or a secret.
		if !named[c] || c == ':' && bytes.ContainsFunc(b[i+1:], func(r rune) bool { return r > 'z' || !letter(byte(r)) }) {
			return false
		}
		switch {
		case digit(c):
			digits++
		case c >= 'a' && c <= 'z':
		case c >= 'A' && c <= 'Z':
			upper++
		default:
			if hex >= 8 {
				return false
			}
			hex, last = 0, 0
			continue
		}
		if letter(c) && letter(last) && (c^last)&0x20 != 0 {
			turns++
		}
		switch {
		case hex < 0:
		case digit(c) || c|0x20 >= 'a' && c|0x20 <= 'f':
			hex++
		default:
			hex = -1 // until the next mark
		}
		last = c
	}
	switch n := len(b); {
	case hex >= 8, digits >= 4, digits == n:
		return false
	case n >= 7 && digits >= 2 && upper > 0: // a code, in one case or in both
		return false
	case n >= 16 && turns > n/3:
		return false
	}
	return true
}

// named are the characters of words: the unreserved ones of RFC 3986 §2.3, and the
// colon.
var named = func() (all [256]bool) {
	for c := range all {
		all[c] = letter(byte(c)) || digit(byte(c))
	}
	for _, c := range []byte("-._~:") {
		all[c] = true
	}
	return all
}()
