package vm

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// provided are the modules that the guest can load, as patterns of their paths
// below /lib/modules/RELEASE, beside those that these need. The kernel itself
// asks for some of them, as for a queueing discipline that is not there yet.
var provided = []string{
	"kernel/block/*", "kernel/drivers/block/*", "kernel/drivers/block/null_blk/*", "kernel/drivers/block/zram/*",
	"kernel/drivers/md/*", "kernel/drivers/scsi/*", "kernel/fs/fuse/*", "kernel/fs/overlayfs/*", "kernel/fs/xfs/*",
	"kernel/drivers/net/*", "kernel/net/sched/*", "kernel/net/bridge/*", "kernel/net/8021q/*",
	"kernel/net/netfilter/*", "kernel/net/ipv4/netfilter/*", "kernel/net/ipv6/netfilter/*",
	"kernel/drivers/virtio/*", "kernel/drivers/char/virtio_console.ko",
}

// tree is what is below /lib/modules/RELEASE.
type tree struct {
	dir   string
	needs map[string][]string // of each module, all those that it needs, direct or not
}

// openTree reads the modules.dep that depmod has made, modules.dep(5).
func openTree(kernel string) (*tree, error) {
	found, _ := filepath.Glob(filepath.Join(kernel, "lib/modules/*/modules.dep"))
	if len(found) != 1 {
		return nil, fmt.Errorf("%s has %d trees of modules with a modules.dep, want one", kernel, len(found))
	}
	text, err := os.ReadFile(found[0])
	if err != nil {
		return nil, err
	}
	t := &tree{dir: filepath.Dir(found[0]), needs: map[string][]string{}}
	for line := range strings.Lines(string(text)) {
		if name, needs, ok := strings.Cut(line, ":"); ok {
			t.needs[name] = strings.Fields(needs)
		}
	}
	return t, nil
}

// closure gives the modules that match any pattern, and those they need.
func (t *tree) closure(patterns []string) []string {
	all := map[string]bool{}
	for name, needs := range t.needs {
		if slices.ContainsFunc(patterns, func(p string) bool { ok, err := path.Match(p, name); return ok && err == nil }) {
			all[name] = true
			for _, n := range needs {
				all[n] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// add puts the provided modules and what modprobe reads about them into the
// archive.
func (t *tree) add(w *archive) error {
	base := "lib/modules/" + filepath.Base(t.dir)
	var dep strings.Builder
	names := map[string]bool{}
	for _, m := range t.closure(provided) {
		w.parents(path.Join(base, m))
		w.copy(path.Join(base, m), filepath.Join(t.dir, m))
		fmt.Fprintf(&dep, "%s: %s\n", m, strings.Join(t.needs[m], " "))
		names[moduleName(m)] = true
	}
	alias, err := os.ReadFile(filepath.Join(t.dir, "modules.alias"))
	if err != nil {
		return err
	}
	var aliases strings.Builder
	for line := range strings.Lines(string(alias)) {
		if f := strings.Fields(line); len(f) == 3 && names[moduleName(f[2])] {
			aliases.WriteString(line)
		}
	}
	w.file(base+"/modules.dep", 0o644, []byte(dep.String()))
	w.file(base+"/modules.alias", 0o644, []byte(aliases.String()))
	w.copy(base+"/modules.builtin", filepath.Join(t.dir, "modules.builtin"))
	return nil
}

// moduleName is a module's name in the kernel: of its file, with "_" for "-".
func moduleName(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}
