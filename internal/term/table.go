package term

import (
	"bufio"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Cell is one field of a table.
type Cell struct {
	Text  string
	Style Style
}

// Table is text in aligned columns. A column whose cells are all numbers (or
// numbers with a unit) is aligned to the right. The zero value is empty.
type Table struct {
	head []string
	rows [][]Cell
}

// NewTable makes a table with column titles.
func NewTable(titles ...string) *Table { return &Table{head: titles} }

// Row adds a row; a field is a string or a Cell.
func (t *Table) Row(fields ...any) {
	row := make([]Cell, len(fields))
	for i, f := range fields {
		switch f := f.(type) {
		case Cell:
			row[i] = Cell{clean(f.Text), f.Style}
		case string:
			row[i] = Cell{Text: clean(f)}
		}
	}
	t.rows = append(t.rows, row)
}

// Clean makes s, which somebody else may have written, one harmless line.
func Clean(s string) string { return clean(s) }

// clean makes s one harmless line: control characters from the node, such as
// those in a process's name, must not reach the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.IsControl(r) || r == utf8.RuneError:
			return '?'
		}
		return r
	}, s)
}

// Write writes the table to w, with colours if w takes them.
func (t *Table) Write(w io.Writer) error { return t.write(w, Colours(w)) }

func (t *Table) write(w io.Writer, colours bool) error {
	rows := t.rows
	if len(t.head) > 0 {
		head := make([]Cell, len(t.head))
		for i, h := range t.head {
			head[i] = Cell{Text: h, Style: Bold}
		}
		rows = append([][]Cell{head}, rows...)
	}
	width, right := t.measure(rows)
	b := bufio.NewWriter(w)
	for _, row := range rows {
		for i, c := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(c.Text))
			last := i == len(row)-1
			if right[i] {
				_, _ = b.WriteString(pad)
			}
			_, _ = b.WriteString(paint(c.Text, c.Style, colours))
			if !right[i] && !last {
				_, _ = b.WriteString(pad)
			}
			if !last {
				_, _ = b.WriteString("  ")
			}
		}
		_ = b.WriteByte('\n')
	}
	return b.Flush()
}

func (t *Table) measure(rows [][]Cell) (width []int, right []bool) {
	for r, row := range rows {
		for i, c := range row {
			if i == len(width) {
				width, right = append(width, 0), append(right, len(t.rows) > 0)
			}
			width[i] = max(width[i], utf8.RuneCountInString(c.Text))
			if header := r == 0 && len(t.head) > 0; !header && !numeric(c.Text) {
				right[i] = false
			}
		}
	}
	return width, right
}

func numeric(s string) bool {
	return s == "-" || s != "" && (s[0] >= '0' && s[0] <= '9' || s[0] == '-' && len(s) > 1 && s[1] >= '0' && s[1] <= '9')
}
