package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/internal/journal"
)

// A controller is taken away again only where nobody came to rely on it. An
// ordinary file shows what was written over its beginning.
func TestDelegationOthersRelyOnStays(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		taken               bool
	}{
		{"nobody below", "", "", true},
		{"a child as it was made", "io.weight", "default 100\n", true},
		{"a child without limits", "io.max", "", true},
		{"a child that hands other things on", "cgroup.subtree_control", "cpu\n", true},
		{"a child that hands it on", "cgroup.subtree_control", "cpu io\n", false},
		{"a child with a limit", "io.max", "8:0 rbps=1 wbps=max riops=max wiops=max\n", false},
		{"a child with a weight", "io.weight", "default 50\n", false},
		{"a child with a weight for bfq", "io.bfq.weight", "default 100\n8:0 7\n", false},
		{"a child with a target", "io.latency", "8:0 target=1000\n", false},
	} {
		at := t.TempDir()
		put := func(file, content string) {
			t.Helper()
			if err := os.WriteFile(filepath.Join(at, file), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put(subtreeControl, "cpu\n")
		d, err := OpenDir(at)
		if err != nil {
			t.Fatal(err)
		}
		j, err := journal.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if wrote, err := NewWriter(j, "test").Delegate(d, "io"); err != nil || !wrote {
			t.Fatal(wrote, err)
		}
		put(subtreeControl, "cpu io\n")
		if c.file != "" {
			if err := os.Mkdir(filepath.Join(at, "child"), 0o700); err != nil {
				t.Fatal(err)
			}
			put(filepath.Join("child", c.file), c.content)
		}
		rep := j.Restore(t.Context(), Undo)
		b, _ := os.ReadFile(filepath.Join(at, subtreeControl))
		if control := string(b); len(rep.Failed) > 0 || len(j.Pending()) > 0 || (control != "cpu io\n") != c.taken {
			t.Errorf("%s: %q, %+v, %d entries left", c.name, control, rep, len(j.Pending()))
		}
		_, _ = d.Close(), j.Close()
	}
}
