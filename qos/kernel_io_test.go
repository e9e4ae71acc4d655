package qos

import (
	"os"
	"path/filepath"
	"slices"
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
	p.Memory.Protect, p.Memory.Bound, p.Memory.Reclaim, p.Memory.OOMGroup, p.Memory.OOMScore = "off", "off", "off", "off", "off"
	strict := yamlx.Duration(time.Microsecond)
	p.IO.Devices = []IODevice{{Match: d.Name, Use: use, Latency: &strict}}
	p.IO.Settle, p.IO.Floor = yamlx.Duration(50*time.Millisecond), 0.01
	return p
}

// v1Rig is a disk and two groups on cgroup v1.
func v1Rig(t *testing.T) (n *groups.Node, d *disks.Disk, ls, be *groups.Group) {
	t.Helper()
	n = groups.Open(t)
	n.V1()
	if _, ok := n.Tree.Version("blkio"); !ok {
		testkit.Need(t, missing("blkio", "the blkio controller", "boot with it"))
	}
	return n, disks.Any(t), n.Make("ls.service"), n.Make("be.service")
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
	n, d, ls, be := v1Rig(t)
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
	counted := filepath.Join(n.Tree.Path("blkio", "/"), blkio.FileReadBps) + " " + d.Number
	if !slices.ContainsFunc(r.Status().Decisions, func(x Decision) bool { return x.File == counted && x.New == "0" && x.Result == "ok" }) {
		t.Errorf("no word of the write to %s", counted)
	}
	if got := line(ls, d, blkio.FileWriteBps); got != "" {
		t.Errorf("the LS group is limited: %s", got)
	}
	limit, _ := strconv.ParseFloat(line(be, d, blkio.FileWriteBps), 64)
	before, at := written(t, be, d), time.Now()
	for time.Since(at) < 2*time.Second {
		r.Step(time.Now())
		if s := r.status(); s.Limit != nil {
			limit = max(limit, s.Limit.WriteBytes) // it moves
		}
		time.Sleep(20 * time.Millisecond)
	}
	rate := float64(written(t, be, d)-before) / time.Since(at).Seconds()
	if most := limit*1.5 + 1<<20; rate > most {
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

// limitRig is a disk and two groups on either version, and what limits are by.
func limitRig(t *testing.T, disk func(testing.TB) *disks.Disk) (n *groups.Node, d *disks.Disk, ls, be *groups.Group, use string) {
	t.Helper()
	n = groups.Open(t)
	n.Either()
	use = "throttle"
	if n.Unified() {
		use = "io.max"
	}
	return n, disk(t), n.Make("ls.service"), n.Make("be.service"), use
}

// writeLimit is what a group may write to the disk a second, 0 for no limit.
func (r *ioRig) writeLimit(g *groups.Group) float64 {
	s := line(g, r.d, blkio.FileWriteBps)
	if r.n.Unified() {
		s = field(line(g, r.d, blkio.FileMax), "wbps")
	}
	v, _ := strconv.ParseFloat(s, 64)
	return v
}

// readOps is what somebody said of the reads a second.
func (r *ioRig) readOps(g *groups.Group) string {
	if r.n.Unified() {
		return field(line(g, r.d, blkio.FileMax), "riops")
	}
	return line(g, r.d, blkio.FileReadOps)
}

func (r *ioRig) foreign(g *groups.Group, ops string) {
	if r.n.Unified() {
		g.Write(blkio.FileMax, r.d.Number+" riops="+ops)
		return
	}
	g.Write(blkio.FileReadOps, r.d.Number+" "+ops)
}

// held brings a rig to where best-effort IO is limited.
func (r *ioRig) held() {
	r.t.Helper()
	r.be.Run("sh", "-c", r.d.Writer())
	r.ls.Run("sh", "-c", r.d.Reader())
	r.until("limited", func() bool { return r.writeLimit(r.be) > 0 })
}

// floor brings it to where best-effort IO is at its floor.
func (r *ioRig) floor() {
	r.t.Helper()
	r.until("at the floor", func() bool {
		s := r.status()
		return s.Limit != nil && s.Limit.WriteBytes <= 0.016*s.Capacity.WriteBytes+256<<10
	})
}

func TestKernelIOForeignLimitIsAdopted(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
	r.foreign(be, "999")
	adopted := func(v string) func() bool {
		return func() bool {
			return slices.ContainsFunc(r.Status().Decisions, func(x Decision) bool {
				return x.Result == "adopted" && strings.HasSuffix(x.File, " "+d.Number) && strings.Contains(x.New, v)
			})
		}
	}
	r.until("theirs is adopted while the limit moves", adopted("999"))
	r.until("a limit is set over theirs", func() bool { return r.readOps(be) != "999" })
	r.floor()
	r.foreign(be, "12345")
	r.until("theirs is adopted", adopted("12345"))
	r.until("ours is set on top", func() bool { return r.readOps(be) != "12345" })
	r.close()
	if got := r.readOps(be); got != "12345" {
		t.Errorf("after Close: %q, want what somebody else wrote", got)
	}
	if got := r.writeLimit(be); got != 0 {
		t.Errorf("after Close: writes are still limited: %.0f", got)
	}
}

// After kill -9 the journal alone knows what to put back.
func TestKernelIOJournalPutsLinesBack(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	if n.Unified() {
		be.Write(blkio.FileMax, d.Number+" wiops=4321")
	} else {
		be.Write(blkio.FileWriteOps, d.Number+" 4321")
	}
	was := groups.Snapshot(ls, be)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
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
	n, d, ls, be, limit := limitRig(t, disks.Any)
	file := blkio.FileBFQv1
	if n.Unified() {
		file = blkio.FileBFQ
	}
	before := d.Scheduler()
	d.Schedule("bfq") // its files are there from the first time that it is used
	d.Schedule(cgroup.Chosen(before))
	was := groups.Snapshot(ls, be)
	before = d.Scheduler()
	ls.Run("sh", "-c", d.Reader())
	be.Run("sh", "-c", d.Writer())
	p := ioPolicyFor(n, d, "bfq")
	r := start(t, n, d, ls, be, p)
	r.until("bfq cannot be had", func() bool { return len(r.degradedBy("io /dev/"+d.Name)) > 0 })
	if d.Scheduler() != before {
		t.Fatalf("the scheduler was switched unasked: %s", d.Scheduler())
	}
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler = "bfq" })
	r.until("best-effort work has the least weight", func() bool { return line(be, d, file) == "1" })
	if !strings.Contains(d.Scheduler(), "[bfq]") || len(r.degradedBy("io /dev/")) > 0 {
		t.Errorf("scheduler %s, degraded %v", d.Scheduler(), r.degradedBy("io"))
	}
	if s := r.status(); s.Mechanism != "bfq" || s.Scheduler != "bfq" || s.Limit != nil {
		t.Errorf("status: %+v", s)
	}
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler, p.IO.Devices[0].Use = "keep", limit })
	r.until("the scheduler is back, and no weight", func() bool {
		return cgroup.Chosen(d.Scheduler()) == cgroup.Chosen(before) && !strings.Contains(be.Read(file), d.Number)
	})
	r.set(func(p *Policy) { p.IO.Devices[0].Scheduler, p.IO.Devices[0].Use = "bfq", "bfq" })
	r.until("weights again", func() bool { return line(be, d, file) == "1" })
	r.close()
	if cgroup.Chosen(d.Scheduler()) != cgroup.Chosen(before) {
		t.Errorf("scheduler after Close: %s", d.Scheduler())
	}
	same(t, was, ls, be)
}

