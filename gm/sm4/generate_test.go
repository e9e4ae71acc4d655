package sm4

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is generated is what its generators write, byte for byte.
func TestGenerated(t *testing.T) {
	text, err := os.ReadFile("generate.go")
	if err != nil {
		t.Fatal(err)
	}
	script, err := filepath.Abs("../_asm/run.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, line := range regexp.MustCompile(`(?m)^//go:generate \S+ (.*)$`).FindAllStringSubmatch(string(text), -1) {
		cmd := exec.Command(script, strings.Fields(line[1])...)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", line[1], err, out)
		}
	}
	if out, err := exec.Command("go", "-C", "../_asm", "test", "./...").CombinedOutput(); err != nil {
		t.Errorf("tests of the generators: %v\n%s", err, out)
	}
	made, err := os.ReadDir(dir)
	if err != nil || len(made) != 3 {
		t.Fatalf("%d files, %v", len(made), err)
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
