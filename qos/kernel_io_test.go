package qos

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/disks"
	"github.com/anole-os/anole/test/fault/groups"
)

// ioRig is an Engine that controls one disk, on which no latency-sensitive
// request is fast enough: best-effort work goes to its floor.
type ioRig struct {
	*rig
	d      *disks.Disk
	ls, be *groups.Group
}

func ioPolicyFor(n *groups.Node, d *disks.Disk, use string) Policy {
	p := testPolicy(n)
	p.BE.Priority, p.BE.Suppress = "off", "off"
	strict := yamlx.Duration(time.Microsecond)
	p.IO.Devices = []IODevice{{Match: d.Name, Use: use, Latency: &strict}}
	p.IO.Settle = yamlx.Duration(50 * time.Millisecond)
	return p
}

// v1Rig is a disk and two groups on cgroup v1.
func v1Rig(t *testing.T, disk func(testing.TB) *disks.Disk) (n *groups.Node, d *disks.Disk, ls, be *groups.Group) {
	t.Helper()
	n = groups.Open(t)
	n.V1()
	if _, ok := n.Tree.Version("blkio"); !ok {
		testkit.Need(t, missing("blkio", "the blkio controller", "boot with it"))
	}
	return n, disk(t), n.Make("ls.service"), n.Make("be.service")
}

func start(t *testing.T, n *groups.Node, d *disks.Disk, ls, be *groups.Group, p Policy) *ioRig {
	t.Helper()
	return &ioRig{rig: openRig(t, n, p, nil), d: d, ls: ls, be: be}
}

func (r *ioRig) status() IOStatus {
	for _, s := range r.Status().IO {
		if s.Disk == r.d.Name {
			return s
		}
	}
	return IOStatus{}
}

// line reads the disk's line of a file of a group.
func line(g *groups.Group, d *disks.Disk, file string) string {
	return cgroup.Line([]byte(g.Read(file)+"\n"), d.Number)
}

func TestKernelIOThrottleHoldsAndRestores(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	be.Write(blkio.FileReadBps, d.Number+" 77000000") // an operator's own
	was := groups.Snapshot(ls, be)
	writer := be.Run("sh", "-c", d.Writer())
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.steps(20)
	if line(be, d, blkio.FileWriteBps) != "" {
		t.Fatal("limited without latency-sensitive IO")
	}
	reader := ls.Run("sh", "-c", d.Reader())
	r.until("best-effort IO is at its floor", func() bool {
		s := r.status()
		v, _ := strconv.ParseFloat(line(be, d, blkio.FileWriteBps), 64)
		return s.Limit != nil && v > 0 && v <= 0.05*s.Capacity.WriteBytes
	})
	if got := line(ls, d, blkio.FileWriteBps); got != "" {
		t.Errorf("the LS group is limited: %s", got)
	}
	limit, _ := strconv.ParseFloat(line(be, d, blkio.FileWriteBps), 64)
	before, at := written(t, be, d), time.Now()
	for time.Since(at) < 2*time.Second {
		r.Step(time.Now())
		time.Sleep(20 * time.Millisecond)
	}
	rate := float64(written(t, be, d)-before) / time.Since(at).Seconds()
	if most := max(limit, r.status().Limit.WriteBytes)*1.5 + 1<<20; rate > most {
		t.Errorf("best-effort work writes %.0f B/s at a limit of %.0f", rate, limit)
	}
	x, err := r.Explain(be.Rel)
	if err != nil {
		t.Fatal(err)
	}
	told := false
	for _, f := range x.Files {
		told = told || strings.HasSuffix(f.File, blkio.FileReadBps+" "+d.Number) && f.Original == "77000000" && f.Current == f.Wanted && f.Why != ""
	}
	if !told {
		t.Errorf("explain tells nothing of the disk's line: %+v", x.Files)
	}
	_ = reader.Process.Kill()
	ls.Sleep()
	r.until("no limit without latency-sensitive IO", func() bool {
		return line(be, d, blkio.FileWriteBps) == "" && line(be, d, blkio.FileReadBps) == "77000000"
	})
	_ = writer.Process.Kill()
	r.close()
	same(t, was, ls, be)
}

