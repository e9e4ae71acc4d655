package cgroup

import (
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/internal/journal"
)

// Hierarchies of v1 count inodes each for itself: groups of two of them can
// have the same number, and what is undone of one is no matter of the other.
func TestSameInodeOfAnotherHierarchy(t *testing.T) {
	d := openDir(t, t.TempDir())
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	w := NewWriter(j, "test")
	other := journal.Entry{Op: journal.OpWrite, Path: filepath.Join(t.TempDir(), "memory.high"), Ino: d.Ino(), Old: []byte("max\n")}
	ours := []journal.Entry{
		{Op: journal.OpWrite, Path: filepath.Join(d.Path(), "cpu.idle"), Ino: d.Ino(), Old: []byte("0\n")},
		{Op: journal.OpSched, Path: d.Path(), Ino: d.Ino(), Old: []byte("{}")},
	}
	if err := w.Record(append(ours, other)...); err != nil {
		t.Fatal(err)
	}
	if err := w.Forget(d); err != nil {
		t.Fatal(err)
	}
	if left := j.Pending(); len(left) != 1 || left[0].Path != other.Path {
		t.Errorf("left %+v", left)
	}
}
