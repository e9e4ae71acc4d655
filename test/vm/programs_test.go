package vm

import (
	"bytes"
	"debug/elf"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// A program comes with what it is linked with, whose files links of the package
// lead to.
func TestProgramsOfTheImage(t *testing.T) {
	const program = "/bin/sh"
	f, err := elf.Open(program)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	needs, err := f.ImportedLibraries()
	if err != nil || len(needs) == 0 {
		t.Fatalf("%s is linked with nothing (%v): the test wants another program", program, err)
	}
	root := t.TempDir()
	dir := filepath.Join(root, "usr", libraries)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	// Each library is a link to a file of another name, as packages have it; the
	// files are any that can be read as libraries.
	for _, n := range append(needs, interpreter(t, f), "libc.so.6") {
		_ = os.Remove(filepath.Join(dir, n))
		if err := os.Symlink("/usr/elsewhere/"+n+".1.2", filepath.Join(dir, n)); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile("/proc/self/exe") // static: it needs nothing more
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, n+".1.2"), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	s, err := openSystem(root)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	w := &archive{w: &out}
	if err := s.add(w, map[string]string{"opt/x/bin/sh": program}); err != nil {
		t.Fatal(err)
	}
	for _, n := range needs {
		if !bytes.Contains(out.Bytes(), []byte(path.Join(libraries, n)+"\x00")) {
			t.Errorf("%s is not in the image", n)
		}
	}
	for _, name := range []string{"opt/x/bin\x00", "opt/x/bin/sh\x00"} {
		if !bytes.Contains(out.Bytes(), []byte(name)) {
			t.Errorf("%q is not in the image", name)
		}
	}
	if err := os.Remove(filepath.Join(dir, needs[0])); err != nil {
		t.Fatal(err)
	}
	if s, err = openSystem(root); err != nil {
		t.Fatal(err)
	}
	if err := s.add(&archive{w: &out}, map[string]string{"bin/sh": program}); err == nil || !strings.Contains(err.Error(), needs[0]) {
		t.Errorf("without %s: %v", needs[0], err)
	}
}

// interpreter gives the base name of the dynamic linker.
func interpreter(t *testing.T, f *elf.File) string {
	t.Helper()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			b := make([]byte, p.Filesz-1)
			if _, err := p.ReadAt(b, 0); err != nil {
				t.Fatal(err)
			}
			return path.Base(string(b))
		}
	}
	t.Fatal("no interpreter")
	return ""
}
