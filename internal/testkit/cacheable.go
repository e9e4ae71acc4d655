package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
)

// Cacheable gives a file of 8 GiB, for reading, whose pages the kernel caches
// and can drop: one with nothing but a hole, which no disk is read for, or in a
// guest, which has no disk, a null block device.
func Cacheable(t testing.TB) string {
	t.Helper()
	if Guest() {
		// Large and quick, whatever disk an earlier test made of it.
		Module(t, "null_blk", "nr_devices=1", "gb=250", "bs=512", "irqmode=0", "memory_backed=0")
		f, err := os.Open("/dev/nullb0") // a device's cache goes with the last who has it open
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		return f.Name()
	}
	path := filepath.Join(t.TempDir(), "large")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 8<<30); err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(path, &st); err != nil {
		t.Fatal(err)
	}
	if st.Type == unix.TMPFS_MAGIC {
		Need(t, &feature.UnsupportedError{
			Feature: "page cache", Reason: feature.NoHardware, Need: "a file system on a disk below " + os.TempDir(), Fix: "set TMPDIR to one",
		})
	}
	return path
}
