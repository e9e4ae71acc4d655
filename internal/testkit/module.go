package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// Guest says whether this is a virtual machine of test/vm, where a test may do
// to the kernel what it likes.
func Guest() bool {
	b, err := os.ReadFile("/proc/cmdline")
	return err == nil && strings.Contains(string(b), " anole.cgroup=")
}

// Module has the kernel's module of this name, as "null_blk", loaded with
// parameters as "nr_devices=1", and what it needs; test/vm lists what there is.
// It stays loaded, and is loaded anew for a test that wants other parameters. On
// a host nothing is loaded: there the test skips, unless the kernel has the
// module loaded or built in already and tells so, which not all kernels do.
func Module(t testing.TB, name string, parameters ...string) {
	t.Helper()
	there := present("/", name)
	switch {
	case there && (!Guest() || tuned("/", name, parameters)):
		return
	case !Guest():
		Need(t, &feature.UnsupportedError{
			Feature: "kernel module " + name, Reason: feature.NoKernel, Need: "a kernel that has it loaded or built in",
			Fix: "run the test in a virtual machine: scripts/vm.sh test ./" + folder,
		})
	case there:
		modprobe(t, "-r", name)
	}
	modprobe(t, append([]string{name}, parameters...)...)
}

func modprobe(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command("/sbin/modprobe", args...).CombinedOutput(); err != nil {
		t.Fatalf("modprobe %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// tuned says whether a module that is there has the parameters.
func tuned(root, name string, parameters []string) bool {
	for _, p := range parameters {
		key, want, _ := strings.Cut(p, "=")
		b, err := os.ReadFile(filepath.Join(root, "sys/module", name, "parameters", key))
		if err != nil || truth(strings.TrimSpace(string(b))) != truth(want) {
			return false
		}
	}
	return true
}

// truth has the kernel's "Y" and "N" as the numbers that they are set with.
func truth(value string) string {
	switch value {
	case "Y", "y":
		return "1"
	case "N", "n":
		return "0"
	}
	return value
}

// present says whether a kernel tells that it has a module.
func present(root, name string) bool {
	if _, err := os.Stat(filepath.Join(root, "sys/module", name)); err == nil {
		return true
	}
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	b, err := os.ReadFile(filepath.Join(root, "lib/modules", unix.ByteSliceToString(u.Release[:]), "modules.builtin"))
	if err != nil {
		return false
	}
	for path := range strings.Lines(string(b)) {
		file := strings.TrimSuffix(filepath.Base(strings.TrimSpace(path)), ".ko")
		if strings.ReplaceAll(file, "-", "_") == name {
			return true
		}
	}
	return false
}
