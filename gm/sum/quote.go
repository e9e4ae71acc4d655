package sum

import (
	"fmt"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// quote writes a name into a message as GNU's programs do: as it is where a shell would take
// it for one word, else as a shell would be told it.
func quote(name string) string {
	if name == "" {
		return "''"
	}
	units, odd := split(name)
	if !odd && !special(name) {
		return name
	}
	if !odd && strings.Contains(name, "'") && !strings.ContainsAny(name, "\"$`\\!") {
		return `"` + name + `"`
	}
	var b strings.Builder
	b.WriteByte('\'')
	inEscape := false
	for _, u := range units {
		if u.odd {
			if !inEscape {
				b.WriteString("'$'")
			}
			inEscape = true
			b.WriteString(u.text)
			continue
		}
		switch {
		case u.text == "'":
			b.WriteString(`'\''`) // ends $'…' as well
		case inEscape:
			b.WriteString("''" + u.text)
		default:
			b.WriteString(u.text)
		}
		inEscape = false
	}
	b.WriteByte('\'')
	return b.String()
}

// special says that a shell would not take the name for one word.
func special(name string) bool {
	if strings.ContainsAny(name, " !\"$&'()*:;<=>?[\\^`|\t\n") {
		return true
	}
	// These at the beginning only; braces only if the name is nothing else.
	return name[0] == '#' || name[0] == '~' || name == "{" || name == "}"
}

// unit is a character, or what stands for one that cannot be shown.
type unit struct {
	text string
	odd  bool
}

func split(name string) (units []unit, odd bool) {
	wide := utf8Locale()
	for len(name) > 0 {
		r, n := utf8.DecodeRuneInString(name)
		switch {
		case r < utf8.RuneSelf && r >= ' ' && r != 0x7f:
			units = append(units, unit{text: name[:n]})
		case wide && n > 1 && unicode.In(r, printable...):
			units = append(units, unit{text: name[:n]})
		default:
			odd = true
			for _, c := range []byte(name[:n]) {
				units = append(units, unit{code(c), true})
			}
		}
		name = name[n:]
	}
	return units, odd
}

// printable is as the C library has it.
var printable = []*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Zs, unicode.Cf, unicode.Co}

// code is a byte in $'…'.
func code(c byte) string {
	if at := strings.IndexByte("\a\b\f\n\r\t\v", c); at >= 0 {
		return `\` + "abfnrtv"[at:at+1]
	}
	return fmt.Sprintf(`\%03o`, c)
}

// utf8Locale says that the user's characters are UTF-8.
func utf8Locale() bool {
	for _, key := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := os.Getenv(key); v != "" {
			v = strings.ToLower(v)
			return strings.HasSuffix(v, "utf-8") || strings.HasSuffix(v, "utf8")
		}
	}
	return false
}
