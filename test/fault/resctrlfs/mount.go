package resctrlfs

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// Node is a machine whose file system is mounted.
type Node struct {
	Root string // prefix of /proc and /sys, with what resctrl.Open looks at
	Dir  string // where it is mounted
	s    *state
}

// Open mounts the file system until the test ends, or skips the test where FUSE
// cannot be had.
func Open(t testing.TB, m Machine) *Node {
	t.Helper()
	testkit.NeedRoot(t)
	if testkit.Guest() {
		testkit.Module(t, "fuse")
	}
	root := t.TempDir()
	n := &Node{Root: root, Dir: filepath.Join(root, "sys/fs/resctrl"), s: newState(m)}
	n.fixture(t, m)
	zero := time.Duration(0)
	srv, err := fs.Mount(n.Dir, &dir{s: n.s, fill: fillRoot}, &fs.Options{
		EntryTimeout: &zero, AttrTimeout: &zero, NegativeTimeout: &zero,
		MountOptions: fuse.MountOptions{DirectMountStrict: true, FsName: "resctrl", Name: "resctrl", DisableXAttrs: true},
	})
	if err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "FUSE", Reason: feature.NoKernel, Need: "FUSE that this process may mount", Err: err})
	}
	t.Cleanup(func() {
		if err := srv.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return n
}

// fixture writes the files of /proc that tell of the file system.
func (n *Node) fixture(t testing.TB, m Machine) {
	t.Helper()
	options := "rw"
	if m.Options != "" {
		options += "," + m.Options
	}
	for name, text := range map[string]string{
		"proc/self/mountinfo": "26 1 8:1 / / rw - ext4 /dev/sda1 rw\n45 26 0:39 / /sys/fs/resctrl rw,relatime shared:9 - resctrl resctrl " + options + "\n",
		"proc/cpuinfo":        "processor\t: 0\nvendor_id\t: " + m.Vendor + "\nflags\t\t: fpu rdt_a cat_l3 mba\n",
		"proc/filesystems":    "nodev\tresctrl\n",
	} {
		path := filepath.Join(n.Root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(n.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
}

// Writes lists what was written to control files so far, "path value".
func (n *Node) Writes() []string {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	return slices.Clone(n.s.writes)
}

// Count sets what all domains of a group count of an event; group is "" for the
// default one.
func (n *Node) Count(group, event, value string) {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	for _, g := range append(n.s.groups, n.s.root) {
		if g.name == group {
			g.counts[event] = value
		}
	}
}

// dir is a directory; fill adds what it has from the start.
type dir struct {
	fs.Inode
	s    *state
	g    *group // of a group's directory
	in   *group // groups made here count within it
	make bool   // groups can be made here
	fill func(context.Context, *dir)
}

var _ interface {
	fs.NodeOnAdder
	fs.NodeMkdirer
	fs.NodeRmdirer
	fs.NodeGetattrer
} = (*dir)(nil)

// OnAdd implements fs.NodeOnAdder.
func (d *dir) OnAdd(ctx context.Context) {
	if d.fill != nil {
		d.fill(ctx, d)
	}
}

// Getattr implements fs.NodeGetattrer.
func (d *dir) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFDIR | 0o755
	return 0
}

// Mkdir implements fs.NodeMkdirer.
func (d *dir) Mkdir(ctx context.Context, name string, _ uint32, _ *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	if !d.make {
		return nil, syscall.EPERM
	}
	g, errno := d.s.mkdir(name, d.in)
	if errno != 0 {
		return nil, errno
	}
	return d.NewInode(ctx, &dir{s: d.s, g: g, fill: fillGroup}, fs.StableAttr{Mode: syscall.S_IFDIR}), 0
}

// Rmdir implements fs.NodeRmdirer.
func (d *dir) Rmdir(_ context.Context, name string) syscall.Errno {
	child := d.GetChild(name)
	if child == nil {
		return syscall.ENOENT
	}
	c, ok := child.Operations().(*dir)
	if !ok || !d.make || c.g == d.g {
		return syscall.EPERM
	}
	d.s.rmdir(c.g)
	child.RmAllChildren()
	return 0
}

// gone says whether the group was removed, as a file that is still open finds
// out.
func (d *dir) gone() bool {
	d.s.mu.Lock()
	defer d.s.mu.Unlock()
	return d.g != nil && d.g.dead
}

func (d *dir) sub(ctx context.Context, name string, c *dir) *dir {
	c.s = d.s
	if c.g == nil {
		c.g = d.g // whose files these are
	}
	d.AddChild(name, d.NewPersistentInode(ctx, c, fs.StableAttr{Mode: syscall.S_IFDIR}), true)
	return c
}

func (d *dir) file(ctx context.Context, name string, read func() string, write func(string) syscall.Errno) {
	d.AddChild(name, d.NewPersistentInode(ctx, &file{d: d, read: read, write: write}, fs.StableAttr{Mode: syscall.S_IFREG}), true)
}

func (d *dir) text(ctx context.Context, name string, format string, a ...any) {
	s := fmt.Sprintf(format, a...) + "\n"
	d.file(ctx, name, func() string { return s }, nil)
}

func fillRoot(ctx context.Context, d *dir) {
	s := d.s
	d.g, d.make = s.root, true
	info := d.sub(ctx, "info", &dir{})
	info.file(ctx, "last_cmd_status", func() string {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.status + "\n"
	}, nil)
	for _, c := range s.m.Caches {
		i := info.sub(ctx, c.Name, &dir{})
		i.text(ctx, "num_closids", "%d", s.m.Closids)
		i.text(ctx, "cbm_mask", "%x", c.all())
		i.text(ctx, "min_cbm_bits", "%d", c.Min)
		i.text(ctx, "shareable_bits", "%x", c.Shareable)
		sparse := 0
		if c.Sparse {
			sparse = 1
		}
		i.text(ctx, "sparse_masks", "%d", sparse)
		i.file(ctx, "bit_usage", func() string { return s.usage(c) }, nil)
	}
	if b := s.m.MB; b != nil {
		i := info.sub(ctx, "MB", &dir{})
		i.text(ctx, "num_closids", "%d", s.m.Closids)
		i.text(ctx, "min_bandwidth", "%d", b.Min)
		i.text(ctx, "bandwidth_gran", "%d", b.Gran)
		i.text(ctx, "delay_linear", "1")
	}
	if s.m.Rmids > 0 {
		i := info.sub(ctx, "L3_MON", &dir{})
		i.text(ctx, "num_rmids", "%d", s.m.Rmids)
		i.text(ctx, "mon_features", "llc_occupancy\nmbm_total_bytes\nmbm_local_bytes")
	}
	fillGroup(ctx, d)
}

// fillGroup adds a group's files.
func fillGroup(ctx context.Context, d *dir) {
	s, g := d.s, d.g
	name := g.name
	d.file(ctx, "tasks", func() string { return s.list(g) }, func(v string) syscall.Errno {
		return s.write(filepath.Join(name, "tasks"), v, g, func() *refusal { return s.move(g, v) })
	})
	if g.parent == nil {
		d.file(ctx, "schemata", func() string {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.m.show(g.config)
		}, func(v string) syscall.Errno {
			return s.write(filepath.Join(name, "schemata"), v, g, func() *refusal { return s.set(g, v) })
		})
		d.file(ctx, "mode", func() string { return g.mode + "\n" }, func(v string) syscall.Errno {
			return s.write(filepath.Join(name, "mode"), v, g, func() *refusal { g.mode = strings.TrimSpace(v); return nil })
		})
	}
	if s.m.Rmids == 0 {
		return
	}
	if g.parent == nil {
		d.sub(ctx, "mon_groups", &dir{in: g, make: true})
	}
	data := d.sub(ctx, "mon_data", &dir{})
	for _, id := range s.m.Domains {
		m := data.sub(ctx, fmt.Sprintf("mon_L3_%02d", id), &dir{})
		for _, e := range []string{"llc_occupancy", "mbm_total_bytes", "mbm_local_bytes"} {
			m.file(ctx, e, func() string {
				s.mu.Lock()
				defer s.mu.Unlock()
				if v := g.counts[e]; v != "" {
					return v + "\n"
				}
				return "0\n"
			}, nil)
		}
	}
}

// file is a control file: it is made anew for each reading from its start.
type file struct {
	fs.Inode
	d     *dir
	read  func() string
	write func(string) syscall.Errno
}

var _ interface {
	fs.NodeOpener
	fs.NodeReader
	fs.NodeWriter
	fs.NodeGetattrer
	fs.NodeSetattrer
} = (*file)(nil)

// Setattr implements fs.NodeSetattrer: O_TRUNC does nothing here.
func (f *file) Setattr(context.Context, fs.FileHandle, *fuse.SetAttrIn, *fuse.AttrOut) syscall.Errno {
	return 0
}

// Getattr implements fs.NodeGetattrer.
func (f *file) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode = syscall.S_IFREG | 0o644
	return 0
}

// Open implements fs.NodeOpener.
func (f *file) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, fuse.FOPEN_DIRECT_IO, 0
}

// Read implements fs.NodeReader.
func (f *file) Read(_ context.Context, _ fs.FileHandle, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.d.gone() {
		return nil, syscall.ENODEV
	}
	s := f.read()
	if off >= int64(len(s)) {
		return fuse.ReadResultData(nil), 0
	}
	return fuse.ReadResultData([]byte(s[off:min(int64(len(s)), off+int64(len(dest)))])), 0
}

// Write implements fs.NodeWriter.
func (f *file) Write(_ context.Context, _ fs.FileHandle, data []byte, _ int64) (uint32, syscall.Errno) {
	if f.write == nil {
		return 0, syscall.EPERM
	}
	if errno := f.write(string(data)); errno != 0 {
		return 0, errno
	}
	return uint32(len(data)), 0
}
