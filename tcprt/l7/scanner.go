package l7

import "bytes"

// dialect is whose lexical rules hold.
type dialect uint8

const (
	mysql      dialect = iota // "Lexical Structure" and "Comments" of MySQL's reference
	postgresql                // §4.1 of PostgreSQL's
)

type kind uint8

const (
	nothing kind = iota // the end
	ident               // a key word or a name, quoted or not
	value               // a literal, a parameter, or what cannot be told from one
	mark                // any other character
)

type lexeme struct {
	kind kind
	gap  bool   // there was space or a comment before it
	text []byte // not of a value
}

// scanner cuts a statement, which may end anywhere, into lexemes.
type scanner struct {
	s       []byte
	i       int
	dialect dialect
	// hidden: the lexemes are out of a comment that some versions of MySQL run.
	hidden bool
}

func (c *scanner) next() lexeme {
	gap := c.skip()
	if c.i >= len(c.s) {
		return lexeme{kind: nothing}
	}
	start := c.i
	k := c.one(c.s[c.i])
	l := lexeme{kind: k, gap: gap}
	if k != value {
		l.text = c.s[start:c.i]
	}
	return l
}

// at gives the byte n after the next one, or 0.
func (c *scanner) at(n int) byte {
	if c.i+n < len(c.s) {
		return c.s[c.i+n]
	}
	return 0
}

func (c *scanner) one(b byte) kind {
	switch {
	case letter(b), b == '_', b >= 0x80:
		return c.word()
	case digit(b), b == '.' && digit(c.at(1)):
		return c.number()
	case b == '\'':
		return c.literal(b, false)
	case b == '"' && c.dialect == mysql:
		return c.literal(b, false)
	case b == '"', b == '`' && c.dialect == mysql:
		return c.quoted(b)
	case b == '$':
		return c.dollar()
	}
	c.i++
	if b == '?' && c.dialect == mysql { // a parameter; PostgreSQL has operators of it
		return value
	}
	return mark
}

// skip passes space and comments.
func (c *scanner) skip() (any bool) {
	for c.i < len(c.s) {
		switch b := c.s[c.i]; {
		case b <= ' ', b == 0x7f:
			c.i++
		case b == '#' && c.dialect == mysql:
			c.line()
		case b == '-' && c.at(1) == '-' && (c.dialect == postgresql || c.at(2) <= ' '):
			c.line()
		case b == '/' && c.at(1) == '*':
			c.comment()
		default:
			return any
		}
		any = true
	}
	return any
}

func (c *scanner) line() {
	for c.i < len(c.s) && c.s[c.i] != '\n' && (c.s[c.i] != '\r' || c.dialect == mysql) {
		c.i++
	}
}

// comment passes one: PostgreSQL's nest, and what MySQL runs of its own is looked
// into.
func (c *scanner) comment() {
	if c.dialect == mysql && (c.at(2) == '!' || c.at(2) == 'M' && c.at(3) == '!') {
		c.hidden = true
		c.i += 3
		for c.i < len(c.s) && (c.s[c.i] == '!' || digit(c.s[c.i])) {
			c.i++
		}
		return
	}
	c.i += 2
	for depth := 1; depth > 0 && c.i < len(c.s); c.i++ {
		switch two := [2]byte{c.s[c.i], c.at(1)}; {
		case two == [2]byte{'*', '/'}:
			depth--
			c.i++
		case two == [2]byte{'/', '*'} && c.dialect == postgresql:
			depth++
			c.i++
		}
	}
	c.i = min(c.i, len(c.s))
}

// word reads a name that is not quoted. One of a single letter before a quote is
// the literal's prefix, and only PostgreSQL's E changes how that is read.
func (c *scanner) word() kind {
	start, plain := c.i, true
	for ; c.i < len(c.s); c.i++ {
		b := c.s[c.i]
		if !letter(b) && !digit(b) && b != '_' && b != '$' && b < 0x80 {
			break
		}
		plain = plain && b < 0x80
	}
	n := c.i - start
	if n == 1 && c.at(0) == '\'' {
		return c.literal('\'', c.dialect == postgresql && c.s[start]|0x20 == 'e')
	}
	if !plain || n > maxName {
		return value
	}
	return ident
}

const maxName = 64 // MySQL's longest; PostgreSQL's is 63

// number reads all that hangs together with one, as 0x1F, 1e-5 and 1_000.
func (c *scanner) number() kind {
	for c.i < len(c.s) {
		b := c.s[c.i]
		if exponent := b|0x20 == 'e'; exponent && (c.at(1) == '-' || c.at(1) == '+') && digit(c.at(2)) {
			c.i += 2
			continue
		}
		if !letter(b) && !digit(b) && b != '_' && b != '.' && b < 0x80 {
			break
		}
		c.i++
	}
	return value
}

// literal reads a quoted one. A backslash before a quote escapes it or does not by
// a setting of the server that is not known here (NO_BACKSLASH_ESCAPES,
// standard_conforming_strings) unless the literal says so itself; then nothing that
// follows can be told from a value, and the statement ends.
func (c *scanner) literal(quote byte, escapes bool) kind {
	for c.i++; c.i < len(c.s); c.i++ {
		switch b := c.s[c.i]; {
		case b == '\\' && (escapes || c.at(1) == '\\'):
			c.i++
		case b == '\\' && c.at(1) == quote:
			c.i = len(c.s)
			return value
		case b == quote && c.at(1) == quote:
			c.i++
		case b == quote:
			c.i++
			return value
		}
	}
	c.i = min(c.i, len(c.s))
	return value
}

// quoted reads a name in quotes. Only one that looks like a name is taken for one.
func (c *scanner) quoted(quote byte) kind {
	start, plain := c.i, true
	for c.i++; c.i < len(c.s); c.i++ {
		b := c.s[c.i]
		if b == quote && c.at(1) != quote {
			c.i++
			if n := c.i - start - 2; !plain || n == 0 || n > maxName {
				return value
			}
			return ident
		}
		if b == quote {
			c.i++
		}
		plain = plain && (named[b] || b == '$' || b == ' ') && b != ':' && b != '~'
	}
	c.i = min(c.i, len(c.s))
	return value
}

// dollar reads what begins with one: $1, or a literal in dollars ($$…$$, $tag$…$tag$;
// §4.1.2.4).
func (c *scanner) dollar() kind {
	start := c.i
	for c.i++; c.i < len(c.s); c.i++ {
		if b := c.s[c.i]; !letter(b) && !digit(b) && b != '_' && b < 0x80 {
			break
		}
	}
	if c.at(0) != '$' || digit(c.s[start+1]) {
		return value
	}
	c.i++
	tag := c.s[start:c.i]
	if n := bytes.Index(c.s[c.i:], tag); n >= 0 {
		c.i += n + len(tag)
	} else {
		c.i = len(c.s)
	}
	return value
}
