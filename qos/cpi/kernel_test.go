package cpi

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
)

// cgroupOf makes a cgroup that perf events can be counted for.
func cgroupOf(t *testing.T) *cgroup.Dir {
	t.Helper()
	testkit.NeedRoot(t)
	tree, err := cgroup.Detect("")
	testkit.Need(t, err)
	home := Home(tree)
	if home == "" {
		testkit.Need(t, &feature.UnsupportedError{Feature: "perf events of cgroups", Reason: feature.NoKernel, Need: "the perf_event controller"})
	}
	path := filepath.Join(home, fmt.Sprintf("t-cpi-%d", os.Getpid()))
	if err := os.Mkdir(path, 0o755); err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "cgroup test", Reason: feature.NoPrivilege, Need: "a writable cgroup hierarchy", Err: err})
	}
	t.Cleanup(func() { _ = cgroup.Remove(path, home) })
	d, err := cgroup.OpenDir(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// spin runs a command in a cgroup until the test ends.
func spin(t *testing.T, d *cgroup.Dir) {
	t.Helper()
	c := exec.Command("sh", "-c", "read go; while :; do :; done")
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if err := cgroup.Move(c.Process.Pid, d.Path()); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Write([]byte("go\n")); err != nil {
		t.Fatal(err)
	}
}

// The software pair goes the way that cycles and instructions go: a group of two
// for a cgroup on each CPU.
func TestKernelCountsACgroup(t *testing.T) {
	d := cgroupOf(t)
	cpus, err := CPUs("")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(d, cpus, Software())
	testkit.Need(t, err)
	t.Cleanup(func() { _ = c.Close() })
	if n, err := c.Read(); err != nil || n.Cycles != 0 {
		t.Fatalf("an empty cgroup: %+v, %v", n, err)
	}
	spin(t, d)
	var sum Count
	for end := time.Now().Add(30 * time.Second); sum.Cycles < 50e6; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("50 ms of CPU were not counted within 30 s: %+v", sum)
		}
		n, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		sum.add(n)
	}
	if sum.Running == 0 || sum.Running > sum.Enabled {
		t.Errorf("times %+v", sum)
	}
	t.Logf("%+v", sum)
}

func TestKernelAnswersForHardwareCounters(t *testing.T) {
	err := Probe(Hardware())
	var u *feature.UnsupportedError
	if errors.As(err, &u) && (u.Need == "" || u.Fix == "" || u.Err == nil) {
		t.Errorf("an answer that helps nobody: %v", u)
	}
	testkit.Need(t, err)
	d := cgroupOf(t)
	cpus, err := CPUs("")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(d, cpus, Hardware())
	testkit.Need(t, err)
	t.Cleanup(func() { _ = c.Close() })
	spin(t, d)
	var sum Count
	for end := time.Now().Add(30 * time.Second); sum.Instructions < 1e6; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a million instructions were not counted within 30 s: %+v", sum)
		}
		n, err := c.Read()
		if err != nil {
			t.Fatal(err)
		}
		sum.add(n)
	}
	if v, ok := sum.CPI(); !ok || v < 0.05 || v > 50 {
		t.Errorf("%v cycles per instruction: %+v", v, sum)
	}
}
