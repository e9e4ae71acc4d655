package qos

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
)

// nullRig is a disk in memory and two groups on cgroup v2.
func nullRig(t *testing.T) (n *groups.Node, d *disks.Disk, ls, be *groups.Group) {
	t.Helper()
	n = groups.Open(t)
	n.V2()
	return n, disks.Null(t), n.Make("ls.service"), n.Make("be.service")
}

// wrote is what a v2 group wrote to a disk so far.
func wrote(t *testing.T, g *groups.Group, d *disks.Disk) uint64 {
	t.Helper()
	var c blkio.Group
	if err := blkio.ParseIOStat([]byte(g.Read("io.stat")+"\n"), &c); err != nil {
		t.Fatal(err)
	}
	return c.Of(d.Number).WriteBytes
}

// field reads one of a line's fields, "wbps" of "rbps=max wbps=1".
func field(line, key string) string {
	for _, f := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(f, key+"="); ok {
			return v
		}
	}
	return ""
}

// during steps for a while and gives what the group wrote meanwhile.
func (r *ioRig) during(d time.Duration, g *groups.Group) float64 {
	before, at := wrote(r.t, g, r.d), time.Now()
	for time.Since(at) < d {
		r.Step(time.Now())
		time.Sleep(20 * time.Millisecond)
	}
	return float64(wrote(r.t, g, r.d)-before) / time.Since(at).Seconds()
}

func TestKernelIOUnifiedMaxHoldsAndRestores(t *testing.T) {
	n, d, ls, be := nullRig(t)
	p := ioPolicyFor(n, d, "io.max")
	p.IO.Devices[0].Capacity = &IOCapacity{ReadBytes: 100 << 20, WriteBytes: 100 << 20, ReadOps: 100_000, WriteOps: 100_000}
	was := groups.Snapshot(ls, be)
	r := start(t, n, d, ls, be, p)
	be.Run("sh", "-c", d.Writer())
	ls.Sleep()
	r.steps(20)
	if line(be, d, blkio.FileMax) != "" {
		t.Error("limited without latency-sensitive IO")
	}
	reader := ls.Run("sh", "-c", d.Reader())
	r.until("about at the floor", func() bool { w := r.writeLimit(be); return w > 0 && w <= 1.5*(1<<20) })
	if got := line(ls, d, blkio.FileMax); got != "" {
		t.Errorf("the LS group is limited: %s", got)
	}
	if rate := r.during(3*time.Second, be); rate > 5<<19 {
		t.Errorf("best-effort work writes %.0f B/s at a limit of 1 MiB/s", rate)
	}
	_ = reader.Process.Kill()
	ls.Sleep()
	r.until("no limit without latency-sensitive IO", func() bool { return line(be, d, blkio.FileMax) == "" })
	r.close()
	same(t, was, ls, be)
}

func TestKernelIOUnifiedCostSharesByWeight(t *testing.T) {
	n, d, ls, be := nullRig(t)
	p := ioPolicyFor(n, d, "io.cost")
	p.IO.Devices[0].Latency = new(yamlx.Duration)
	p.IO.Devices[0].Capacity = &IOCapacity{ReadBytes: 20 << 20, WriteBytes: 20 << 20, ReadOps: 5000, WriteOps: 5000}
	root := filepath.Join(n.Tree.Path("io", "/"), blkio.FileQoS)
	if _, err := os.Stat(root); err != nil {
		testkit.Need(t, missing("io.cost", "CONFIG_BLK_CGROUP_IOCOST", "boot a kernel that has it"))
	}
	was := groups.Snapshot(ls, be)
	for _, g := range []*groups.Group{ls, be} {
		g.Run("sh", "-c", d.Writer())
	}
	r := start(t, n, d, ls, be, p)
	costLine := func(file string) string {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(root), file))
		if err != nil {
			t.Fatal(err)
		}
		return cgroup.Line(b, d.Number)
	}
	r.until("io.cost is on", func() bool {
		return field(costLine(blkio.FileQoS), "enable") == "1" && line(be, d, blkio.FileWeight) == "1"
	})
	if got := field(costLine(blkio.FileModel), "wbps"); got != "20971520" {
		t.Errorf("model: %s", costLine(blkio.FileModel))
	}
	r.during(time.Second, be)
	mine, at := wrote(t, ls, d), time.Now()
	theirs := r.during(5*time.Second, be)
	own := float64(wrote(t, ls, d)-mine) / time.Since(at).Seconds()
	t.Logf("LS %.1f MB/s, BE %.1f MB/s", own/1e6, theirs/1e6)
	if own < 4*theirs {
		t.Errorf("LS writes %.0f B/s, best effort %.0f", own, theirs)
	}
	r.close()
	if got := costLine(blkio.FileQoS); got != "" && (field(got, "enable") != "0" || field(got, "ctrl") != "auto") {
		t.Errorf("io.cost.qos after Close: %s", got)
	}
	if got := costLine(blkio.FileModel); got != "" && field(got, "ctrl") != "auto" {
		t.Errorf("io.cost.model after Close: %s", got)
	}
	same(t, was, ls, be)
}

