// SPDX-License-Identifier: Apache-2.0

package testkit

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

// BPFRemade checks, in the folder of a BPF program, that the committed object and
// Go code are what `go generate` makes of gen.go, kernel.h and <name>.bpf.c, byte
// for byte.
func BPFRemade(t *testing.T, name string) {
	t.Helper()
	for _, tool := range []string{"clang-14", "llvm-strip-14", "go"} {
		if _, err := exec.LookPath(tool); err != nil {
			Need(t, &feature.UnsupportedError{Feature: "remaking bpf objects", Reason: feature.NoPeer, Need: tool, Err: err})
		}
	}
	if _, err := os.Stat("/usr/include/bpf/bpf_helpers.h"); err != nil {
		Need(t, &feature.UnsupportedError{Feature: "remaking bpf objects", Reason: feature.NoPeer, Need: "libbpf-dev", Err: err})
	}
	dir := t.TempDir()
	headers, err := filepath.Glob("*.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(headers, "gen.go", name+".bpf.c") {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	generate(t, dir)
	for _, file := range []string{name + "_bpfel.go", name + "_bpfel.o"} {
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what go generate makes: run it and commit the result", file)
		}
	}
}

// generate runs the command of the go:generate line in gen.go, from inside the
// module (for its version of bpf2go), on the sources in dir.
func generate(t *testing.T, dir string) {
	t.Helper()
	src, err := os.ReadFile("gen.go")
	if err != nil {
		t.Fatal(err)
	}
	_, line, ok := strings.Cut(string(src), "//go:generate go run github.com/cilium/ebpf/cmd/bpf2go ")
	if !ok {
		t.Fatal("gen.go has no go:generate line for bpf2go")
	}
	line, _, _ = strings.Cut(line, "\n")
	tool := filepath.Join(t.TempDir(), "bpf2go")
	if out, err := exec.Command("go", "build", "-o", tool, "github.com/cilium/ebpf/cmd/bpf2go").CombinedOutput(); err != nil {
		t.Fatalf("build bpf2go: %v\n%s", err, out)
	}
	cmd := exec.Command("sh", "-c", tool+" "+line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOPACKAGE=bpf", "PWD="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("generate: %v\n%s", err, out)
	}
}

// BPFLoaders checks that every little-endian platform that Go and the kernel's BPF
// share has a loader of the program.
func BPFLoaders(t *testing.T, name string) {
	t.Helper()
	b, err := os.ReadFile(name + "_bpfel.go")
	if err != nil {
		t.Fatal(err)
	}
	_, tags, _ := strings.Cut(string(b), "//go:build ")
	tags, _, _ = strings.Cut(tags, "\n")
	have := strings.Split(tags, " || ")
	for _, arch := range []string{"amd64", "arm64", "riscv64", "loong64"} {
		if !slices.Contains(have, arch) {
			t.Errorf("%s is not in %q", arch, tags)
		}
	}
}
