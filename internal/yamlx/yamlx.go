// Package yamlx decodes configuration strictly.
//
// Every mistake is reported with file, line and column, all of them at once:
// an unknown key with the nearest valid one, a key given twice, a value of the
// wrong type, a second document. Quantities carry their unit in the type:
// Duration and Bytes.
//
// Struct fields are named by their `yaml` tag as in go.yaml.in/yaml/v3 (lower
// case of the field's name without one; "-" and ",inline" are understood), and
// described by a `doc` tag, which Encode writes as a comment.
package yamlx

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Error is one mistake in a file.
type Error struct {
	File      string
	Line, Col int    // from 1; Col is 0 where it is not known
	Path      string // the key it is about, such as "qos.loop.period"; may be empty
	Msg       string
}

func (e *Error) Error() string {
	at := e.File
	if e.Line > 0 {
		at = fmt.Sprintf("%s:%d", at, e.Line)
	}
	if e.Col > 0 {
		at = fmt.Sprintf("%s:%d", at, e.Col)
	}
	if e.Path != "" {
		at += ": " + e.Path
	}
	return at + ": " + e.Msg
}

// Decode decodes src into the value that into points to, whose present fields
// are the defaults. file is the name shown in errors. The error joins one
// *Error for each mistake, in the order of the file; into is then part filled
// and not to be used.
func Decode(src []byte, file string, into any) error {
	d, err := Parse(src, file)
	if err != nil {
		return err
	}
	return d.Decode(into)
}

func join(errs []*Error) error {
	slices.SortStableFunc(errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	out := make([]error, len(errs))
	for i, e := range errs {
		out[i] = e
	}
	return errors.Join(out...)
}
