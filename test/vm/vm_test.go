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

	"github.com/anole-os/anole/internal/testkit"
)

// cache is where `scripts/vm.sh setup` puts things.
const cache = "../../.cache/vm"

// options are those of a small machine, with programs built here.
func options(t *testing.T, cgroup string) Options {
	t.Helper()
	testkit.Select(t, "vm")
	bin := t.TempDir()
	build := exec.Command("go", "build", "-o", bin, "./guest", "./exec", "./with")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return Options{Kernel: filepath.Join(cache, "6.1"), Busybox: filepath.Join(cache, "busybox"), Init: filepath.Join(bin, "guest"), Cgroup: cgroup}
}

// boot starts a machine.
func boot(t *testing.T, o Options) *VM {
	t.Helper()
	v, err := Boot(context.Background(), o)
	testkit.Need(t, err)
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
	v := boot(t, options(t, "v2"))
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

func TestOutputs(t *testing.T) {
	files, cover := outputs([]string{
		"-test.v", "-test.coverprofile=/a/b", "--test.trace=c", "-test.run=x", "-test.timeout=1m", "-test.outputdir=/o", "-test.gocoverdir=/g",
	}, "/pkg")
	if !slices.Equal(files, []string{"/a/b", "/o/c"}) || cover != "/g" {
		t.Error(files, cover)
	}
	if files, cover := outputs([]string{"-test.memprofile=m"}, "/pkg"); !slices.Equal(files, []string{"/pkg/m"}) || cover != "" {
		t.Error(files, cover)
	}
}
