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
	head  []string
	rows  [][]Cell
	spare []string
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

// Spare names columns that are left out, the first first, where a terminal is
// too narrow for all.
func (t *Table) Spare(titles ...string) *Table {
	t.spare = titles
	return t
}

// Write writes the table to w, with colours if w takes them. Where w is a
// terminal, cells that are too long for it go on in the next line of their
// column.
func (t *Table) Write(w io.Writer) error { return t.write(w, Colours(w), Width(w), wrap) }

// WriteCut writes the table for a screen of the given width, 0 for any, where
// each row must take one line: what is too long is cut.
func (t *Table) WriteCut(w io.Writer, width int, colours bool) error {
	return t.write(w, colours, width, cut)
}

func (t *Table) write(w io.Writer, colours bool, most int, fold func(string, int) []string) error {
	rows := t.all()
	width, right := t.measure(rows)
	columns := t.layout(width, right, most)
	b := bufio.NewWriter(w)
	for _, row := range rows {
		cells, lines := make([][]string, len(row)), 1
		for _, i := range columns {
			if i < len(row) {
				cells[i] = fold(row[i].Text, width[i])
				lines = max(lines, len(cells[i]))
			}
		}
		for n := range lines {
			writeLine(b, row, cells, columns, width, right, n, colours)
		}
	}
	return b.Flush()
}

// writeLine writes the nth line of a row.
func writeLine(b *bufio.Writer, row []Cell, cells [][]string, columns, width []int, right []bool, n int, colours bool) {
	gap := 0 // blanks owed before the next text
	for _, i := range columns {
		text := ""
		if i < len(row) && n < len(cells[i]) {
			text = cells[i][n]
		}
		pad := width[i] - utf8.RuneCountInString(text)
		if right[i] {
			gap, pad = gap+pad, 0
		}
		if text != "" {
			_, _ = b.WriteString(strings.Repeat(" ", gap))
			_, _ = b.WriteString(paint(text, row[i].Style, colours))
			gap = 0
		}
		gap += pad + columnGap
	}
	_ = b.WriteByte('\n')
}

// all gives the rows with the titles first.
func (t *Table) all() [][]Cell {
	if len(t.head) == 0 {
		return t.rows
	}
	head := make([]Cell, len(t.head))
	for i, h := range t.head {
		head[i] = Cell{Text: h, Style: Bold}
	}
	return append([][]Cell{head}, t.rows...)
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

// numeric says whether a cell is a number, perhaps with a unit. A sentence that
// begins with one is none.
func numeric(s string) bool {
	if s == "-" {
		return true
	}
	digits := strings.TrimPrefix(s, "-")
	return digits != "" && digits[0] >= '0' && digits[0] <= '9' && len(s) <= longestNumber
}

const longestNumber = 20
