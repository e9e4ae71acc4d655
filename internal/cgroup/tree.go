// Package cgroup reads and writes control groups of both versions: it finds
// where each controller lives, keeps files open so that a reading costs one
// pread, and writes through a journal so that every byte can be put back.
//
// Sources: Documentation/admin-guide/cgroup-v1/ and cgroup-v2.rst of the Linux
// kernel.
package cgroup

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/anole-os/anole/feature"
)

// Version is the version of the hierarchy that a controller is attached to.
type Version int

// Versions. On a hybrid node each controller has its own.
const (
	V1 Version = 1
	V2 Version = 2
)

// Unified is the pseudo controller that names the cgroup2 hierarchy itself,
// which exists on a hybrid node too, without controllers.
const Unified = ""

// Tree says where each controller's hierarchy is mounted. It is immutable.
type Tree struct {
	mounts map[string]mount
}

type mount struct {
	path    string
	version Version
}

// Detect reads the mount table of the node whose /proc is at root+"/proc". A
// node without any cgroup mount is an *feature.UnsupportedError.
func Detect(root string) (*Tree, error) {
	path := filepath.Join(root, "/proc/self/mountinfo")
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read mount table: %w", err)
	}
	defer f.Close()
	t, err := parseMounts(f, root)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(t.mounts) == 0 {
		return nil, &feature.UnsupportedError{
			Feature: "cgroups", Reason: feature.NoKernel, Need: "a mounted cgroup hierarchy",
			Fix: "mount one: mount -t cgroup2 none /sys/fs/cgroup",
		}
	}
	return t, nil
}

// parseMounts reads /proc/self/mountinfo, proc_pid_mountinfo(5): fields before
// " - " are positional (the fifth is the mount point), after it come the file
// system's type, source and super options.
func parseMounts(r io.Reader, root string) (*Tree, error) {
	t := &Tree{mounts: map[string]mount{}}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		head, tail, ok := strings.Cut(sc.Text(), " - ")
		if !ok {
			continue
		}
		front, back := strings.Fields(head), strings.Fields(tail)
		// The mount of a whole hierarchy has "/" as its root, unless this
		// process is in a cgroup namespace; a bind mount of a subtree is not
		// the hierarchy.
		if len(front) < 5 || len(back) < 3 || (front[3] != "/" && !strings.HasPrefix(front[3], "/..")) {
			continue
		}
		t.add(filepath.Join(root, unescape(front[4])), back[0], strings.Split(back[2], ","))
	}
	return t, sc.Err()
}

func (t *Tree) add(path, fstype string, opts []string) {
	switch fstype {
	case "cgroup2":
		t.put(Unified, mount{path, V2})
		b, _ := os.ReadFile(filepath.Join(path, "cgroup.controllers"))
		for _, c := range strings.Fields(string(b)) {
			t.put(c, mount{path, V2})
		}
	case "cgroup":
		for _, o := range opts {
			if slices.Contains(v1Controllers, o) || strings.HasPrefix(o, "name=") {
				t.put(o, mount{path, V1})
			}
		}
	}
}

// put keeps the first mount of a controller: a later one shows the same
// hierarchy at another place.
func (t *Tree) put(controller string, m mount) {
	if _, ok := t.mounts[controller]; !ok {
		t.mounts[controller] = m
	}
}

var v1Controllers = []string{
	"cpu", "cpuacct", "cpuset", "memory", "blkio", "devices", "freezer", "net_cls", "net_prio", "perf_event", "hugetlb", "pids", "rdma", "misc",
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}

// Version gives the version of the hierarchy a controller is attached to; ok
// is false when the node has no such controller.
func (t *Tree) Version(controller string) (v Version, ok bool) {
	m, ok := t.mounts[controller]
	return m.version, ok
}

// Mount gives the mount point of a controller's hierarchy, "" if there is none.
func (t *Tree) Mount(controller string) string { return t.mounts[controller].path }

// Path gives the directory of the cgroup at rel ("/a/b") in a controller's
// hierarchy, "" if the node lacks the controller.
func (t *Tree) Path(controller, rel string) string {
	m, ok := t.mounts[controller]
	if !ok {
		return ""
	}
	return filepath.Join(m.path, filepath.Clean("/"+rel))
}

// Rel undoes Path.
func (t *Tree) Rel(controller, path string) (string, bool) {
	m, ok := t.mounts[controller]
	if !ok {
		return "", false
	}
	rel, err := filepath.Rel(m.path, path)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	return filepath.Clean("/" + rel), true
}

// Usage gives the controller whose files count CPU time: cpuacct on v1, cpu on
// v2.
func (t *Tree) Usage() string {
	if v, ok := t.Version("cpu"); ok && v == V2 {
		return "cpu"
	}
	return "cpuacct"
}

// Controllers lists the controllers of the node, sorted.
func (t *Tree) Controllers() []string {
	var out []string
	for c := range t.mounts {
		if c != Unified && !strings.HasPrefix(c, "name=") {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}
