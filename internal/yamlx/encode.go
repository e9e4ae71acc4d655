package yamlx

import (
	"bytes"
	"encoding"
	"fmt"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Section is one top-level key of a file that Encode writes.
type Section struct {
	Key, Doc string
	Value    any
}

// Encode writes a file of sections, each key under a comment from its `doc`
// tag, such that Decode gives the same values back.
func Encode(sections ...Section) ([]byte, error) {
	root := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, s := range sections {
		v, err := toNode(reflect.ValueOf(s.Value))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", s.Key, err)
		}
		root.Content = append(root.Content, keyNode(s.Key, s.Doc), v)
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(root); err != nil {
		return nil, fmt.Errorf("encode configuration: %w", err)
	}
	return b.Bytes(), nil
}

func keyNode(key, doc string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}
	if doc != "" {
		n.HeadComment = "# " + strings.ReplaceAll(doc, "\n", "\n# ")
	}
	return n
}

func toNode(v reflect.Value) (*yaml.Node, error) {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"}, nil
		}
		v = v.Elem()
	}
	n := &yaml.Node{}
	switch v.Interface().(type) {
	case yaml.Marshaler, encoding.TextMarshaler, yaml.Node:
		return n, n.Encode(v.Interface())
	}
	switch v.Kind() {
	case reflect.Struct:
		return structNode(v)
	case reflect.Slice, reflect.Array:
		n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		if v.Len() == 0 {
			n.Style = yaml.FlowStyle
		}
		for i := range v.Len() {
			c, err := toNode(v.Index(i))
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, c)
		}
		return n, nil
	}
	return n, n.Encode(v.Interface())
}

func structNode(v reflect.Value) (*yaml.Node, error) {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, f := range fieldsOf(v.Type()) {
		fv := v.FieldByIndex(f.index)
		if f.omitEmpty && fv.IsZero() || fv.Kind() == reflect.Pointer && fv.IsNil() {
			continue
		}
		c, err := toNode(fv)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.key, err)
		}
		n.Content = append(n.Content, keyNode(f.key, f.tag.Get("doc")), c)
	}
	return n, nil
}

// Key describes one configuration key, for reference documents.
type Key struct {
	Path, Type, Default, Doc string
}

// Keys lists the keys of a configuration struct below prefix, with the values
// that v holds as defaults. Structs are entered, lists and maps are one key.
func Keys(prefix string, v any) []Key {
	return keys(nil, prefix, reflect.Indirect(reflect.ValueOf(v)))
}

func keys(out []Key, prefix string, v reflect.Value) []Key {
	if v.Kind() != reflect.Struct {
		return out
	}
	for _, f := range fieldsOf(v.Type()) {
		fv, path := v.FieldByIndex(f.index), dot(prefix, f.key)
		_, text := fv.Interface().(encoding.TextMarshaler)
		if fv.Kind() == reflect.Struct && !text {
			out = keys(out, path, fv)
			continue
		}
		k := Key{Path: path, Type: keyType(fv.Type()), Doc: f.tag.Get("doc")}
		if n, err := toNode(fv); err == nil {
			n.Style = yaml.FlowStyle
			b, _ := yaml.Marshal(n)
			k.Default = strings.TrimSpace(string(b))
		}
		out = append(out, k)
	}
	return out
}

func keyType(t reflect.Type) string {
	switch {
	case t == durationType || t == stdDurationType:
		return "duration"
	case t == reflect.TypeFor[Bytes]():
		return "size"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return keyType(t.Elem())
	case reflect.Slice, reflect.Array:
		return "list of " + keyType(t.Elem())
	case reflect.Map:
		return "map of " + keyType(t.Elem())
	case reflect.String:
		return "text"
	case reflect.Bool:
		return "bool"
	case reflect.Float32, reflect.Float64:
		return "number"
	case reflect.Struct:
		return "keys"
	default:
		return "integer"
	}
}
