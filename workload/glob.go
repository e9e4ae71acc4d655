package workload

import (
	"fmt"
	"regexp"
	"strings"
)

// maxPattern bounds a pattern's length: it becomes an automaton of that order.
const maxPattern = 1024

// glob is a compiled pattern. It takes time linear in the name.
type glob struct {
	re   *regexp.Regexp
	base bool // matched against the last element only
}

// compileGlob compiles a pattern over names whose elements are divided by
// slashes:
//
//	?       one character but '/'
//	*       any run of characters but '/'
//	[a-z]   one of a set, [!a-z] one not of it, never '/'
//	/**     at the end: everything below; between slashes: any elements, or none
//
// All else stands for itself, backslash too, as unit names hold some; [*] is a
// star. A pattern without '/' is matched against the last element.
func compileGlob(p string) (*glob, error) {
	if p == "" {
		return nil, fmt.Errorf("the pattern is empty")
	}
	if len(p) > maxPattern {
		return nil, fmt.Errorf("the pattern is longer than %d bytes", maxPattern)
	}
	var b strings.Builder
	b.WriteString(`(?s)\A`)
	for rest := p; rest != ""; {
		n, err := globToken(&b, rest, len(rest) == len(p) || p[len(p)-len(rest)-1] == '/')
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
		rest = rest[n:]
	}
	re, err := regexp.Compile(b.String() + `\z`)
	if err != nil {
		return nil, fmt.Errorf("pattern %q: %w", p, err)
	}
	return &glob{re: re, base: !strings.Contains(p, "/")}, nil
}

// globToken writes the expression for the first token of s and gives its
// length. start says that s begins an element.
func globToken(b *strings.Builder, s string, start bool) (int, error) {
	switch {
	case strings.HasPrefix(s, "**"):
		switch {
		case start && strings.HasPrefix(s, "**/"):
			b.WriteString(`(?:[^/]+/)*`)
			return 3, nil
		case start && s == "**":
			b.WriteString(`.+`)
			return 2, nil
		}
		return 0, fmt.Errorf("** must stand between slashes or at the end")
	case s[0] == '*':
		b.WriteString(`[^/]*`)
		return 1, nil
	case s[0] == '?':
		b.WriteString(`[^/]`)
		return 1, nil
	case s[0] == '[':
		return globSet(b, s)
	}
	n := strings.IndexAny(s, "*?[/")
	switch n {
	case -1:
		n = len(s)
	case 0: // a slash
		n = 1
	}
	b.WriteString(regexp.QuoteMeta(s[:n]))
	return n, nil
}

func globSet(b *strings.Builder, s string) (int, error) {
	end := strings.IndexByte(s, ']')
	if end < 0 {
		return 0, fmt.Errorf("[ without ]")
	}
	set := s[1:end]
	not := ""
	if strings.HasPrefix(set, "!") {
		set, not = set[1:], "^/"
	}
	if set == "" || strings.ContainsRune(set, '/') {
		return 0, fmt.Errorf("a set must name characters other than /")
	}
	for i := 1; i+1 < len(set); i++ { // a range over '/' would cross elements
		if set[i] == '-' && set[i-1] <= '/' && set[i+1] >= '/' {
			return 0, fmt.Errorf("the set's range spans /")
		}
	}
	fmt.Fprintf(b, "[%s%s]", not, strings.NewReplacer(`\`, `\\`, `[`, `\[`, `^`, `\^`, `&`, `\&`, `~`, `\~`).Replace(set))
	return end + 1, nil
}

func (g *glob) match(s string) bool {
	if g.base {
		s = s[strings.LastIndexByte(s, '/')+1:]
	}
	return g.re.MatchString(s)
}
