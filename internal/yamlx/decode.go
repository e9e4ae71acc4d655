package yamlx

import (
	"encoding"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Decode is the package's Decode on a parsed document.
func (d *Doc) Decode(into any) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return fmt.Errorf("decode %s: into must be a pointer, not %T", d.name, into)
	}
	if d.root == nil {
		return nil
	}
	x := &decoder{doc: d}
	x.value(d.root, v.Elem(), d.path, "")
	return join(x.errs)
}

type decoder struct {
	doc  *Doc
	errs []*Error
}

func (x *decoder) fail(n *yaml.Node, path, msg string) {
	file, ok := x.doc.file[n]
	if !ok {
		file = x.doc.name
	}
	x.errs = append(x.errs, &Error{File: file, Line: n.Line, Col: n.Column, Path: path, Msg: msg})
}

func (x *decoder) failf(n *yaml.Node, path, format string, args ...any) {
	x.fail(n, path, fmt.Sprintf(format, args...))
}

func (x *decoder) value(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		switch v.Kind() {
		case reflect.Struct, reflect.Map, reflect.Slice, reflect.Pointer, reflect.Interface:
			return // a key without a value keeps the default
		}
		x.fail(n, path, "has no value")
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		x.value(n, v.Elem(), path, tag)
		return
	}
	if x.custom(n, v, path, tag) {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		x.structure(n, v, path)
	case reflect.Map:
		x.mapping(n, v, path)
	case reflect.Slice, reflect.Array:
		x.sequence(n, v, path)
	case reflect.Interface:
		var a any
		if err := n.Decode(&a); err != nil {
			x.fail(n, path, trimYAML(err))
			return
		}
		if a != nil {
			v.Set(reflect.ValueOf(a))
		}
	default:
		x.scalar(n, v, path)
	}
}

var (
	durationType    = reflect.TypeFor[Duration]()
	stdDurationType = reflect.TypeFor[time.Duration]()
)

// custom decodes types that know how to decode themselves.
func (x *decoder) custom(n *yaml.Node, v reflect.Value, path string, tag reflect.StructTag) bool {
	if t := v.Type(); t == durationType || t == stdDurationType {
		d, err := scalarDuration(n)
		if err == nil && d < 0 && tag.Get("negative") != "allow" {
			err = errNegative(d)
		}
		if err != nil {
			x.fail(n, path, err.Error())
		}
		v.SetInt(int64(d))
		return true
	}
	if !v.CanAddr() {
		return false
	}
	switch u := v.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		if err := u.UnmarshalYAML(n); err != nil {
			x.fail(n, path, trimYAML(err))
		}
		return true
	case encoding.TextUnmarshaler:
		if n.Kind != yaml.ScalarNode {
			x.fail(n, path, "wants one value, got "+kindName(n))
		} else if err := u.UnmarshalText([]byte(n.Value)); err != nil {
			x.fail(n, path, err.Error())
		}
		return true
	case *yaml.Node:
		*u = *n
		return true
	}
	return false
}

func trimYAML(err error) string { return strings.TrimPrefix(err.Error(), "yaml: ") }

func (x *decoder) structure(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		x.fail(n, path, "wants keys and values, got "+kindName(n))
		return
	}
	fields := fieldsOf(v.Type())
	for i := 0; i < len(n.Content); i += 2 {
		k := n.Content[i]
		f, ok := fields.byKey(k.Value)
		if !ok {
			x.fail(k, path, unknownKey(k.Value, fields.keys()))
			continue
		}
		x.value(n.Content[i+1], v.FieldByIndex(f.index), dot(path, k.Value), f.tag)
	}
}

func (x *decoder) mapping(n *yaml.Node, v reflect.Value, path string) {
	t := v.Type()
	if n.Kind != yaml.MappingNode {
		x.fail(n, path, "wants keys and values, got "+kindName(n))
		return
	}
	if v.IsNil() {
		v.Set(reflect.MakeMap(t))
	}
	for i := 0; i < len(n.Content); i += 2 {
		k, errs := reflect.New(t.Key()).Elem(), len(x.errs)
		x.value(n.Content[i], k, path, "")
		e := reflect.New(t.Elem()).Elem()
		x.value(n.Content[i+1], e, dot(path, n.Content[i].Value), "")
		if len(x.errs) == errs {
			v.SetMapIndex(k, e)
		}
	}
}

func (x *decoder) sequence(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.SequenceNode {
		x.fail(n, path, "wants a list, got "+kindName(n))
		return
	}
	if v.Kind() == reflect.Array {
		if len(n.Content) != v.Len() {
			x.failf(n, path, "wants a list of %d, got %d", v.Len(), len(n.Content))
			return
		}
	} else {
		v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	}
	for i, c := range n.Content {
		x.value(c, v.Index(i), fmt.Sprintf("%s[%d]", path, i), "")
	}
}

func (x *decoder) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		x.failf(n, path, "wants %s, got %s", typeName(v.Kind()), kindName(n))
		return
	}
	bad := func() { x.failf(n, path, "wants %s, got %s", typeName(v.Kind()), kindName(n)) }
	text := strings.ReplaceAll(n.Value, "_", "")
	switch v.Kind() {
	case reflect.String:
		// A number or a date is as good as the text it was written with; true
		// and false are a mistake more often than a name.
		if n.Tag == "!!bool" {
			bad()
			return
		}
		v.SetString(n.Value)
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if n.Tag != "!!bool" || err != nil {
			bad()
			return
		}
		v.SetBool(b)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		i, err := strconv.ParseInt(text, 0, 64)
		switch {
		case n.Tag != "!!int":
			bad()
		case err != nil, v.OverflowInt(i):
			x.failf(n, path, "%s is out of range", n.Value)
		default:
			v.SetInt(i)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		u, err := strconv.ParseUint(text, 0, 64)
		switch {
		case n.Tag != "!!int":
			bad()
		case err != nil, v.OverflowUint(u):
			x.failf(n, path, "%s is out of range", n.Value)
		default:
			v.SetUint(u)
		}
	case reflect.Float32, reflect.Float64:
		if n.Tag != "!!int" && n.Tag != "!!float" {
			bad()
			return
		}
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || v.OverflowFloat(f) {
			x.failf(n, path, "wants a finite number, got %s", n.Value)
			return
		}
		v.SetFloat(f)
	default:
		x.failf(n, path, "cannot hold a configuration value (%s)", v.Type())
	}
}

func typeName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number, not negative"
	default:
		return "a whole number"
	}
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return n.Value + " (quote it to mean the word)"
	case "!!int", "!!float":
		return "the number " + n.Value
	default:
		return strconv.Quote(n.Value)
	}
}