func TestKernelIODisksComeAndGo(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Loop)
	p := ioPolicyFor(n, d, use)
	p.IO.Devices = []IODevice{{Match: "loop*", Use: use}}
	ls.Sleep()
	be.Sleep()
	r := start(t, n, d, ls, be, p)
	r.until("the disk is seen", func() bool { return r.status().Mechanism == use })
	d.Detach()
	r.until("it is gone", func() bool { return r.status().Disk == "" })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
	d2 := disks.Loop(t)
	r.d = d2
	r.until("another one is seen", func() bool { return r.status().Mechanism == use })
	found := false
	for _, m := range r.Status().Mechanisms {
		found = found || m.Name == "io "+d2.Name && m.Using == use && m.Why != ""
	}
	if !found {
		t.Errorf("%+v", r.Status().Mechanisms)
	}
}

// A disk that is unplugged while its line is set must not keep it: the number
// may be another's tomorrow.
func TestKernelIODiskGoesWhileHeld(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Loop)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
	ls.Remove()
	be.Remove()
	d.Detach()
	r.until("it is gone", func() bool { return r.status().Disk == "" })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
}

func TestKernelIOGroupGoesWhileHeld(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
	be.Remove()
	r.until("forgotten", func() bool { return r.class(be) == "" })
	be = n.Make("be.service")
	r.be = be
	be.Run("sh", "-c", d.Writer())
	r.until("the new one is limited", func() bool { return r.writeLimit(be) > 0 })
	if bad := r.degradedBy("io"); len(bad) > 0 {
		t.Error(bad)
	}
}