// written is what a v1 group wrote to a disk so far.
func written(t *testing.T, g *groups.Group, d *disks.Disk) uint64 {
	t.Helper()
	var c blkio.Group
	if err := blkio.ParseServiced([]byte(g.Read(blkio.FileServicedBytes)), true, &c); err != nil {
		t.Fatal(err)
	}
	return c.Of(d.Number).WriteBytes
}

// held brings a rig to where best-effort IO is limited.
func (r *ioRig) held(file string) {
	r.t.Helper()
	r.be.Run("sh", "-c", r.d.Writer())
	r.ls.Run("sh", "-c", r.d.Reader())
	r.until("limited", func() bool { return line(r.be, r.d, file) != "" })
}

// floor brings it to where best-effort IO is at its floor.
func (r *ioRig) floor() {
	r.t.Helper()
	r.until("at the floor", func() bool {
		s := r.status()
		return s.Limit != nil && s.Limit.WriteBytes <= 0.011*s.Capacity.WriteBytes+256<<10
	})
}

func TestKernelIOForeignLimitIsAdopted(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteOps)
	be.Write(blkio.FileReadOps, d.Number+" 999")
	r.until("a limit that moves is set over theirs", func() bool { return line(be, d, blkio.FileReadOps) != "999" })
	r.floor()
	be.Write(blkio.FileReadOps, d.Number+" 12345")
	r.until("theirs is adopted", func() bool {
		for _, x := range r.Status().Decisions {
			if x.Result == "adopted" && strings.HasSuffix(x.File, blkio.FileReadOps+" "+d.Number) {
				return true
			}
		}
		return false
	})
	r.until("ours is set on top", func() bool { return line(be, d, blkio.FileReadOps) != "12345" })
	r.close()
	if got := line(be, d, blkio.FileReadOps); got != "12345" {
		t.Errorf("after Close: %q, want what somebody else wrote", got)
	}
	if got := line(be, d, blkio.FileWriteOps); got != "" {
		t.Errorf("after Close: writes are still limited: %q", got)
	}
}

// After kill -9 the journal alone knows what to put back.
func TestKernelIOJournalPutsLinesBack(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	be.Write(blkio.FileWriteOps, d.Number+" 4321")
	was := groups.Snapshot(ls, be)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	entries := r.j.Pending()
	dir := t.TempDir()
	next, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer next.Close()
	if err := next.Record(entries...); err != nil {
		t.Fatal(err)
	}
	rep := next.Restore(t.Context(), cgroup.Undo)
	if len(rep.Failed) > 0 {
		t.Error(rep.Failed)
	}
	same(t, was, ls, be)
}

func TestKernelIOBFQOnlyIfAsked(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	was, before := groups.Snapshot(ls, be), d.Scheduler()
	ls.Run("sh", "-c", d.Reader())
	be.Run("sh", "-c", d.Writer())
	p := ioPolicyFor(n, d, "bfq")
	r := start(t, n, d, ls, be, p)
	r.until("bfq cannot be had", func() bool { return len(r.degradedBy("io /dev/"+d.Name)) > 0 })
	if d.Scheduler() != before {
		t.Fatalf("the scheduler was switched unasked: %s", d.Scheduler())
	}
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler = "bfq" })
	r.until("best-effort work has the least weight", func() bool { return line(be, d, blkio.FileBFQv1) == "1" })
	if !strings.Contains(d.Scheduler(), "[bfq]") || len(r.degradedBy("io /dev/")) > 0 {
		t.Errorf("scheduler %s, degraded %v", d.Scheduler(), r.degradedBy("io"))
	}
	if s := r.status(); s.Mechanism != "bfq" || s.Scheduler != "bfq" || s.Limit != nil {
		t.Errorf("status: %+v", s)
	}
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler, p.IO.Devices[0].Use = "keep", "throttle" })
	r.until("the scheduler is back, and no weight", func() bool {
		return cgroup.Chosen(d.Scheduler()) == cgroup.Chosen(before) && !strings.Contains(be.Read(blkio.FileBFQv1), d.Number)
	})
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler, p.IO.Devices[0].Use = "bfq", "auto" })
	r.until("weights again", func() bool { return line(be, d, blkio.FileBFQv1) == "1" })
	r.close()
	if cgroup.Chosen(d.Scheduler()) != cgroup.Chosen(before) {
		t.Errorf("scheduler after Close: %s", d.Scheduler())
	}
	same(t, was, ls, be)
}

