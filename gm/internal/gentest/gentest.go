// Package gentest checks what is generated of a package of gm's.
package gentest

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Check runs what generate.go of the test's package asks for in another directory: the
// files must be those that are committed, byte for byte, and so many.
func Check(t *testing.T, files int) {
	t.Helper()
	text, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, line := range regexp.MustCompile(`(?m)^//go:generate (\S+) (.*)$`).FindAllStringSubmatch(string(text), -1) {
		script, err := filepath.Abs(line[1])
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(script, strings.Fields(line[2])...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line[2], err, out)
		}
	}
	made, err := os.ReadDir(dir)
	if err != nil || len(made) != files {
		t.Fatalf("%d files, want %d; %v", len(made), files, err)
	}
	for _, f := range made {
		want, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(f.Name()); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what its generator writes (%v): run make generate", f.Name(), err)
		}
	}
}