func TestKernelIOShares(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	be2 := n.Make("be2.service")
	be2.Run("sh", "-c", d.Writer())
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
	r.until("both have about half", func() bool {
		s := r.status()
		if s.Limit == nil {
			return false
		}
		a, b := r.writeLimit(be), r.writeLimit(be2)
		return a > 0 && b > 0 && a+b <= s.Limit.WriteBytes*1.15 && a < 2*b && b < 2*a
	})
}

// A workload that classes change for is let go at once.
func TestKernelIOClassChange(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	was := groups.Snapshot(be)
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, use))
	r.held()
	r.set(func(p *Policy) {
		p.Rules = append([]Rule{{Match: matchPath(be.Rel), Class: class.LS}}, p.Rules...)
	})
	r.until("it is limited no more", func() bool { return r.writeLimit(be) == 0 })
	same(t, was, be)
	r.set(func(p *Policy) { p.Rules = p.Rules[1:] })
	r.until("and again", func() bool { return r.writeLimit(be) > 0 })
	r.set(func(p *Policy) { p.IO.Devices, p.IO.Use = nil, "off" })
	r.until("off is off", func() bool { return r.writeLimit(be) == 0 })
	if s := r.Status(); len(s.IO) != 0 {
		t.Errorf("%+v", s.IO)
	}
}

func TestKernelIOSteadyStateWritesNothing(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	p := ioPolicyFor(n, d, use)
	// What a busy machine sees of a disk grows for a while; the floor with it.
	p.IO.Devices[0].Capacity = &IOCapacity{ReadBytes: 1 << 30, WriteBytes: 1 << 30, ReadOps: 100_000, WriteOps: 100_000}
	r := start(t, n, d, ls, be, p)
	r.held()
	// It has come down only when the next step to the floor would be too small to
	// be written: a window on a slow disk takes longer than the second below.
	r.until("at the very floor", func() bool {
		s := r.status()
		return s.Limit != nil && s.Limit.WriteBytes <= 0.0105*s.Capacity.WriteBytes
	})
	before, since := r.writes(), time.Now()
	r.until("a second without a write", func() bool { // how the limit is split settles
		if n := r.writes(); n != before {
			before, since = n, time.Now()
		}
		return time.Since(since) > time.Second
	})
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		r.Step(time.Now())
	}
	if got := r.writes() - before; got > 0 {
		t.Errorf("%d writes in a steady state: %+v", got, r.Status().Decisions[:min(int(got), 5)])
	}
}

// A fault of the kernel is told, tried again, and heals.
func TestKernelIOFault(t *testing.T) {
	n, d, ls, be, use := limitRig(t, disks.Any)
	fail := true
	r := &ioRig{d: d, ls: ls, be: be}
	r.rig = openRig(t, n, ioPolicyFor(n, d, use), func(path, _ string) error {
		if fail && (filepath.Base(path) == blkio.FileWriteBps || filepath.Base(path) == blkio.FileMax) {
			return os.ErrInvalid
		}
		return nil
	})
	be.Run("sh", "-c", d.Writer())
	ls.Run("sh", "-c", d.Reader())
	r.until("degraded", func() bool { return len(r.degradedBy("io "+be.Rel)) > 0 })
	fail = false
	r.until("limited after all", func() bool { return r.writeLimit(be) > 0 && len(r.degradedBy("io "+be.Rel)) == 0 })
}

// A v1 limit does not reach what is below a cgroup, so it is given there too.
func TestKernelIOThrottleReachesBelow(t *testing.T) {
	n, d, ls, be := v1Rig(t)
	inner := n.Make("be.service/inner")
	was := groups.Snapshot(be, inner)
	inner.Run("sh", "-c", d.Writer())
	be.Sleep()
	r := start(t, n, d, ls, be, ioPolicyFor(n, d, "throttle"))
	ls.Run("sh", "-c", d.Reader())
	r.until("the inner group is limited", func() bool { return r.writeLimit(inner) > 0 && r.writeLimit(inner) == r.writeLimit(be) })
	r.close()
	same(t, was, be, inner)
}
