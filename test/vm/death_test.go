package vm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

func TestMachinePanics(t *testing.T) {
	v := boot(t, options(t, "v1"))
	if out, _, _ := sh(t, v, "cat /sys/fs/cgroup/cpu/cpu.shares; stat -f -c %t /sys/fs/cgroup/unified"); out != "1024\n63677270\n" {
		t.Errorf("cgroup v1: %q", out)
	}
	_, err := v.Run(context.Background(), Program{Argv: []string{"/bin/sh", "-c", "echo c >/proc/sysrq-trigger"}})
	if err == nil || !strings.Contains(err.Error(), "sysrq triggered crash") {
		t.Errorf("a machine that panicked: %v", err)
	}
	if _, again := v.Get(context.Background(), "/init"); again == nil || !errors.Is(err, again) {
		t.Errorf("asked again: %v", again)
	}
}

func TestMachineHangs(t *testing.T) {
	o := options(t, "v2")
	o.Silence = 3 * time.Second
	v := boot(t, o)
	if err := v.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	_, err := v.Run(context.Background(), Program{Argv: []string{"/bin/true"}})
	if err == nil || !strings.Contains(err.Error(), "no heartbeat for 3s") {
		t.Errorf("a machine that stands still: %v", err)
	}
}

// A ^C, and the death of who booted it, end the machine.
func TestMachineEndsWithUs(t *testing.T) {
	o := options(t, "v2")
	for _, sig := range []os.Signal{os.Interrupt, os.Kill} {
		t.Run(sig.String(), func(t *testing.T) {
			tmp := testkit.SocketDir(t)
			bin := filepath.Dir(o.Init)
			cmd := exec.Command(filepath.Join(bin, "with"), "-kernel", "6.1", "-dir", cache, "-init", o.Init, "--",
				filepath.Join(bin, "exec"), filepath.Join(cache, "busybox"), "sh", "-c", "echo up; sleep 1000")
			cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line := make([]byte, 3)
			if _, err := out.Read(line); err != nil || string(line) != "up\n" {
				t.Fatalf("%q, %v", line, err)
			}
			pid := qemu(t, tmp)
			if pid == 0 {
				t.Fatal("no QEMU runs")
			}
			if err := cmd.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			for end := time.Now().Add(30 * time.Second); qemu(t, tmp) != 0; time.Sleep(20 * time.Millisecond) {
				if time.Now().After(end) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					t.Fatal("QEMU lives on")
				}
			}
		})
	}
}

// qemu finds the process that has dir among its arguments.
func qemu(t *testing.T, dir string) int {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range all {
		if b, err := os.ReadFile(path); err == nil && bytes.HasPrefix(b, []byte("qemu-system")) && bytes.Contains(b, []byte(dir)) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			return pid
		}
	}
	return 0
}

func TestLack(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	kernel := t.TempDir()
	if err := errors.Join(os.MkdirAll(filepath.Join(kernel, "lib/modules"), 0o755), os.WriteFile(filepath.Join(kernel, "vmlinuz"), nil, 0o644)); err != nil {
		t.Fatal(err)
	}
	good := Options{Kernel: kernel, Busybox: file, Init: file, QEMU: file}
	for what, c := range map[string]struct {
		o      func(*Options)
		reason feature.Reason
		need   string
	}{
		"QEMU":    {func(o *Options) { o.QEMU = "no-such-qemu" }, feature.NoPeer, "no-such-qemu"},
		"kernel":  {func(o *Options) { o.Kernel = "/nowhere" }, feature.NoPeer, "/nowhere/vmlinuz"},
		"busybox": {func(o *Options) { o.Busybox = "/nowhere/b" }, feature.NoPeer, "/nowhere/b"},
		"memory":  {func(o *Options) { o.Memory = 1 << 30 }, feature.NoHardware, "MiB of memory"},
	} {
		o := good
		c.o(&o)
		_, err := Boot(context.Background(), o)
		var u *feature.UnsupportedError
		if !errors.As(err, &u) || u.Reason != c.reason || !strings.Contains(u.Need, c.need) || u.Fix == "" {
			t.Errorf("without %s: %v", what, err)
		}
	}
}

func TestAvailable(t *testing.T) {
	if mib, ok := available("MemTotal: 10 kB\nMemAvailable:   2097152 kB\n"); !ok || mib != 2048 {
		t.Error(mib, ok)
	}
	for _, s := range []string{"", "MemAvailable: x kB\n", "MemFree: 3 kB\n"} {
		if mib, ok := available(s); ok {
			t.Errorf("%q has %d MiB", s, mib)
		}
	}
}

func TestAccelerator(t *testing.T) {
	testkit.Select(t, "vm")
	qemu := testkit.NeedTool(t, "qemu-system-x86_64")
	if err := try(context.Background(), qemu, "tcg", time.Minute); err != nil {
		t.Errorf("the counting program: %v", err)
	}
	if err := try(context.Background(), "/bin/true", "tcg", time.Minute); err == nil {
		t.Error("a QEMU that ends at once counted")
	}
	t.Setenv(AccelEnv, "")
	if got := Accelerator(context.Background(), "/bin/false"); got != "tcg" {
		t.Errorf("a QEMU that fails with KVM gives %q", got)
	}
	t.Setenv(AccelEnv, "as said")
	if got := Accelerator(context.Background(), "/bin/false"); got != "as said" {
		t.Error(got)
	}
}
