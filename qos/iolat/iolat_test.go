package iolat

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/runq"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
)

func number(t *testing.T, d *disks.Disk) uint32 {
	t.Helper()
	major, minor, _ := strings.Cut(d.Number, ":")
	a, err := strconv.ParseUint(major, 10, 12)
	if err != nil {
		t.Fatal(err)
	}
	b, err := strconv.ParseUint(minor, 10, 20)
	if err != nil {
		t.Fatal(err)
	}
	return Disk(uint32(a), uint32(b))
}

// id is the cgroup's inode in the hierarchy that IO is counted in.
func id(t *testing.T, n *groups.Node, g *groups.Group) uint64 {
	t.Helper()
	controller := "blkio"
	if _, ok := n.Tree.Version("blkio"); !ok {
		controller = "io"
	}
	dir, err := cgroup.OpenDir(n.Tree.Path(controller, g.Rel))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	return dir.Ino()
}

// read reads a disk in a group, 4 KiB at a time, and waits for it.
func read(t *testing.T, g *groups.Group, d *disks.Disk, n int) {
	t.Helper()
	done := t.TempDir() + "/done"
	g.Run("sh", "-c", "sleep 0.2; dd if="+d.Path+" of=/dev/null bs=4k count="+strconv.Itoa(n)+" iflag=direct 2>/dev/null; echo > "+done)
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(done); err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("dd does not end")
		}
	}
}

func TestKernelCountsChosenRequests(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	d := disks.Any(t)
	tr, err := Open()
	testkit.Need(t, err)
	defer tr.Close()
	a, b := n.Make("a.service"), n.Make("b.service")
	if n.Unified() { // so that the kernel tells the requests of groups apart
		_ = exec.Command("sh", "-c", "echo +io > "+n.Tree.Mount("cpu")+"/cgroup.subtree_control").Run()
	}
	disk := number(t, d)
	if err := errors.Join(tr.Watch(disk), tr.Count(id(t, n, a))); err != nil {
		t.Fatal(err)
	}
	read(t, a, d, 100)
	read(t, b, d, 70)
	var h runq.Hist
	if err := tr.Read(disk, &h); err != nil {
		t.Fatal(err)
	}
	if got := h.Count(); got < 100 || got > 110 {
		t.Errorf("%d requests were counted, 100 were made", got)
	}
	if m := h.Mean(); m < time.Microsecond || m > 10*time.Second {
		t.Errorf("mean %v", m)
	}
	if err := tr.Drop(id(t, n, a)); err != nil {
		t.Fatal(err)
	}
	read(t, a, d, 50)
	var later runq.Hist
	if err := tr.Read(disk, &later); err != nil || later.Count() != h.Count() {
		t.Errorf("after Drop %d, before %d: %v", later.Count(), h.Count(), err)
	}
	if err := errors.Join(tr.Unwatch(disk), tr.Unwatch(disk), tr.Drop(12345)); err != nil {
		t.Errorf("what is not there: %v", err)
	}
	if err := tr.Read(disk, &h); err == nil {
		t.Error("a disk that is not watched is read")
	}
}

func TestClosedTracer(t *testing.T) {
	testkit.NeedRoot(t)
	tr, err := Open()
	testkit.Need(t, err)
	if err := errors.Join(tr.Close(), tr.Close()); err != nil {
		t.Error(err)
	}
	if err := tr.Count(1); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}
