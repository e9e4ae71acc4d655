// Package disks makes real block devices for tests and takes them away again.
package disks

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// Disk is a block device of a test's own.
type Disk struct {
	Path   string // "/dev/loop3"
	Name   string // "loop3"
	Number string // major:minor
	tb     testing.TB
}

// size of a disk in bytes.
const size = 128 << 20

// Any gives a disk of some kind.
func Any(t testing.TB) *Disk {
	t.Helper()
	if testkit.Guest() {
		return Null(t)
	}
	return Loop(t)
}

// Loop makes a loop device whose requests go to a file past the page cache. A
// guest has no file system for that.
func Loop(t testing.TB) *Disk {
	t.Helper()
	testkit.NeedRoot(t)
	if testkit.Guest() {
		testkit.Need(t, &feature.UnsupportedError{Feature: "loop device with direct IO", Reason: feature.NoPeer, Need: "a file system on a disk", Fix: "run the test on a host"})
	}
	losetup := testkit.NeedTool(t, "losetup")
	file := filepath.Join(t.TempDir(), "disk")
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 1<<20)
	for range size / len(block) {
		if _, err := f.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(losetup, "--direct-io=on", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Fatalf("attach loop device: %v: %s", err, out)
	}
	d := open(t, strings.TrimSpace(string(out)))
	was, err := os.ReadFile(d.sys("queue/scheduler"))
	if err != nil {
		t.Fatal(err)
	}
	_, chosen, _ := strings.Cut(string(was), "[")
	chosen, _, _ = strings.Cut(chosen, "]")
	if chosen != "none" { // left by somebody who used the device before
		d.Schedule("none")
	}
	t.Cleanup(d.Detach)
	return d
}

// Null gives a disk of the null_blk module, which takes a fifth of a
// millisecond for each request and keeps what is written in memory.
func Null(t testing.TB) *Disk {
	t.Helper()
	testkit.NeedRoot(t)
	testkit.Module(t, "null_blk", "nr_devices=1", "gb=1", "bs=4096", "irqmode=2", "completion_nsec=200000", "memory_backed=1", "hw_queue_depth=64")
	return open(t, "/dev/nullb0")
}

func open(t testing.TB, path string) *Disk {
	t.Helper()
	d := &Disk{Path: path, Name: filepath.Base(path), tb: t}
	b, err := os.ReadFile(d.sys("dev"))
	if err != nil {
		t.Fatal(err)
	}
	d.Number = strings.TrimSpace(string(b))
	return d
}

func (d *Disk) sys(file string) string { return filepath.Join("/sys/block", d.Name, file) }

// Schedule gives the disk an IO scheduler.
func (d *Disk) Schedule(name string) {
	d.tb.Helper()
	if err := os.WriteFile(d.sys("queue/scheduler"), []byte(name), 0); err != nil {
		d.tb.Fatal(err)
	}
}

// Scheduler gives queue/scheduler.
func (d *Disk) Scheduler() string {
	b, _ := os.ReadFile(d.sys("queue/scheduler"))
	return strings.TrimSpace(string(b))
}

// Detach takes a loop device's file away from it.
func (d *Disk) Detach() { _ = exec.Command("losetup", "-d", d.Path).Run() }

// Reader is a shell command that reads 4 KiB at a time, some hundred times a
// second, past the page cache.
func (d *Disk) Reader() string {
	return "while :; do dd if=" + d.Path + " of=/dev/null bs=4k count=50 iflag=direct 2>/dev/null; sleep 0.05; done"
}

// Writer is a shell command that writes as fast as it can, past the page cache.
func (d *Disk) Writer() string {
	return "while :; do dd if=/dev/zero of=" + d.Path + " bs=256k count=256 oflag=direct 2>/dev/null; done"
}
