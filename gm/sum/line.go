package sum

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"regexp"
	"strings"

	"github.com/anole-os/anole/gm/sm3"
)

// Style is how a line of a list looks; the zero value is "HASH  name".
type Style struct {
	Tag    bool // "SM3 (name) = HASH"
	Binary bool // "HASH *name"
	Zero   bool // ends with NUL, and names are not escaped
}

const tag = "SM3"

// Append appends a line to b. A name with a newline, a carriage return or a backslash has
// these as \n, \r and \\, and the line then begins with a backslash.
func (s Style) Append(b []byte, name string, sum [sm3.Size]byte) []byte {
	put := name
	if !s.Zero {
		if put = escaper.Replace(name); put != name {
			b = append(b, '\\')
		}
	}
	if s.Tag {
		b = append(b, tag+" ("...)
		b = append(b, put...)
		b = append(b, ") = "...)
		b = hex.AppendEncode(b, sum[:])
	} else {
		b = hex.AppendEncode(b, sum[:])
		b = append(b, ' ', ' ')
		if s.Binary {
			b[len(b)-1] = '*'
		}
		b = append(b, put...)
	}
	if s.Zero {
		return append(b, 0)
	}
	return append(b, '\n')
}

var escaper = strings.NewReplacer("\\", `\\`, "\n", `\n`, "\r", `\r`)

// escaped is a name as it begins a line of its own.
func escaped(name string) string {
	if put := escaper.Replace(name); put != name {
		return "\\" + put
	}
	return name
}

// Lines reads the lines of lists. It remembers the form of the first line that is not
// tagged, either "HASH  name" or "HASH name" as of BSD's programs, and refuses the other
// from then on: else who may rename files could begin a name with a space.
type Lines struct{ form form }

type form int

const (
	unknown form = iota
	twoSigns
	oneSpace
)

// Hash is the hash in a line.
type Hash struct {
	sum [sm3.Size]byte
	// never says that it is written as no program does, in base64 with bits set that belong
	// to no byte: nothing matches it.
	never bool
}

// Matches says whether it is this one.
func (h Hash) Matches(sum [sm3.Size]byte) bool { return h.sum == sum && !h.never }

// Parse reads a line without its end; false if it is none of a list. A name ends at a NUL.
func (l *Lines) Parse(line []byte) (name string, hash Hash, ok bool) {
	line = bytes.TrimLeft(line, " \t")
	line, isEscaped := bytes.CutPrefix(line, []byte{'\\'})
	var put []byte
	if rest, tagged := bytes.CutPrefix(line, []byte(tag)); tagged {
		put, hash, ok = parseTagged(rest)
	} else {
		put, hash, ok = l.plain(line)
	}
	if ok && isEscaped {
		put, ok = unescape(put)
	}
	put, _, _ = bytes.Cut(put, []byte{0}) // as for GNU, whose names are C strings
	return string(put), hash, ok
}

// sized is the length in bits that may follow the tag, as strtoul has numbers.
var sized = regexp.MustCompile(`^-[ \t\n\v\f\r]*\+?(256|0[xX]0*100|0+400)`)

// parseTagged reads what follows the tag; see Style.Append.
func parseTagged(b []byte) (name []byte, hash Hash, ok bool) {
	if size := sized.Find(b); size != nil {
		b = b[len(size):]
	} else if len(b) > 0 && b[0] != '-' && b[0] != '(' {
		b = b[1:] // GNU looks at no other
	}
	b, _ = bytes.CutPrefix(b, []byte{' '})
	b, ok = bytes.CutPrefix(b, []byte{'('})
	end := bytes.LastIndexByte(b, ')')
	if !ok || end < 0 {
		return nil, hash, false
	}
	name, b = b[:end], bytes.TrimLeft(b[end+1:], " \t")
	b, ok = bytes.CutPrefix(b, []byte{'='})
	if !ok {
		return nil, hash, false
	}
	hash, ok = parseHash(bytes.TrimLeft(b, " \t"))
	return name, hash, ok
}

// plain reads a line of either form without a tag.
func (l *Lines) plain(b []byte) (name []byte, hash Hash, ok bool) {
	end := bytes.IndexAny(b, " \t\x00")
	if end < 0 {
		return nil, hash, false
	}
	if hash, ok = parseHash(b[:end]); !ok {
		return nil, hash, false
	}
	name = b[end+1:]
	if len(name) < 2 || name[0] != ' ' && name[0] != '*' {
		if l.form == twoSigns {
			return nil, hash, false
		}
		l.form = oneSpace
	} else if l.form != oneSpace {
		l.form = twoSigns
		name = name[1:]
	}
	return name, hash, true
}

// parseHash reads a hash in hexadecimal or base64.
func parseHash(b []byte) (h Hash, ok bool) {
	switch len(b) {
	case hex.EncodedLen(sm3.Size):
		_, err := hex.Decode(h.sum[:], b)
		return h, err == nil
	case base64.StdEncoding.EncodedLen(sm3.Size):
		var to [sm3.Size + 1]byte
		n, err := base64.StdEncoding.Decode(to[:], b)
		copy(h.sum[:], to[:])
		_, odd := base64.StdEncoding.Strict().Decode(to[:], b)
		h.never = odd != nil
		return h, err == nil && n == sm3.Size
	}
	return h, false
}

// unescape undoes what Style.Append does to a name.
func unescape(b []byte) ([]byte, bool) {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		if b[i] == 0 {
			return nil, false
		}
		if b[i] != '\\' {
			out = append(out, b[i])
			continue
		}
		if i++; i == len(b) {
			return nil, false
		}
		at := strings.IndexByte(`\nr`, b[i])
		if at < 0 {
			return nil, false
		}
		out = append(out, "\\\n\r"[at])
	}
	return out, true
}
