package cpi

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/anole-os/anole/internal/cgroup"
)

// fixture makes a tree with a mount table and directories.
func fixture(t *testing.T, root, mounts string, dirs ...string) *cgroup.Tree {
	t.Helper()
	for _, d := range append(dirs, "proc/self") {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"proc/self/mountinfo": mounts} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "sys/fs/cgroup"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "sys/fs/cgroup/cgroup.controllers"), []byte("cpu perf_event\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	tree, err := cgroup.Detect(root)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}
