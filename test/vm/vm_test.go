package vm

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// boot starts a machine with what `scripts/vm.sh setup` fetched.
func boot(t *testing.T, cgroup string) *VM {
	t.Helper()
	testkit.Select(t, "vm")
	dir := "../../.cache/vm"
	if _, err := os.Stat(filepath.Join(dir, "6.1/vmlinuz")); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "virtual machine", Reason: feature.NoPeer, Need: "QEMU and a kernel", Fix: "scripts/vm.sh setup", Err: err})
	}
	init := filepath.Join(t.TempDir(), "guest")
	build := exec.Command("go", "build", "-o", init, "./guest")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	v, err := Boot(context.Background(), Options{
		Kernel: filepath.Join(dir, "6.1"), Busybox: filepath.Join(dir, "busybox"), Init: init, Cgroup: cgroup,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func sh(t *testing.T, v *VM, script string) (stdout, stderr string, code int) {
	t.Helper()
	var out, errs bytes.Buffer
	code, err := v.Run(context.Background(), Program{
		Argv: []string{"/bin/sh", "-c", script}, Env: []string{"PATH=/bin"}, Dir: "/tmp", Stdout: &out, Stderr: &errs,
	})
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return out.String(), errs.String(), code
}

func TestMachine(t *testing.T) {
	v := boot(t, "v2")
	if !strings.HasPrefix(v.Release, "6.1.") {
		t.Errorf("release %q", v.Release)
	}
	ctx := context.Background()
	data := bytes.Repeat([]byte{0, 1, 0xff, '\n'}, 1<<20)
	if err := v.Put(ctx, "/tmp/a/b", 0o755, data); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Get(ctx, "/tmp/a/b"); err != nil || !bytes.Equal(got, data) {
		t.Errorf("4 MiB came back as %d bytes, %v", len(got), err)
	}
	if _, err := v.Get(ctx, "/nowhere"); err == nil {
		t.Error("a file that is not there was read")
	}
	for _, c := range []struct {
		script, stdout, stderr string
		code                   int
	}{
		{"echo out; echo err >&2; exit 3", "out\n", "err\n", 3},
		{"kill -9 $$", "", "", 137},
		{"uname -r", v.Release + "\n", "", 0},
		{"stat -f -c %t /sys/fs/cgroup", "63677270\n", "", 0},
		{"(sleep 0.1 &) ; cat /proc/1/comm", "init\n", "", 0},
		{"ping -c 1 127.0.0.1 >/dev/null", "", "", 0},
	} {
		out, errs, code := sh(t, v, c.script)
		if out != c.stdout || errs != c.stderr || code != c.code {
			t.Errorf("%s: %q, %q, %d", c.script, out, errs, code)
		}
	}
	// Orphans are collected while a program runs, not after it.
	out, _, _ := sh(t, v, "(sleep 0.05 & echo $! >/tmp/orphan) ; sleep 1; p=$(cat /tmp/orphan); [ -e /proc/$p ] && cat /proc/$p/status; true")
	if out != "" {
		t.Errorf("an orphan was left a zombie:\n%s", out)
	}
	if code, err := v.Run(ctx, Program{Argv: []string{"/no/such"}}); err == nil {
		t.Errorf("a program that is not there gave %d", code)
	}
	short, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
	defer cancel()
	if _, err := v.Run(short, Program{Argv: []string{"/bin/sleep", "100"}}); err == nil {
		t.Error("a run outlived its context")
	}
}

func TestMachineDies(t *testing.T) {
	v := boot(t, "v1")
	if out, _, _ := sh(t, v, "cat /sys/fs/cgroup/cpu/cpu.shares; stat -f -c %t /sys/fs/cgroup/unified"); out != "1024\n63677270\n" {
		t.Errorf("cgroup v1: %q", out)
	}
	_, err := v.Run(context.Background(), Program{Argv: []string{"/bin/sh", "-c", "echo c >/proc/sysrq-trigger"}})
	if err == nil || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("a machine that panicked: %v", err)
	}
}

func TestOutputs(t *testing.T) {
	got := outputs([]string{"-test.v", "-test.coverprofile=/a/b", "--test.trace=c", "-test.run=x", "-test.timeout=1m"})
	if !slices.Equal(got, []string{"/a/b", "c"}) {
		t.Error(got)
	}
}
