package term

import (
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// Width gives the columns of a terminal, 0 where w is none or does not say.
func Width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return n
}

const (
	columnGap = 2
	// roomy is a column of text that reads well; below that, columns that can be
	// spared are left out.
	roomy = 14
	// narrow is the least that a column of text is given.
	narrow = 6
)

// layout chooses the columns and narrows those of text so that a row takes at
// most so many characters; 0 is no limit. Numbers are never cut.
func (t *Table) layout(width []int, right []bool, most int) (columns []int) {
	for i := range width {
		columns = append(columns, i)
	}
	if most <= 0 {
		return columns
	}
	for _, title := range t.spare {
		if need(columns, width, right, roomy) <= most {
			break
		}
		if at := slices.Index(t.head, title); at >= 0 {
			columns = slices.DeleteFunc(columns, func(i int) bool { return i == at })
		}
	}
	level := narrow
	for _, i := range columns {
		level = max(level, width[i])
	}
	for level > narrow && need(columns, width, right, level) > most {
		level--
	}
	spare := most - need(columns, width, right, level)
	for _, i := range columns {
		if right[i] || width[i] <= level {
			continue
		}
		more := min(max(spare, 0), 1) // what the rounding left
		width[i], spare = level+more, spare-more
	}
	return columns
}

// need is the length of a row whose columns of text take at most level.
func need(columns, width []int, right []bool, level int) int {
	n := columnGap * (len(columns) - 1)
	for _, i := range columns {
		if right[i] {
			n += width[i]
		} else {
			n += min(width[i], level)
		}
	}
	return n
}

// wrap breaks s into lines of at most width characters: between words, or
// within a word after one of the marks that paths and lists have.
func wrap(s string, width int) []string {
	var out []string
	for utf8.RuneCountInString(s) > width {
		line := string([]rune(s)[:width])
		at := len(line)
		if s[at] != ' ' {
			if i := strings.LastIndexByte(line, ' '); i > 0 {
				at = i
			} else if i := strings.LastIndexByte(line, '/'); i > len(line)/2 {
				at = i
			} else if i := strings.LastIndexAny(line, "/,=.-_:"); i > 0 && i < len(line)-1 {
				at = i + 1
			}
		}
		out = append(out, strings.TrimRight(s[:at], " "))
		s = strings.TrimLeft(s[at:], " ")
	}
	return append(out, s)
}

// cut shortens s to width characters. Of a path the end tells more.
func cut(s string, width int) []string {
	r := []rune(s)
	switch {
	case len(r) <= width:
		return []string{s}
	case width <= 1:
		return []string{"…"}
	case r[0] == '/':
		return []string{"…" + string(r[len(r)-width+1:])}
	}
	return []string{string(r[:width-1]) + "…"}
}

// Cut shortens a line to width characters, 0 for any.
func Cut(s string, width int) string {
	if width <= 0 {
		return s
	}
	return cut(s, width)[0]
}

// Fold breaks a text into lines for w, if that is a terminal; all but the first
// begin with indent.
func Fold(w io.Writer, s, indent string) string {
	n := Width(w)
	if n == 0 {
		return s
	}
	lines := wrap(s, max(n-utf8.RuneCountInString(indent), roomy))
	return strings.Join(lines, "\n"+indent)
}
