package qos

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/class"
)

// ioPart isolates block IO by class, disk by disk; the library is blkio. On
// disks whose mechanism is a limit a Governor moves that; weights and io.cost
// stand while both classes are on the node.
type ioPart struct {
	e      *Engine
	policy IOPolicy
	names  []string // of policy.Devices, resolved
	on     bool
	kernel blkio.Kernel
	asked  bool

	disks   []*ioDisk
	listed  string    // names seen in /sys/block
	looked  time.Time // when those were read
	scanned time.Time // when all disks were read

	groups   map[*group]*ioGroup
	waits    ioWaits
	trace    ioTrace
	units    []*ioUnit
	stale    bool // the groups are others than those of units
	split    time.Time
	moved    bool // a limit did since lines were made
	costKnob ioUnit
	buf      [64 << 10]byte // many disks make long files
}

// ioDisk is one disk that is controlled.
type ioDisk struct {
	blkio.Taken
	ioSettings
	mech   blkio.Mechanism
	why    string
	err    error
	gov    *blkio.Governor
	limit  blkio.Decision
	counts bool // cgroup v1 counts on this disk
	meter  ioMeter
}

func newIOPart(e *Engine) *ioPart {
	return &ioPart{e: e, groups: map[*group]*ioGroup{}}
}

func (p *ioPart) name() string    { return "io" }
func (p *ioPart) kinds() []string { return []string{"io", "iocost"} }

func (p *ioPart) install(policy *Policy) {
	p.policy = policy.IO
	p.policy.Devices = slices.Clone(policy.IO.Devices)
	p.on = !p.policy.off()
	p.scanned, p.stale, p.moved = time.Time{}, true, true
	p.trace.failed = nil
	delete(p.e.degraded, "io latency")
	delete(p.e.degraded, "io")
	if !p.on {
		p.shut()
		return
	}
	p.names = p.names[:0]
	for _, d := range p.policy.Devices {
		p.names = append(p.names, blkio.Resolve(p.e.root, d.Match))
	}
	p.probe()
	p.on = p.kernel.Unified || p.kernel.V1
}

// probe asks the kernel until it was told.
func (p *ioPart) probe() {
	if p.asked {
		return
	}
	k, err := askIO(p.e.tree)
	p.kernel, p.asked = k, err == nil
	p.tell("io", err)
}

// tell books an error, or that there is none any more.
func (p *ioPart) tell(what string, err error) {
	if err != nil {
		p.e.degrade(what, err)
	} else {
		delete(p.e.degraded, what)
	}
}

// askIO finds out what the kernel has for block IO.
func askIO(t *cgroup.Tree) (k blkio.Kernel, err error) {
	if v, ok := t.Version("io"); ok && v == cgroup.V2 {
		k.Unified = true
		root, err := cgroup.OpenDir(t.Path("io", "/"))
		if err != nil {
			return k, fmt.Errorf("probe io: %w", err)
		}
		defer root.Close()
		k.Cost = root.Has(blkio.FileQoS)
		return k, actuate.ProbeIn(t, "io", func(d *cgroup.Dir) error {
			// Without io in the root's subtree_control the child has none of its
			// files, and what it would have shows only once it was given some.
			k.Throttle = d.Has(blkio.FileMax) || !d.Has("io.stat")
			k.Weights = d.Has(blkio.FileBFQ)
			return nil
		})
	}
	if v, ok := t.Version("blkio"); ok && v == cgroup.V1 {
		k.V1 = true
		return k, actuate.ProbeIn(t, "blkio", func(d *cgroup.Dir) error {
			k.Throttle = d.Has(blkio.FileReadBps)
			k.Weights = d.Has(blkio.FileBFQv1)
			return nil
		})
	}
	return k, &feature.UnsupportedError{
		Feature: "IO isolation", Reason: feature.NoKernel, Need: "the io (cgroup v2) or blkio (v1) controller",
		Fix: "mount cgroup2, or: mount -t cgroup -o blkio none /sys/fs/cgroup/blkio",
	}
}

// controller is the one whose hierarchy the files are in.
func (p *ioPart) controller() string {
	if p.kernel.Unified {
		return "io"
	}
	return "blkio"
}

// How often the disks are looked for: their names, and all about them.
const (
	listEvery = time.Second
	scanEach  = 5 * time.Second
)

func due(now, last time.Time, every time.Duration) bool {
	return last.IsZero() || now.Sub(last) >= every || last.After(now)
}

// scan follows disks that come and go, and chooses for new ones.
func (p *ioPart) scan(now time.Time) {
	if !due(now, p.looked, listEvery) && !p.scanned.IsZero() {
		return
	}
	p.looked = now
	names := blkio.Names(p.e.root)
	if names == p.listed && !due(now, p.scanned, scanEach) {
		return
	}
	p.listed, p.scanned = names, now
	p.probe()
	all, err := blkio.Disks(p.e.root)
	if p.tell("io disks", err); err != nil {
		return
	}
	old := p.disks
	p.disks = nil
	for _, t := range blkio.Take(all, p.names) {
		i := slices.IndexFunc(old, func(d *ioDisk) bool { return d.Name == t.Name && d.Number == t.Number && d.Seq == t.Seq })
		var d *ioDisk
		if i >= 0 {
			d = old[i]
			old = slices.Delete(old, i, i+1)
		} else {
			d = &ioDisk{}
			p.moved = true
		}
		p.settle(d, t)
		p.disks = append(p.disks, d)
	}
	for _, d := range old {
		for _, x := range p.groups {
			delete(x.rates, d)
		}
		for _, u := range p.units {
			delete(u.given, d)
		}
		p.trace.leave(d)
		d.meter.close()
		delete(p.e.degraded, d.trouble())
		p.moved = true
	}
}

