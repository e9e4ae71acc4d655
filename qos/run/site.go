package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// wanted are the controllers whose hierarchies a workload has a cgroup in.
var wanted = []string{"cpu", "cpuacct", "cpuset", "memory", "blkio", "io", "freezer", "pids"}

// site is where a workload's cgroups are: one per hierarchy.
type site struct {
	tree  *cgroup.Tree
	home  string // "/anole-be"
	rel   string // "/anole-be/web"
	roots []hierarchy
	made  []string // directories that this run made
}

// hierarchy is one mounted tree that holds wanted controllers.
type hierarchy struct {
	mount   string
	version cgroup.Version
}

func newSite(t *cgroup.Tree, home, name string) *site {
	s := &site{tree: t, home: home, rel: home + "/" + name}
	for _, c := range wanted {
		if v, ok := t.Version(c); ok {
			s.add(hierarchy{t.Mount(c), v})
		}
	}
	if len(s.roots) == 0 { // cgroup2 without controllers still groups processes
		if v, ok := t.Version(cgroup.Unified); ok {
			s.add(hierarchy{t.Mount(cgroup.Unified), v})
		}
	}
	return s
}

func (s *site) add(h hierarchy) {
	if !slices.Contains(s.roots, h) {
		s.roots = append(s.roots, h)
	}
}

// dirs lists the workload's cgroup directories.
func (s *site) dirs() []string {
	var out []string
	for _, h := range s.roots {
		out = append(out, h.mount+s.rel)
	}
	return out
}

// dirsOf lists those of one version.
func (s *site) dirsOf(v cgroup.Version) []string {
	var out []string
	for _, h := range s.roots {
		if h.version == v {
			out = append(out, h.mount+s.rel)
		}
	}
	return out
}

// dir gives the workload's directory for a controller, "" if the node has none.
func (s *site) dir(controller string) string { return s.tree.Path(controller, s.rel) }

// permitted says whether this process may make cgroups here.
func (s *site) permitted() error {
	if len(s.roots) == 0 {
		return &feature.UnsupportedError{
			Feature: "qos run", Reason: feature.NoKernel, Need: "a mounted cgroup hierarchy", Fix: "mount one: mount -t cgroup2 none /sys/fs/cgroup",
		}
	}
	for _, h := range s.roots {
		if err := unix.Faccessat(unix.AT_FDCWD, h.mount, unix.W_OK, unix.AT_EACCESS); err != nil {
			return denied(&fs.PathError{Op: "write to", Path: h.mount, Err: err})
		}
	}
	return nil
}

// denied turns a refusal for lack of rights into the typed answer.
func denied(err error) error {
	if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
		return err
	}
	return &feature.UnsupportedError{
		Feature: "qos run", Reason: feature.NoPrivilege, Need: "write access to the cgroup hierarchy",
		Fix: "run as root, outside a container or with a writable /sys/fs/cgroup", Err: err,
	}
}

// tries bounds how often a step that races with other runs of the class is
// repeated: one of them may remove the home between our mkdir of it and of the
// cgroup inside.
const tries = 200

// make makes the workload's cgroups. On error the caller removes what is there.
func (s *site) make() error {
	for _, h := range s.roots {
		if err := s.makeIn(h); err != nil {
			return err
		}
	}
	return nil
}

func (s *site) makeIn(h hierarchy) (err error) {
	for range tries {
		if err = s.makeOnce(h); err == nil || !cgroup.Gone(err) && !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(time.Millisecond)
	}
	if err != nil {
		return fmt.Errorf("make cgroup %s: %w", h.mount+s.rel, denied(err))
	}
	return nil
}

// makeOnce makes home and cgroup in one hierarchy; it may be repeated.
func (s *site) makeOnce(h hierarchy) error {
	home, dir := h.mount+s.home, h.mount+s.rel
	if err := os.Mkdir(home, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := s.prepare(h, h.mount, home); err != nil {
		return err
	}
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		s.made = append(s.made, dir)
	case errors.Is(err, fs.ErrExist) && slices.Contains(s.made, dir):
	case errors.Is(err, fs.ErrExist):
		return s.occupied(dir)
	default:
		return err
	}
	if h.version == cgroup.V1 {
		return copyCPUSet(home, dir)
	}
	return nil
}

// occupied is called when the cgroup exists already. No record speaks of it, so
// an empty one is what a lost run directory left, and is taken away.
func (s *site) occupied(dir string) error {
	if st, err := os.Lstat(dir); err == nil && !st.IsDir() {
		return flagError("--name", filepath.Base(dir), "the kernel has a file of that name in "+filepath.Dir(dir))
	}
	if err := unix.Rmdir(dir); err != nil && !cgroup.Gone(err) {
		return fmt.Errorf("--name %q: %w: %s exists and no record says whose it is", filepath.Base(dir), ErrNameTaken, dir)
	}
	return unix.ENOENT // gone now: once more
}

// foreign says that the name is in use by processes of which no record speaks.
// It is asked before the name is claimed: what a record names is killed in the
// end.
func (s *site) foreign() error {
	for _, dir := range s.dirs() {
		for _, d := range subtree(dir) {
			if len(procs(d)) > 0 {
				if err := s.occupied(dir); !cgroup.Gone(err) {
					return err
				}
			}
		}
	}
	return nil
}

// prepare makes a fresh home usable: on v1 a cpuset must have CPUs and memory
// nodes before it takes tasks; on v2 each level must hand controllers down.
func (s *site) prepare(h hierarchy, root, home string) error {
	if h.version == cgroup.V1 {
		return copyCPUSet(root, home)
	}
	for _, dir := range []string{root, home} {
		if err := s.handDown(dir); err != nil {
			return err
		}
	}
	return nil
}

// copyCPUSet fills the empty cpuset of child from parent; a directory of
// another controller is left alone (cgroup-v1/cpusets.rst).
func copyCPUSet(parent, child string) error {
	for _, f := range []string{"cpuset.cpus", "cpuset.mems"} {
		now, err := os.ReadFile(filepath.Join(child, f))
		if errors.Is(err, fs.ErrNotExist) && dirExists(child) {
			return nil
		}
		if err != nil {
			return err
		}
		if strings.TrimSpace(string(now)) != "" {
			continue
		}
		from, err := os.ReadFile(filepath.Join(parent, f))
		if err != nil {
			return err
		}
		if err := store(filepath.Join(child, f), strings.TrimSpace(string(from))); err != nil {
			return err
		}
	}
	return nil
}

func dirExists(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.IsDir()
}

// needed says which controllers a v2 workload cannot do without; the others are
// enabled where they can be.
var needed = []string{"cpu", "memory"}

// handDown enables, for the children of dir, the wanted controllers that dir
// has (cgroup-v2.rst, "Enabling and Disabling"). Each is written alone: one
// refused must not take the others with it.
func (s *site) handDown(dir string) error {
	have, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	control := filepath.Join(dir, "cgroup.subtree_control")
	on, err := os.ReadFile(control)
	if err != nil {
		return err
	}
	for _, c := range strings.Fields(string(have)) {
		if !slices.Contains(wanted, c) || slices.Contains(strings.Fields(string(on)), c) {
			continue
		}
		err := store(control, "+"+c)
		if err != nil && slices.Contains(needed, c) {
			return fmt.Errorf("enable controller %s: %w", c, err)
		}
	}
	return nil
}

// store writes a control file with one write call.
func store(path, value string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(value); err != nil {
		return fmt.Errorf("write %q: %w", value, err)
	}
	return nil
}
