package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/anole-os/anole/feature"
)

// Mount tables as recorded on nodes of each kind, shortened.
const (
	tableV1 = `22 28 0:20 / /sys rw,nosuid shared:7 - sysfs sysfs rw
30 22 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,size=4096k,mode=755
31 30 0:27 / /sys/fs/cgroup/systemd rw shared:10 - cgroup cgroup rw,xattr,name=systemd
34 30 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:13 - cgroup cgroup rw,cpu,cpuacct
35 30 0:31 / /sys/fs/cgroup/memory rw shared:14 master:2 - cgroup cgroup rw,memory
36 30 0:32 /docker/abc /mnt/part rw - cgroup cgroup rw,pids
37 30 0:33 / /mnt/with\040space rw - cgroup cgroup rw,cpuset,clone_children
38 30 0:30 / /second/cpu rw - cgroup cgroup rw,cpu,cpuacct
`
	tableV2 = `25 1 0:22 / / rw - ext4 /dev/vda rw
26 25 0:24 / /sys/fs/cgroup rw,nosuid,nodev shared:4 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
`
	tableHybrid = `30 22 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro
31 30 0:27 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate
34 30 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu
35 30 0:31 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct
`
)

func fixture(t *testing.T, table string, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	put := func(path, text string) {
		path = filepath.Join(root, path)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	put("/proc/self/mountinfo", table)
	for path, text := range files {
		put(path, text)
	}
	return root
}

func TestDetect(t *testing.T) {
	cases := []struct {
		name, table string
		files       map[string]string
		controllers string
		usage       string
		mounts      map[string]string // controller → version and mount point
	}{
		{
			"v1", tableV1, nil, "cpu cpuacct cpuset memory", "cpuacct",
			map[string]string{
				"cpu": "1 /sys/fs/cgroup/cpu,cpuacct", "memory": "1 /sys/fs/cgroup/memory", "cpuset": "1 /mnt/with space",
				"name=systemd": "1 /sys/fs/cgroup/systemd", "pids": "", Unified: "", "clone_children": "",
			},
		},
		{
			"v2", tableV2, map[string]string{"/sys/fs/cgroup/cgroup.controllers": "cpuset cpu io memory pids\n"}, "cpu cpuset io memory pids", "cpu",
			map[string]string{"cpu": "2 /sys/fs/cgroup", "io": "2 /sys/fs/cgroup", Unified: "2 /sys/fs/cgroup", "cpuacct": ""},
		},
		{
			"hybrid", tableHybrid, map[string]string{"/sys/fs/cgroup/unified/cgroup.controllers": "memory\n"}, "cpu cpuacct memory", "cpuacct",
			map[string]string{"cpu": "1 /sys/fs/cgroup/cpu", "memory": "2 /sys/fs/cgroup/unified", Unified: "2 /sys/fs/cgroup/unified"},
		},
		{
			"cgroup namespace", "26 25 0:24 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", nil, "", "cpuacct",
			map[string]string{Unified: "2 /sys/fs/cgroup"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			root := fixture(t, c.table, c.files)
			tree, err := Detect(root)
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(tree.Controllers(), " "); got != c.controllers {
				t.Errorf("controllers %q, want %q", got, c.controllers)
			}
			if got := tree.Usage(); got != c.usage {
				t.Errorf("usage is counted by %q, want %q", got, c.usage)
			}
			for ctl, want := range c.mounts {
				v, ok := tree.Version(ctl)
				got := ""
				if ok {
					got = string(rune('0'+int(v))) + " " + strings.TrimPrefix(tree.Mount(ctl), root)
				}
				if got != want {
					t.Errorf("%q is at %q, want %q", ctl, got, want)
				}
			}
		})
	}
}

func TestDetectWithout(t *testing.T) {
	var u *feature.UnsupportedError
	if _, err := Detect(fixture(t, "25 1 0:22 / / rw - ext4 /dev/vda rw\ngarbage\n - \n", nil)); !errors.As(err, &u) || u.Reason != feature.NoKernel {
		t.Fatalf("error %v", err)
	}
	if _, err := Detect(t.TempDir()); !errors.Is(err, os.ErrNotExist) || errors.As(err, &u) {
		t.Fatalf("error %v: no mount table is not a node without cgroups", err)
	}
}

func TestPathAndRel(t *testing.T) {
	tree, err := Detect(fixture(t, tableV1, nil))
	if err != nil {
		t.Fatal(err)
	}
	mount := tree.Mount("cpu")
	for rel, want := range map[string]string{"/a/b": mount + "/a/b", "a": mount + "/a", "/": mount, "": mount, "/../../etc": mount + "/etc", "/..x": mount + "/..x"} {
		if got := tree.Path("cpu", rel); got != want {
			t.Errorf("path of %q is %q, want %q", rel, got, want)
		}
	}
	for path, want := range map[string]string{mount: "/", mount + "/a/b": "/a/b", mount + "/..x": "/..x"} {
		if got, ok := tree.Rel("cpu", path); !ok || got != want {
			t.Errorf("%q is %q, %v; want %q", path, got, ok, want)
		}
	}
	for _, path := range []string{filepath.Dir(mount), mount + "x", "/", "rel"} {
		if got, ok := tree.Rel("cpu", path); ok {
			t.Errorf("%q lies outside but is %q", path, got)
		}
	}
	if tree.Path("pids", "/a") != "" {
		t.Error("an absent controller has a path")
	}
	if _, ok := tree.Rel("pids", mount); ok {
		t.Error("an absent controller has a cgroup")
	}
}

func FuzzMounts(f *testing.F) {
	for _, s := range []string{tableV1, tableV2, tableHybrid, "1 2 3 / /\\0 - cgroup x cpu", "- cgroup - cgroup a cpu", `1 2 3 / \134040 rw - cgroup2 a b`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		tree, err := parseMounts(strings.NewReader(s), "/nonexistent")
		if err != nil {
			return
		}
		for c, m := range tree.mounts {
			if !strings.HasPrefix(m.path, "/") || m.version != V1 && m.version != V2 {
				t.Fatalf("%q is at %+v", c, m)
			}
		}
	})
}
