package testkit

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
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

func TestTuned(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "sys/module/m/parameters")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"size": "7\n", "on": "Y\n", "off": "N\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for list, want := range map[string]bool{"": true, "size=7 on=1 off=0": true, "size=8": false, "on=0": false, "hidden=1": false} {
		if tuned(root, "m", strings.Fields(list)) != want {
			t.Errorf("%q: %v", list, !want)
		}
	}
}

// A test gets the parameters that it asks for, whatever was loaded before.
func TestModuleWithParameters(t *testing.T) {
	if !Guest() {
		Module(t, "null_blk") // a host says why not
		Need(t, &feature.UnsupportedError{
			Feature: "null_blk with parameters", Reason: feature.Conflict, Need: "a machine whose modules a test may load anew", Fix: "run it in a virtual machine: make test-vm",
		})
	}
	for _, n := range []string{"1", "2"} {
		Module(t, "null_blk", "nr_devices="+n)
		disks, err := filepath.Glob("/sys/block/nullb*")
		if err != nil || strconv.Itoa(len(disks)) != n {
			t.Errorf("asked for %s disks, there are %q, %v", n, disks, err)
		}
	}
}
