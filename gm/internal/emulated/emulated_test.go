// Package emulated runs the tests of gm's primitives on processors that this machine is
// not, by QEMU's user emulation.
package emulated

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
)

// machine is a processor, what the tests must say they ran on it beside generic, by
// package, and what they must not.
type machine struct {
	arch, cpu string
	best      map[string]string
	not       string
}

// AVX-512 is beyond QEMU. gmsm's assembly, which is under SM2 and is the tests' peer, takes
// SSSE3 without asking, as all of amd64 has it but the oldest.
var machines = []machine{
	{arch: "arm64", not: "avx2"},
	{arch: "amd64", cpu: "qemu64,+ssse3", not: "avx2"},
	{arch: "amd64", cpu: "Haswell", best: map[string]string{"sm3": "avx2"}, not: "avx512"},
}

var emulators = map[string]string{"arm64": "qemu-aarch64-static", "amd64": "qemu-x86_64-static"}

// What tests of other programs, of times and of generators do has nothing to do with the
// processor; and that of chosen sums is of AVX-512.
const left = "OpenSSL|Botan|^TestTime|^TestGenerated|^TestChosenSums"

// The tests hold against the standards' vectors, and against gmsm, on each.
func TestEmulated(t *testing.T) {
	testkit.Select(t, "slow")
	dir := t.TempDir()
	for _, pkg := range []string{"sm2", "sm3", "sm4"} {
		built := map[string]string{}
		for _, m := range machines {
			if built[m.arch] == "" {
				built[m.arch] = filepath.Join(dir, m.arch+"."+pkg)
				build(t, m.arch, "test", "-c", "-o", built[m.arch], "../../"+pkg)
			}
			binary := built[m.arch]
			t.Run(strings.Trim(pkg+" "+m.arch+" "+m.cpu, " "), func(t *testing.T) {
				t.Parallel()
				m.run(t, binary, pkg)
			})
		}
	}
}

func (m machine) run(t *testing.T, binary, pkg string) {
	args := []string{binary, "-test.v", "-test.short", "-test.timeout=10m", "-test.skip=" + left}
	if m.cpu != "" {
		args = append([]string{"-cpu", m.cpu}, args...)
	}
	cmd := exec.Command(testkit.NeedTool(t, emulators[m.arch]), args...)
	cmd.Dir = "../../" + pkg // where the tests find their vectors
	cmd.Env = append(os.Environ(), testkit.SkipsEnv+"=", "GM_CPU=")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-4000):])
	}
	for _, l := range []string{"generic", m.best[pkg]} {
		if l != "" && !bytes.Contains(out, []byte("--- PASS: TestStandard/"+l)) {
			t.Errorf("the standard's vectors were not tried with %s", l)
		}
	}
	if bytes.Contains(out, []byte("/"+m.not)) {
		t.Errorf("the emulated processor has %s", m.not)
	}
}

// The whole of gm builds where nothing of it is in assembly.
func TestBuilds(t *testing.T) {
	testkit.Select(t, "slow")
	for _, arch := range []string{"riscv64", "loong64", "arm64"} {
		build(t, arch, "build", "../../...")
	}
}

// build runs go for another processor.
func build(t *testing.T, arch string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s for %s: %v\n%s", strings.Join(args, " "), arch, err, out)
	}
}
