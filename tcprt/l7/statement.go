package l7

import (
	"bytes"
	"unicode/utf8"
)

// statement appends a statement to dst with a ? for each value and without comments,
// space brought down to one blank and lists of values to one: at most MaxRoute bytes,
// all of them ASCII. It ends with the first statement of several, and where no more
// can be told from a value.
//
// Nothing is appended of what is not UTF-8: in other encodings of clients (GBK,
// Shift JIS) a part of a character may look like a backslash or a quote.
func statement(dst, s []byte, d dialect) []byte {
	if !utf8Head(s) {
		return dst
	}
	n := normaliser{scan: scanner{s: s, dialect: d}}
	for !n.done {
		n.take(n.scan.next())
	}
	return append(dst, n.out()...)
}

type normaliser struct {
	room [MaxRoute]byte
	n    int // bytes of it that are in use
	scan scanner
	// assigns: what follows = or TO is a value though it may look like a name, as in
	// SET name TO word.
	assigns bool
	done    bool
}

func (n *normaliser) out() []byte { return n.room[:n.n] }

func (n *normaliser) take(l lexeme) {
	switch {
	case l.kind == nothing, n.scan.hidden, l.kind == mark && l.text[0] == ';':
		n.done = true
	case l.kind == value:
		n.value(l.gap)
	default:
		if n.n == 0 && l.kind == ident {
			verb := verbName(l.text)
			n.assigns = verb == "SET" || verb == "ALTER"
		}
		n.put(l.gap, l.text)
		if l.kind == mark && l.text[0] == ')' {
			n.list()
		}
		if n.assigns && (l.text[0] == '=' || bytes.EqualFold(l.text, []byte("to"))) {
			n.value(true)
			n.done = true
		}
	}
}

// put appends a lexeme, or ends the statement when there is no room.
func (n *normaliser) put(gap bool, b []byte) {
	gap = gap && n.n > 0
	if n.n+1+len(b) > MaxRoute {
		n.done = true
	}
	if n.done {
		return
	}
	if gap {
		n.room[n.n] = ' '
		n.n++
	}
	n.n += copy(n.room[n.n:], b)
}

// value appends a ?, but for one of a list that has one.
func (n *normaliser) value(gap bool) {
	if bytes.HasSuffix(n.out(), []byte("?,")) {
		n.n--
		return
	}
	n.put(gap, []byte{'?'})
}

// list brings rows down to one.
func (n *normaliser) list() {
	for _, rows := range [...]string{"(?),(?)", "(?), (?)"} {
		if bytes.HasSuffix(n.out(), []byte(rows)) {
			n.n -= len(rows) - len("(?)")
		}
	}
}

// utf8Head says whether s is UTF-8, but for a last character that is cut.
func utf8Head(s []byte) bool {
	for cut := range min(utf8.UTFMax, len(s)+1) {
		if head := s[:len(s)-cut]; utf8.Valid(head) {
			return cut == 0 || !utf8.FullRune(s[len(head):])
		}
	}
	return false
}
