package yamlx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	maxDepth = 64
	// maxNodes bounds what aliases may expand to: a short text of nested
	// aliases otherwise means any amount of memory.
	maxNodes = 100_000
)

// Doc is a parsed document whose nodes know where they come from. It is not
// changed by any method and may be shared.
type Doc struct {
	root *yaml.Node // a mapping, sequence or scalar; nil for an empty document
	path string
	file map[*yaml.Node]string
	name string
}

// Parse reads one document. Aliases are expanded; merge keys (<<), tags of
// one's own, and more than one document are refused.
func Parse(src []byte, file string) (*Doc, error) {
	d := &Doc{file: map[*yaml.Node]string{}, name: file}
	dec := yaml.NewDecoder(bytes.NewReader(src))
	var n yaml.Node
	err := dec.Decode(&n)
	if errors.Is(err, io.EOF) {
		return d, nil
	}
	if err != nil {
		return nil, syntaxError(err, file)
	}
	var second yaml.Node
	if err := dec.Decode(&second); err == nil {
		return nil, &Error{File: file, Line: max(second.Line, 1), Msg: "a second document begins here; one document a file"}
	} else if !errors.Is(err, io.EOF) {
		return nil, syntaxError(err, file)
	}
	if n.Kind != yaml.DocumentNode || len(n.Content) != 1 {
		return d, nil
	}
	x := expander{doc: d, file: file}
	root := x.expand(n.Content[0], 0, "")
	if len(x.errs) > 0 {
		return nil, join(x.errs)
	}
	if root.ShortTag() != "!!null" {
		d.root = root
	}
	return d, nil
}

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)`)

func syntaxError(err error, file string) error {
	e := &Error{File: file, Msg: err.Error()}
	if m := yamlLine.FindStringSubmatch(e.Msg); m != nil {
		e.Line, _ = strconv.Atoi(m[1])
		e.Msg = m[2]
	}
	return e
}

// expander copies a tree with its aliases resolved and finds what no type can
// make right.
type expander struct {
	doc   *Doc
	file  string
	nodes int
	full  bool
	errs  []*Error
}

func (x *expander) fail(n *yaml.Node, path, msg string) {
	x.errs = append(x.errs, &Error{File: x.file, Line: n.Line, Col: n.Column, Path: path, Msg: msg})
}

func (x *expander) expand(n *yaml.Node, depth int, path string) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil && depth <= maxDepth {
		return x.expand(n.Alias, depth+1, path)
	}
	x.nodes++
	c := &yaml.Node{Kind: n.Kind, Tag: n.Tag, Value: n.Value, Style: n.Style, Line: n.Line, Column: n.Column}
	x.doc.file[c] = x.file
	if x.full {
		return c
	}
	if depth > maxDepth || x.nodes > maxNodes {
		x.full = true
		x.fail(n, path, "nested too deep or too large")
		return c
	}
	switch n.Kind {
	case yaml.ScalarNode:
		c.Tag = n.ShortTag()
	case yaml.MappingNode:
		x.mapping(c, n, depth, path)
		return c
	}
	if !strings.HasPrefix(c.ShortTag(), "!!") {
		x.fail(n, path, fmt.Sprintf("unknown tag %s", n.Tag))
	}
	for i, child := range n.Content {
		c.Content = append(c.Content, x.expand(child, depth+1, fmt.Sprintf("%s[%d]", path, i)))
	}
	return c
}

func (x *expander) mapping(c, n *yaml.Node, depth int, path string) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		switch {
		case k.Kind != yaml.ScalarNode:
			x.fail(k, path, "a key must be a plain word")
			continue
		case k.ShortTag() == "!!merge":
			x.fail(k, path, "merge keys (<<) are not supported")
			continue
		}
		if line, ok := seen[k.Value]; ok {
			x.fail(k, path, fmt.Sprintf("key %q is given twice, first on line %d", k.Value, line))
			continue
		}
		seen[k.Value] = k.Line
		c.Content = append(c.Content, x.expand(k, depth+1, path), x.expand(n.Content[i+1], depth+1, dot(path, k.Value)))
	}
}

func dot(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// Merge lays over on top of base: mappings merge key by key, anything else is
// replaced. Errors name the file that a value came from.
func Merge(base, over *Doc) *Doc {
	d := &Doc{file: map[*yaml.Node]string{}, name: base.name, path: base.path}
	for _, m := range []map[*yaml.Node]string{base.file, over.file} {
		for n, f := range m {
			d.file[n] = f
		}
	}
	d.root = d.merge(base.root, over.root)
	return d
}

func (d *Doc) merge(a, b *yaml.Node) *yaml.Node {
	switch {
	case b == nil || b.ShortTag() == "!!null":
		return a
	case a == nil || a.Kind != yaml.MappingNode || b.Kind != yaml.MappingNode:
		return b
	}
	c := &yaml.Node{Kind: yaml.MappingNode, Tag: a.Tag, Line: a.Line, Column: a.Column}
	d.file[c] = d.file[a]
	c.Content = slices.Clone(a.Content)
	for i := 0; i < len(b.Content); i += 2 {
		if j := find(c, b.Content[i].Value); j >= 0 {
			v := d.merge(c.Content[j+1], b.Content[i+1])
			if v == b.Content[i+1] {
				c.Content[j] = b.Content[i]
			}
			c.Content[j+1] = v
			continue
		}
		c.Content = append(c.Content, b.Content[i], b.Content[i+1])
	}
	return c
}

// find gives the index of key in mapping n, or -1.
func find(n *yaml.Node, key string) int {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return i
		}
	}
	return -1
}

// Section gives the value of a top-level key as a document of its own; an
// absent one is empty.
func (d *Doc) Section(key string) *Doc {
	s := &Doc{file: d.file, name: d.name, path: dot(d.path, key)}
	if d.root != nil && d.root.Kind == yaml.MappingNode {
		if i := find(d.root, key); i >= 0 && d.root.Content[i+1].ShortTag() != "!!null" {
			s.root = d.root.Content[i+1]
		}
	}
	return s
}

// CheckKeys refuses top-level keys other than known ones.
func (d *Doc) CheckKeys(known ...string) error {
	if d.root == nil {
		return nil
	}
	x := &decoder{doc: d}
	if d.root.Kind != yaml.MappingNode {
		x.fail(d.root, d.path, "wants keys and values, got "+kindName(d.root))
		return join(x.errs)
	}
	for i := 0; i < len(d.root.Content); i += 2 {
		if k := d.root.Content[i]; !slices.Contains(known, k.Value) {
			x.fail(k, d.path, unknownKey(k.Value, known))
		}
	}
	return join(x.errs)
}

// Errorf makes an error that points at a top-level key of d, or at the file if
// the key is absent.
func (d *Doc) Errorf(key, format string, args ...any) error {
	e := &Error{File: d.name, Path: d.path, Msg: fmt.Sprintf(format, args...)}
	if d.root != nil && d.root.Kind == yaml.MappingNode {
		if i := find(d.root, key); i >= 0 {
			k := d.root.Content[i]
			e.File, e.Line, e.Col, e.Path = d.file[k], k.Line, k.Column, dot(d.path, key)
		}
	}
	return e
}

// Equal says whether a and b mean the same, whatever their order of keys,
// comments and style.
func Equal(a, b *Doc) bool { return canon(a.root) == canon(b.root) }

func canon(n *yaml.Node) string {
	if n == nil || n.ShortTag() == "!!null" {
		return "~"
	}
	switch n.Kind {
	case yaml.MappingNode:
		var parts []string
		for i := 0; i < len(n.Content); i += 2 {
			parts = append(parts, strconv.Quote(n.Content[i].Value)+":"+canon(n.Content[i+1]))
		}
		slices.Sort(parts)
		return "{" + strings.Join(parts, ",") + "}"
	case yaml.SequenceNode:
		parts := make([]string, len(n.Content))
		for i, c := range n.Content {
			parts[i] = canon(c)
		}
		return "[" + strings.Join(parts, ",") + "]"
	default:
		return n.ShortTag() + " " + strconv.Quote(n.Value)
	}
}
