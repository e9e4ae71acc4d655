package trace

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
)

// RowError is a row that the schema does not allow.
type RowError struct {
	File   string
	Line   int    // from 1
	Column string // "" where the row as a whole is wrong
	Value  string // what stands there, cut to a legible length
	Want   string
}

func (e *RowError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("%s:%d: %s, want %s", e.File, e.Line, e.Value, e.Want)
	}
	return fmt.Sprintf("%s:%d: %s %q: want %s", e.File, e.Line, e.Column, e.Value, e.Want)
}

// kind is what a column may hold.
type kind uint8

const (
	name    kind = iota // text that is not empty
	text                // any text
	whole               // an integer from 0
	number              // a number from 0
	percent             // 0 to 100; -1, 101 and empty are missing
	measure             // any number from 0; -1 and empty are missing
	load                // measure where 101 is missing too
	moment              // an integer from 0; empty is missing
)

var wants = [...]string{
	name: "a name", text: "text", whole: "an integer from 0", number: "a number from 0",
	percent: "a number from 0 to 100, or -1, 101 or nothing where it is missing",
	measure: "a number from 0, or -1 or nothing where it is missing",
	load:    "a number from 0, or -1, 101 or nothing where it is missing",
	moment:  "seconds as an integer from 0, or nothing where it is missing",
}

// column is one of a table.
type column struct {
	name string
	kind kind
}

// table is one of the six.
type table struct {
	name    string
	columns []column
}

// longest is the most bytes of a row.
const longest = 64 << 10

// rows reads a table.
type rows struct {
	table  *table
	file   string
	line   int
	in     *bufio.Reader
	fields [][]byte
	value  []float64 // by column; NaN is missing
}

func newRows(t *table, file string, r io.Reader) *rows {
	return &rows{
		table: t, file: file, in: bufio.NewReaderSize(r, longest),
		fields: make([][]byte, 0, len(t.columns)+1), value: make([]float64, len(t.columns)),
	}
}

// next reads a row into fields and value, which hold until the next call. The
// error is io.EOF at the end.
func (r *rows) next() error {
	line, err := r.in.ReadSlice('\n')
	r.line++
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return &RowError{r.file, r.line, "", "a row of more than 64 KiB", "a shorter one"}
	case errors.Is(err, io.EOF) && len(line) == 0:
		return io.EOF
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read %s, line %d: %w", r.file, r.line, err)
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
	r.fields = r.fields[:0]
	for {
		field, rest, more := bytes.Cut(line, []byte{','})
		r.fields = append(r.fields, field)
		if line = rest; !more || len(r.fields) > len(r.table.columns) {
			break
		}
	}
	return r.check()
}

func (r *rows) check() error {
	if got, want := len(r.fields), len(r.table.columns); got != want {
		said := fmt.Sprintf("%d fields", got)
		if got > want {
			said = fmt.Sprintf("more than %d fields", want)
		}
		return &RowError{r.file, r.line, "", said, fmt.Sprintf("the %d of %s: %s", want, r.table.name, r.table.list())}
	}
	for i := range r.table.columns {
		c := &r.table.columns[i]
		v, ok := c.kind.parse(r.fields[i])
		if !ok {
			return r.bad(i, wants[c.kind])
		}
		r.value[i] = v
	}
	return nil
}

// bad is the error for a column of this row.
func (r *rows) bad(i int, want string) error {
	v := r.fields[i]
	if len(v) > 80 {
		v = v[:80]
	}
	return &RowError{r.file, r.line, r.table.columns[i].name, string(v), want}
}

func (t *table) list() string {
	var b bytes.Buffer
	for i, c := range t.columns {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(c.name)
	}
	return b.String()
}

var missing = math.NaN()

// parse reads a field; missing values are NaN.
func (k kind) parse(b []byte) (v float64, ok bool) {
	switch {
	case k == name:
		return missing, len(b) > 0 && len(b) <= 256 && printable(b)
	case k == text:
		return missing, printable(b)
	case len(b) == 0:
		return missing, k != whole && k != number
	case len(b) > 32:
		return 0, false
	}
	v, err := strconv.ParseFloat(string(b), 64) // no copy: the compiler sees that it does not stay
	if err != nil || math.IsNaN(v) || math.IsInf(v, 0) || v < -1 || v < 0 && v != -1 || v > most {
		return 0, false
	}
	switch k {
	case whole, moment:
		return v, v >= 0 && v == math.Trunc(v)
	case number:
		return v, v >= 0
	}
	if v == -1 || v == 101 && k != measure {
		return missing, true
	}
	return v, k != percent || v <= 100
}

// most bounds every number: seconds, percent and counts are far below.
const most = 1e12

func printable(b []byte) bool {
	for _, c := range b {
		if c < ' ' || c == 0x7f || c == '"' {
			return false
		}
	}
	return true
}
