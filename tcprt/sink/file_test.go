package sink

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Files stay within their bound, and together have the last lines, each once and
// whole.
func TestRotates(t *testing.T) {
	for _, keep := range []int{0, 1, 3} {
		path := filepath.Join(t.TempDir(), "deep", "x.jsonl")
		s, err := Open(path, 1000, keep)
		if err != nil {
			t.Fatal(err)
		}
		const n = 500
		for i := range n {
			if _, err := fmt.Fprintf(s, "line %d\n", i); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		all, err := filepath.Glob(path + "*")
		if err != nil || len(all) != keep+1 {
			t.Fatalf("%q, %v", all, err)
		}
		var text []byte
		for i := keep; i >= 0; i-- {
			name := path
			if i > 0 {
				name = fmt.Sprintf("%s.%d", path, i)
			}
			b, err := os.ReadFile(name)
			if err != nil || len(b) > 1000 || len(b) == 0 {
				t.Fatalf("%s: %d bytes, %v", name, len(b), err)
			}
			text = append(text, b...)
		}
		got := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
		for i, line := range got {
			if want := fmt.Sprintf("line %d", n-len(got)+i); line != want {
				t.Fatalf("keep %d: %q, want %q", keep, line, want)
			}
		}
	}
}

// A line that was cut off by a kill is gone when it is opened again, and what was
// whole is not.
func TestGoesOnAfterAKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, c := range []struct{ there, want string }{
		{"a\nb\nhalf a li", "a\nb\n"}, {"a\nb\n", "a\nb\n"}, {"half", ""}, {"", ""}, {strings.Repeat("x\n", 100_000) + strings.Repeat("y", 200_000), strings.Repeat("x\n", 100_000)},
	} {
		if err := os.WriteFile(path, []byte(c.there), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(path, 1<<20, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("new\n")); err != nil {
			t.Fatal(err)
		}
		_ = s.Close()
		if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, []byte(c.want+"new\n")) {
			t.Errorf("%d bytes, %v", len(b), err)
		}
	}
}

// Somebody else's rotation is followed: a file that was moved, removed or emptied. One
// batch that is bigger than a file is in several.
func TestFollows(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	s, err := Open(path, 100, 20)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put := func(text string) {
		t.Helper()
		if _, err := s.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	is := func(name, want string) {
		t.Helper()
		if b, err := os.ReadFile(name); err != nil || string(b) != want {
			t.Errorf("%s has %q, %v; want %q", name, b, err, want)
		}
	}
	put("a\n")
	if err := os.Rename(path, path+".moved"); err != nil {
		t.Fatal(err)
	}
	put("b\n")
	is(path+".moved", "a\n")
	is(path, "b\n")
	if err := os.Truncate(path, 0); err != nil { // as logrotate's copytruncate does
		t.Fatal(err)
	}
	put("c\n")
	is(path, "c\n")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	put("d\n")
	is(path, "d\n")
	put(strings.Repeat("0123456789abcdef\n", 60) + strings.Repeat("y", 300) + "\n")
	all, _ := filepath.Glob(path + "*")
	lines, long := 0, 0
	for _, name := range all {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines += strings.Count(string(b), "0123456789abcdef\n")
		if len(b) > 100 {
			if long++; string(b) != strings.Repeat("y", 300)+"\n" {
				t.Errorf("%s has %d bytes", name, len(b))
			}
		}
	}
	if lines != 60 || long != 1 {
		t.Errorf("%d lines, %d files that are too long", lines, long)
	}
}

// What is no file, or cannot be made, is said so.
func TestCannotOpen(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "file", "x"), "/dev/null"} {
		if s, err := Open(path, 100, 1); err == nil {
			t.Errorf("%s was opened: %+v", path, s)
		} else if !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not say which", err)
		}
	}
}
