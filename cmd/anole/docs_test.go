package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/cli"
)

// The committed reference is what `make docs` writes.
func TestReferenceIsUpToDate(t *testing.T) {
	dir := t.TempDir()
	var errs bytes.Buffer
	if code := cli.Run(t.Context(), []string{"gen", "docs", dir}, cli.Options{Out: &errs, Err: &errs}); code != 0 {
		t.Fatalf("exit %d: %s", code, &errs)
	}
	made := contents(t, dir)
	for name, text := range made {
		committed, err := os.ReadFile(filepath.Join("../../docs", name))
		if err != nil || string(committed) != text {
			t.Errorf("docs/%s is out of date (%v): run make docs", name, err)
		}
	}
	for name := range contents(t, "../../docs/cli") {
		if _, ok := made["cli/"+name]; !ok {
			t.Errorf("docs/cli/%s is of a command that is gone: remove it", name)
		}
	}
}

func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".md") {
			return err
		}
		b, err := os.ReadFile(filepath.Join(dir, name))
		out[name] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