// What a program writes without O_DIRECT reaches the disk later, from a thread
// of the kernel's. On cgroup v2 it is held all the same.
func TestKernelIOUnifiedBufferedWritesAreHeld(t *testing.T) {
	n, d, ls, be := nullRig(t)
	testkit.Module(t, "ext4")
	mke2fs, err := exec.LookPath("mke2fs")
	if err != nil {
		mke2fs = testkit.NeedTool(t, "busybox")
	}
	mkfs := exec.Command(mke2fs, "-F", d.Path)
	if filepath.Base(mke2fs) == "busybox" {
		mkfs = exec.Command(mke2fs, "mke2fs", "-F", d.Path)
	}
	if out, err := mkfs.CombinedOutput(); err != nil {
		t.Fatalf("make a file system: %v: %s", err, out)
	}
	mnt := t.TempDir()
	if out, err := exec.Command("mount", "-t", "ext4", d.Path, mnt).CombinedOutput(); err != nil {
		t.Fatalf("mount: %v: %s", err, out)
	}
	t.Cleanup(func() {
		be.Remove() // it writes there
		if out, err := exec.Command("umount", mnt).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	p := ioPolicyFor(n, d, "io.max")
	p.IO.Devices[0].Capacity = &IOCapacity{ReadBytes: 100 << 20, WriteBytes: 100 << 20, ReadOps: 100_000, WriteOps: 100_000}
	ls.Sleep()
	be.Run("sh", "-c", "while :; do dd if=/dev/zero of="+mnt+"/file bs=64k count=64 conv=fsync 2>/dev/null; done")
	r := start(t, n, d, ls, be, p)
	free := r.during(3*time.Second, be)
	ls.Run("sh", "-c", d.Reader())
	r.until("about at the floor", func() bool { w := r.writeLimit(be); return w > 0 && w <= 1.5*(1<<20) })
	r.during(2*time.Second, be) // what was under way
	held := r.during(5*time.Second, be)
	t.Logf("without O_DIRECT: %.1f MB/s free, %.1f MB/s held", free/1e6, held/1e6)
	if free < 4<<20 {
		t.Errorf("%.0f B/s without a limit: this tests nothing, or the writeback is somebody else's", free)
	}
	if held > 5<<19 || held < 256<<10 {
		t.Errorf("buffered writes reach the disk at %.0f B/s at a limit of 1 MiB/s", held)
	}
}

// With only the cpu controller handed down, the part hands io down by itself,
// and takes that back.
func TestKernelIOUnifiedDelegation(t *testing.T) {
	if !testkit.Guest() {
		testkit.Need(t, missing("io delegation", "a cgroup tree that is nobody else's", "run the test in a virtual machine"))
	}
	n, d, _, _ := nullRig(t)
	control := filepath.Join(n.Tree.Path("io", "/"), "cgroup.subtree_control")
	if err := os.WriteFile(control, []byte("-io"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.WriteFile(control, []byte("+io"), 0) })
	before, err := os.ReadFile(control)
	if err != nil {
		t.Fatal(err)
	}
	ls, be := n.Make("ls2.service"), n.Make("be2.service")
	if _, err := os.Stat(be.Path("io.stat")); err == nil {
		t.Fatal("io is handed down already")
	}
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "io.max"))
	r.held()
	r.close()
	after, err := os.ReadFile(control)
	if err != nil || string(after) != string(before) {
		t.Errorf("cgroup.subtree_control: %q, was %q, %v", after, before, err)
	}
}
