// Package archtest holds the tree to its laws: who may import whom, where raw
// system calls live, and how large a file may grow. The laws are data in
// law.go; the check reads source files only, so it takes well under a second.
package archtest

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Violation is one breach of a law.
type Violation struct {
	Pos string // file:line, relative to the tree
	Law string
}

func (v Violation) String() string { return v.Pos + ": " + v.Law }

// Check reads the Go tree at root, whose module path is module, and gives its
// violations in the order of files.
func Check(root, module string, law Law) ([]Violation, error) {
	c := &checker{root: root, module: module, law: law, docs: map[string]bool{}, fset: token.NewFileSet()}
	err := filepath.WalkDir(root, c.visit)
	if err != nil {
		return nil, fmt.Errorf("read source tree: %w", err)
	}
	for dir, ok := range c.docs {
		if !ok {
			c.found = append(c.found, Violation{dir, "the package has no comment"})
		}
	}
	slices.SortFunc(c.found, func(a, b Violation) int { return strings.Compare(a.String(), b.String()) })
	return c.found, nil
}

type checker struct {
	root, module string
	law          Law
	fset         *token.FileSet
	docs         map[string]bool // directory → some file has a package comment
	found        []Violation
}

func (c *checker) visit(name string, d fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	base := d.Name()
	if d.IsDir() {
		if name != c.root && (strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "testdata" || base == "node_modules") {
			return filepath.SkipDir
		}
		return nil
	}
	if !strings.HasSuffix(base, ".go") || strings.HasPrefix(base, "_") || strings.HasPrefix(base, ".") {
		return nil
	}
	rel, err := filepath.Rel(c.root, name)
	if err != nil {
		return err
	}
	return c.file(name, filepath.ToSlash(rel))
}

func (c *checker) file(name, rel string) error {
	src, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(c.fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir, test := path.Dir(rel), strings.HasSuffix(rel, "_test.go")
	if !test {
		c.docs[dir] = c.docs[dir] || f.Doc != nil
	}
	if lines := strings.Count(string(src), "\n"); lines > c.law.MaxLines && !ast.IsGenerated(f) {
		c.report(rel, 1, fmt.Sprintf("%d lines, at most %d", lines, c.law.MaxLines))
	}
	names := c.imports(f, rel, dir, test)
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			c.call(call, names, rel, dir, test)
		}
		return true
	})
	return nil
}

func (c *checker) report(rel string, line int, law string) {
	c.found = append(c.found, Violation{fmt.Sprintf("%s:%d", rel, line), law})
}

func (c *checker) line(p token.Pos) int { return c.fset.Position(p).Line }

// imports checks a file's imports and gives the paths by the names they have
// in it.
func (c *checker) imports(f *ast.File, rel, dir string, test bool) map[string]string {
	names := map[string]string{}
	from := c.law.floor(dir)
	if from == nil {
		c.report(rel, 1, "the folder is on no floor of the house; name it in internal/archtest/law.go")
	}
	for _, spec := range f.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
		line := c.line(spec.Pos())
		if p == "C" {
			c.report(rel, line, "cgo is not used")
		}
		if from == nil {
			continue
		}
		// A test may set its package up with anything.
		if !test {
			c.outside(from, rel, dir, line, p)
		}
		if in, ok := strings.CutPrefix(p, c.module+"/"); ok && !test {
			c.inside(from, rel, dir, line, in)
		}
	}
	return names
}

// outside checks an import of another module.
func (c *checker) outside(from *Floor, rel, dir string, line int, p string) {
	for _, ban := range from.Bans {
		if strings.HasPrefix(p, ban) {
			c.report(rel, line, fmt.Sprintf("%s (%s) must not import %s", dir, from.Name, p))
		}
	}
}

// inside checks an import of another package of this module.
func (c *checker) inside(from *Floor, rel, dir string, line int, in string) {
	to := c.law.floor(in)
	if to == nil || from.rank > to.rank {
		return
	}
	if from.Name == to.Name {
		a, b := room(dir), room(in)
		if from.Free || a == b || slices.Contains(c.law.Rooms[a], b) || slices.Contains(c.law.Rooms["*"], b) {
			return
		}
	}
	c.report(rel, line, fmt.Sprintf("%s (%s) must not import %s (%s)", dir, from.Name, in, to.Name))
}

// room is the first element of a package's path.
func room(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// call checks raw system calls and skips without a typed reason.
func (c *checker) call(call *ast.CallExpr, names map[string]string, rel, dir string, test bool) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return
	}
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return
	}
	switch p := names[x.Name]; {
	case (p == "syscall" || p == "golang.org/x/sys/unix") && strings.Contains(sel.Sel.Name, "Syscall") && !within(dir, c.law.Syscalls):
		c.report(rel, c.line(call.Pos()), fmt.Sprintf("raw system call %s.%s outside %s", x.Name, sel.Sel.Name, c.law.Syscalls))
	case test && p == "" && strings.HasPrefix(sel.Sel.Name, "Skip") && len(x.Name) <= 2 && !within(dir, c.law.Skips):
		c.report(rel, c.line(call.Pos()), "a test skips through "+c.law.Skips+" with a typed reason only")
	}
}

func within(dir, parent string) bool { return dir == parent || strings.HasPrefix(dir, parent+"/") }
