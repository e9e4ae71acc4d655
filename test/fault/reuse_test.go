package fault

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/groups"
)

// The journal and the Engine know a cgroup by its inode number. That is the
// kernel's id of the kernfs node (fs/kernfs/dir.c, __kernfs_new_node): 64 bits,
// the lower half handed out in a cycle and the upper one counting the cycles,
// so that no number comes twice while the kernel runs. On machines whose inode
// numbers have 32 bits it would; anole runs on none.
func TestKernelNeverReusesACgroupID(t *testing.T) {
	n := groups.Open(t)
	path := n.Tree.Path("cpu", n.Prefix+"again")
	seen := map[uint64]bool{}
	var last uint64
	for range 2000 {
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		d, err := cgroup.OpenDir(path)
		if err != nil {
			t.Fatal(err)
		}
		ino := d.Ino()
		handle := idOf(t, path)
		_ = d.Close()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if handle != ino {
			t.Fatalf("the kernel's 64-bit id is %#x, the inode number %#x", handle, ino)
		}
		if seen[ino] || uint32(ino) <= uint32(last) && ino <= last {
			t.Fatalf("inode %d after %d", ino, last)
		}
		seen[ino], last = true, ino
	}
}

// idOf gives the id by which kernfs exports a node, name_to_handle_at(2) with
// FILEID_KERNFS.
func idOf(t *testing.T, path string) uint64 {
	t.Helper()
	h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	const fileIDKernfs = 0xfe
	if h.Type() != fileIDKernfs || h.Size() != 8 {
		t.Fatalf("handle of type %#x with %d bytes", h.Type(), h.Size())
	}
	return binary.NativeEndian.Uint64(h.Bytes())
}

// remake removes a pod and makes another one under the same names, with limits
// and weights of its own.
func remake(n *groups.Node, gs []*groups.Group) (made []*groups.Group) {
	for i := len(gs) - 1; i >= 0; i-- {
		gs[i].Remove()
	}
	made = makePod(n, 7, 200_000, 250)
	for i, g := range made {
		g.Weight(300 + i)
	}
	return made
}

// While the Engine runs, a pod is removed and another one gets its names. The
// new one is served for itself, and nothing that was the old one's gets there.
func TestNameReusedWhileRunning(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	gs := makePod(n, 7, 100_000, 300)
	gs[1].Sleep()
	e, j, err := engine(t.TempDir(), podPolicy(n.Prefix, 300*time.Millisecond), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer e.Close()
	for range 5 {
		until(t, e, "banks", func() bool { return gs[0].Burst() > 0 && gs[1].Burst() > 0 })
		gs = remake(n, gs)
		theirs := groups.Snapshot(gs...)
		gs[1].Sleep()
		until(t, e, "banks of the new one", func() bool {
			return gs[0].Burst() > 0 && gs[1].Burst() > 0 && gs[1].Quota()*4 == gs[1].Period() && gs[0].Quota()*4 == gs[0].Period()
		})
		p := podPolicy(n.Prefix, 0)
		if err := e.SetPolicy(p); err != nil {
			t.Fatal(err)
		}
		until(t, e, "what it came with", func() bool { return len(groups.Differ(theirs, groups.Snapshot(gs...))) == 0 })
		if err := e.SetPolicy(podPolicy(n.Prefix, 300*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
	}
	gs = remake(n, gs)
	theirs := groups.Snapshot(gs...)
	if err := e.Close(); err != nil { // without another look
		t.Error(err)
	}
	same(t, theirs, gs...)
	if left := j.Pending(); len(left) > 0 {
		t.Errorf("%d entries left, first %+v", len(left), left[0])
	}
}

// The agent is killed, a pod is removed and another one gets its names before
// the next start: what the journal has of the old one is not the new one's.
func TestNameReusedWhileDown(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	gs := makePod(n, 7, 100_000, 300)
	gs[1].Sleep()
	be := n.Make("be.service")
	be.Sleep()
	for range 5 {
		dir := t.TempDir()
		e, j, err := engine(dir, podPolicy(n.Prefix, 300*time.Millisecond), nil)
		if err != nil {
			t.Fatal(err)
		}
		until(t, e, "banks", func() bool { return gs[0].Burst() > 0 && gs[1].Burst() > 0 && be.Read("cpu.idle") == "1" })
		killed := copyOf(t, dir) // what a kill at this moment would leave on disk
		quit(t, e, j)
		gs = remake(n, gs)
		be.Remove()
		be = n.Make("be.service")
		be.Weight(77)
		be.Limit(12_345, 100_000, 0)
		theirs := groups.Snapshot(append(gs, be)...)
		old := about(t, killed, n.Prefix)
		if rep := restore(t, killed); old < 4 || rep.Gone < old {
			t.Errorf("%+v, with %d entries of the old groups", rep, old)
		}
		same(t, theirs, append(gs, be)...)
		gs[1].Sleep()
		be.Sleep()
	}
}

// about counts the entries of a journal that are about a test's groups.
func about(t *testing.T, dir, prefix string) (n int) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, e := range j.Pending() {
		if strings.Contains(e.Path, prefix) && e.Op != journal.OpMkdir {
			n++
		}
	}
	return n
}

// quit closes an Engine and its journal.
func quit(t *testing.T, e *qos.Engine, j interface{ Close() error }) {
	t.Helper()
	if err := e.Close(); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// copyOf copies a journal's file to another directory.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "journal"))
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := os.WriteFile(filepath.Join(to, "journal"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}