// trouble is the key of a disk's degradation.
func (d *ioDisk) trouble() string { return "io /dev/" + d.Name }

// settle brings one disk in line with what it is and what the policy says.
func (p *ioPart) settle(d *ioDisk, t blkio.Taken) {
	d.Taken, d.ioSettings = t, p.policy.of(t.By)
	p.schedule(d)
	if d.Scheduler == "bfq" && !p.kernel.Weights {
		if k, err := askIO(p.e.tree); err == nil {
			p.kernel = k // the module has come
		}
	}
	mech, why, err := blkio.Choose(p.kernel, &d.Disk, d.use)
	d.err = err
	if err != nil {
		why = err.Error()
		p.e.degrade(d.trouble(), err)
	} else {
		delete(p.e.degraded, d.trouble())
	}
	if d.gov == nil || mech != d.mech {
		d.gov, d.limit = blkio.NewGovernor(d.options), blkio.Decision{}
		p.moved = true
	}
	d.mech, d.why = mech, why
	d.options.Passive = !mech.Limits()
	d.gov.SetOptions(d.options)
}

// schedule gives a disk the scheduler that the policy asks for, and the old one
// back when it does no longer.
func (p *ioPart) schedule(d *ioDisk) {
	queue := filepath.Join(p.e.root, "/sys/block", d.Name, "queue")
	file := filepath.Join(queue, "scheduler")
	ours := func(e *journal.Entry) bool { return e.Op == cgroup.OpChoice && e.Path == file }
	if d.elevator != "bfq" {
		if d.Scheduler == "bfq" {
			if errs := p.e.w.Restore(ours); len(errs) == 0 {
				d.reread(p.e.root)
			}
		}
		return
	}
	if d.Scheduler == "bfq" || !d.Multi {
		return
	}
	dir, err := cgroup.OpenDir(queue)
	if err != nil {
		return // it was unplugged
	}
	defer dir.Close()
	old, wrote, err := p.e.w.Choose(cgroup.Edit{Dir: dir, File: "scheduler", Value: "bfq"})
	if wrote || err != nil {
		p.note(file, old, "bfq", "io.scheduler: bfq", err)
	}
	if err == nil {
		d.Scheduler = "bfq"
	}
}

// reread looks again at a disk's scheduler.
func (d *ioDisk) reread(root string) {
	if now, err := blkio.Scheduler(root, d.Name); err == nil {
		d.Scheduler = now
	}
}

// note records a write that is no knob's.
func (p *ioPart) note(file, old, now, why string, err error) {
	result := "ok"
	if err != nil {
		result = "error: " + err.Error()
	}
	p.e.totals.wrote(file, result)
	p.e.history.add(Decision{
		Time: time.Now().UnixMilli(), Controller: "io", Workload: "/", File: file, Old: old, New: now, Why: why, Result: result,
	})
}

func (p *ioPart) assign(g *group) {
	p.stale = true
	x := p.groups[g]
	if want := g.Class.Sensitive() || g.Class == class.BE; !want || !p.on {
		p.forget(g)
	} else if x == nil {
		p.groups[g] = &ioGroup{g: g}
	}
}

func (p *ioPart) drop(g *group) {
	p.stale = true
	p.forget(g)
}

func (p *ioPart) forget(g *group) {
	if x := p.groups[g]; x != nil {
		x.healed(p)
		p.untrace(x)
		x.close()
		delete(p.groups, g)
	}
}

func (p *ioPart) apply(time.Time) {}

func (p *ioPart) close() error {
	p.shut()
	return nil
}

// shut frees all files. What knobs hold, the Engine puts back.
func (p *ioPart) shut() {
	for g := range p.groups {
		p.forget(g)
	}
	for _, d := range p.disks {
		d.meter.close()
		delete(p.e.degraded, d.trouble())
	}
	for _, u := range p.units {
		p.leave(u)
	}
	p.leave(&p.costKnob)
	p.waits.close()
	p.trace.close()
	p.disks, p.units, p.listed = nil, nil, ""
	if p.kernel.Unified || p.kernel.V1 {
		errs := p.e.w.Restore(func(e *journal.Entry) bool {
			return e.Owner == "qos" && e.Op == cgroup.OpChoice && strings.HasSuffix(e.Path, "/queue/scheduler")
		})
		p.tell("io schedulers", errors.Join(errs...))
	}
	delete(p.e.degraded, "io delegation")
	delete(p.e.degraded, "io disks")
}

func (p *ioPart) mechanisms() []Mechanism {
	if !p.on {
		why := "io.use is off"
		if d, ok := p.e.degraded["io"]; ok {
			why = d.Detail
		}
		return []Mechanism{{"io", "off", why}}
	}
	if len(p.disks) == 0 {
		return []Mechanism{{"io", "off", "no disk to control: loop, RAM and such are taken only when io.devices names them"}}
	}
	out := []Mechanism{}
	if p.limits() {
		out = append(out, p.latencyFrom())
	}
	for i, d := range p.disks {
		if i == maxDisks {
			out = append(out, Mechanism{"io", fmt.Sprintf("and %d disks more", len(p.disks)-i), "see the disks in the status"})
			break
		}
		m := Mechanism{"io " + d.Name, string(d.mech), d.why}
		if d.mech == blkio.Off {
			m.Using = "off"
		}
		if d.limit.Limited && d.mech.Limits() {
			m.Why += fmt.Sprintf("; best-effort work may now %v, as %s", d.limit.Limit, d.limit.Why)
		}
		out = append(out, m)
	}
	return out
}

// maxDisks bounds the lines of the mechanisms and the series of single disks.
const maxDisks = 32
