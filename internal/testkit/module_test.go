package testkit

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A guest can load what the rooms' tests work with.
func TestModule(t *testing.T) {
	for _, m := range []string{
		"null_blk", "loop", "veth", "sch_htb", "sch_ingress", "cls_bpf", "cls_u32", "act_police", "act_gact", "act_mirred",
		"sch_fq", "sch_netem", "bfq", "dummy", "ifb", "overlay", "ext4", "fuse",
	} {
		t.Run(m, func(t *testing.T) {
			Module(t, m)
			if !present("/", m) {
				t.Error("it is not there")
			}
			Module(t, m) // again
		})
	}
}

func TestPresent(t *testing.T) {
	root := t.TempDir()
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	lib := filepath.Join(root, "lib/modules", unix.ByteSliceToString(u.Release[:]))
	for _, d := range []string{lib, filepath.Join(root, "sys/module/loaded")} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if present(root, "built_in") {
		t.Error("no modules.builtin, yet there")
	}
	if err := os.WriteFile(filepath.Join(lib, "modules.builtin"), []byte("kernel/fs/ext4/ext4.ko\nkernel/a/built-in.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"loaded": true, "built_in": true, "ext4": true, "built": false, "load": false} {
		if present(root, name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}