func TestKernelIODisksComeAndGo(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Loop)
	p := ioPolicyFor(n, d, "throttle")
	p.IO.Devices = []IODevice{{Match: "loop*", Use: "auto"}}
	ls.Sleep()
	be.Sleep()
	r := start(t, n, d, ls, be, p)
	r.until("the disk is seen", func() bool { return r.status().Mechanism == "throttle" })
	d.Detach()
	r.until("it is gone", func() bool { return r.status().Disk == "" })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
	d2 := disks.Loop(t)
	r.d = d2
	r.until("another one is seen", func() bool { return r.status().Mechanism == "throttle" })
	found := false
	for _, m := range r.Status().Mechanisms {
		found = found || m.Name == "io "+d2.Name && m.Using == "throttle" && strings.Contains(m.Why, "no io.max")
	}
	if !found {
		t.Errorf("%+v", r.Status().Mechanisms)
	}
}

// A disk that is unplugged while its line is set must not keep it: the number
// may be another's tomorrow.
func TestKernelIODiskGoesWhileHeld(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Loop)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	ls.Remove()
	be.Remove()
	d.Detach()
	r.until("it is gone", func() bool { return r.status().Disk == "" })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
}

func TestKernelIOGroupGoesWhileHeld(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	be.Remove()
	r.until("forgotten", func() bool { return r.class(be) == "" })
	be = n.Make("be.service")
	r.be = be
	be.Run("sh", "-c", d.Writer())
	r.until("the new one is limited", func() bool { return line(be, d, blkio.FileWriteBps) != "" })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
}

func TestKernelIOShares(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	be2 := n.Make("be2.service")
	be2.Run("sh", "-c", d.Writer())
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	rate := func(g *groups.Group) float64 {
		v, _ := strconv.ParseFloat(line(g, d, blkio.FileWriteBps), 64)
		return v
	}
	r.until("both have about half", func() bool {
		s := r.status()
		if s.Limit == nil {
			return false
		}
		a, b := rate(be), rate(be2)
		return a > 0 && b > 0 && a+b <= s.Limit.WriteBytes*1.15 && a < 2*b && b < 2*a
	})
}

// A workload that classes change for is let go at once.
func TestKernelIOClassChange(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	was := groups.Snapshot(be)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	r.set(func(p *Policy) {
		p.Rules = append([]Rule{{Match: matchPath(be.Rel), Class: class.LS}}, p.Rules...)
	})
	r.until("it is limited no more", func() bool { return line(be, d, blkio.FileWriteBps) == "" })
	same(t, was, be)
	r.set(func(p *Policy) { p.Rules = p.Rules[1:] })
	r.until("and again", func() bool { return line(be, d, blkio.FileWriteBps) != "" })
	r.set(func(p *Policy) { p.IO.Devices, p.IO.Use = nil, "off" })
	r.until("off is off", func() bool { return line(be, d, blkio.FileWriteBps) == "" })
	if s := r.Status(); len(s.IO) != 0 {
		t.Errorf("%+v", s.IO)
	}
}

func TestKernelIOSteadyStateWritesNothing(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	r.held(blkio.FileWriteBps)
	r.floor()
	before := r.writes()
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r.Step(time.Now())
	}
	if got := r.writes() - before; got > 0 {
		t.Errorf("%d writes in a steady state: %+v", got, r.Status().Decisions[:min(int(got), 5)])
	}
}

// A fault of the kernel is told, tried again, and heals.
func TestKernelIOFault(t *testing.T) {
	n, d, ls, be := v1Rig(t, disks.Any)
	fail := true
	r := &ioRig{d: d, ls: ls, be: be}
	r.rig = openRig(t, n, ioPolicyFor(n, d, "throttle"), func(path, _ string) error {
		if fail && filepath.Base(path) == blkio.FileWriteBps {
			return os.ErrInvalid
		}
		return nil
	})
	be.Run("sh", "-c", d.Writer())
	ls.Run("sh", "-c", d.Reader())
	r.until("degraded", func() bool { return len(r.degradedBy("io "+be.Rel)) > 0 })
	fail = false
	r.until("limited after all", func() bool { return line(be, d, blkio.FileWriteBps) != "" && len(r.degradedBy("io "+be.Rel)) == 0 })
}
