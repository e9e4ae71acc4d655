package qos

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/control"
)

// ioUnit is a cgroup whose IO is held: the home of best-effort groups on v2,
// where a limit counts for all below, each of them on v1, where it counts for
// the cgroup's own tasks alone.
type ioUnit struct {
	rel, key string
	id       string // for people
	g        *group // a member
	members  []*ioGroup
	given    map[*ioDisk]blkio.Rates // its part of each limit
	intent   control.Intent
	lines    []keyedLine
	// below are the cgroups inside, on v1: a limit there counts for a cgroup's
	// own tasks, so each of them is given the unit's.
	below  []*ioUnit
	looked time.Time // when those were looked for
}

// mostBelow bounds the cgroups inside one workload that are held.
const mostBelow = 64

// idleAfter is how long a unit counts for the split after its last request.
const idleAfter = 10 * time.Second

func (p *ioPart) decide(out []control.Intent, now time.Time, _ time.Duration) []control.Intent {
	if !p.on || !p.both() {
		if p.on {
			p.calm(now)
		}
		return out
	}
	if p.stale {
		p.arrange()
	}
	for _, d := range p.disks {
		p.govern(d, now)
	}
	if p.moved || due(now, p.split, time.Second) && p.short() {
		p.moved, p.split = false, now
		p.draw(now)
	}
	out = p.ask(out, &p.costKnob, now)
	for _, u := range p.units {
		out = p.ask(out, u, now)
		p.lookBelow(u, now)
		for _, b := range u.below {
			b.say(u.lines, u.intent.Why)
			out = p.ask(out, b, now)
		}
	}
	p.prepare()
	return out
}

// prepare journals what lines that are new will overwrite, with one fsync for
// all units.
func (p *ioPart) prepare() {
	var fresh []cgroup.Keyed
	for _, u := range p.units {
		k, _ := p.e.knobs[u.key].(*keyedKnob)
		if k == nil || len(u.lines) <= len(k.lines) {
			continue
		}
		for _, l := range u.lines {
			if !slices.ContainsFunc(k.lines, l.same) {
				fresh = append(fresh, k.keyed(l))
			}
		}
	}
	if len(fresh) > 1 {
		p.e.journalled(p.e.w.JournalKeyed(fresh...))
	}
}

// lookBelow finds the cgroups inside a unit on v1.
func (p *ioPart) lookBelow(u *ioUnit, now time.Time) {
	if p.kernel.Unified || len(u.lines) == 0 || !due(now, u.looked, retryEvery) {
		return
	}
	u.looked = now
	old := u.below
	u.below = nil
	for _, rel := range cgroup.Below(p.e.tree.Path("blkio", u.rel), mostBelow) {
		rel = path.Join(u.rel, rel)
		i := slices.IndexFunc(old, func(b *ioUnit) bool { return b.rel == rel })
		if i < 0 {
			u.below = append(u.below, &ioUnit{rel: rel, key: "io " + rel, id: u.id})
			continue
		}
		u.below = append(u.below, old[i])
	}
	for _, b := range old {
		if !slices.Contains(u.below, b) {
			p.leave(b)
		}
	}
}

// calm is a node with one class only: no limit, and none to be remembered as in
// force.
func (p *ioPart) calm(time.Time) {
	for _, d := range p.disks {
		d.limit = blkio.Decision{Why: "only one class is on the node"}
	}
	for _, u := range p.units {
		p.leave(u)
		u.lines, u.intent, u.given, u.below = nil, control.Intent{}, nil, nil
	}
	p.costKnob.lines, p.costKnob.intent = nil, control.Intent{}
	p.moved = true
}

// arrange finds the units.
func (p *ioPart) arrange() {
	p.stale, p.moved = false, true
	old := p.units
	p.units = nil
	defer func() {
		for _, u := range old {
			if !slices.Contains(p.units, u) {
				p.leave(u)
			}
		}
	}()
	unit := func(rel, id string, g *group) *ioUnit {
		i := slices.IndexFunc(old, func(u *ioUnit) bool { return u.rel == rel })
		u := &ioUnit{rel: rel, key: "io " + rel}
		if i >= 0 {
			u = old[i]
		}
		u.id, u.g, u.members = id, g, nil
		p.units = append(p.units, u)
		return u
	}
	if !p.kernel.Unified {
		for _, g := range p.e.members {
			u := unit(g.w.Path, g.w.ID, g)
			u.members = append(u.members, p.groups[g])
		}
		return
	}
	for _, t := range p.e.tops {
		id := t.rel
		if t.rel == t.g.w.Path {
			id = t.g.w.ID
		}
		u := unit(t.rel, id, t.g)
		for _, g := range p.e.members {
			if inTree(g.w.Path, t.rel) {
				u.members = append(u.members, p.groups[g])
			}
		}
	}
}

// govern asks the disk's Governor.
func (p *ioPart) govern(d *ioDisk, now time.Time) {
	if d.mech == blkio.Off {
		return
	}
	m := &d.meter
	s := blkio.Sample{Now: now, Disk: m.delta, LS: m.ls, BE: m.be, Stall: -1}
	if p.waits.on == d {
		s.Stall = p.waits.stall
	}
	s.Waits = p.trace.waits(d, now, p.kernel.V1)
	if p.kernel.V1 {
		m.uncounted(&s)
	}
	m.ls, m.be = blkio.Flow{}, blkio.Flow{}
	was := d.objective()
	d.limit = d.gov.Step(s)
	if p.e.tapped() {
		p.e.look("io", d.Name, ioLook{Number: d.Number, Mechanism: d.mech, Disk: s.Disk, LS: s.LS, BE: s.BE, Stall: s.Stall, Waits: waitsOf(s.Waits)}, d.limit)
	}
	if d.limit.Changed || d.mech == blkio.Cost && d.objective() != was {
		p.moved = true
	}
}

// objective is what io.cost is told: the policy's, or four times what requests
// take on the quiet disk, to a power of two so that it moves seldom. 0 leaves
// the kernel's own.
func (d *ioDisk) objective() time.Duration {
	if d.options.Latency > 0 || d.gov.Baseline() == 0 {
		return d.options.Latency
	}
	us := max(100, float64(4*d.gov.Baseline().Microseconds()))
	return time.Duration(math.Exp2(math.Ceil(math.Log2(us)))) * time.Microsecond
}

// used is what a unit does on a disk, and whether it did lately.
func (u *ioUnit) used(d *ioDisk, now time.Time) (r blkio.Rates, lately bool) {
	for _, x := range u.members {
		if x == nil {
			continue
		}
		v, ok := x.rates[d]
		if !ok || now.Sub(v.at) > idleAfter {
			continue
		}
		lately = true
		r.ReadBytes += v.ReadBytes
		r.WriteBytes += v.WriteBytes
		r.ReadOps += v.ReadOps
		r.WriteOps += v.WriteOps
	}
	return r, lately
}

// short says whether some unit uses up its part while there are others.
func (p *ioPart) short() bool {
	if len(p.units) < 2 {
		return false
	}
	for _, u := range p.units {
		for d, given := range u.given {
			if r, _ := u.used(d, p.e.last); d.limit.Limited && hungry(r, given) {
				return true
			}
		}
	}
	return false
}

func hungry(r, given blkio.Rates) bool {
	return r.ReadBytes > 0.8*given.ReadBytes || r.WriteBytes > 0.8*given.WriteBytes ||
		r.ReadOps > 0.8*given.ReadOps || r.WriteOps > 0.8*given.WriteOps
}

// draw makes the lines of all units anew.
func (p *ioPart) draw(now time.Time) {
	for _, d := range p.disks {
		p.divide(d, now)
	}
	for _, u := range p.units {
		var lines []keyedLine
		var why []string
		for _, d := range p.disks {
			lines = append(lines, p.linesOf(u, d)...)
			if d.limit.Limited {
				why = append(why, d.Name+": "+d.limit.Why)
			}
		}
		if len(why) == 0 {
			why = append(why, "best-effort IO yields by weight")
		}
		u.say(lines, strings.Join(why, "; "))
	}
	p.drawCost()
}

// say makes the intent of lines, unless it is the same.
func (u *ioUnit) say(lines []keyedLine, why string) {
	value := joined(lines)
	if len(lines) == 0 || value == u.intent.Value {
		u.lines = lines
		return
	}
	u.lines = lines
	u.intent = control.Intent{Group: u.id, File: u.key, Value: value, Controller: "io", Why: why, Payload: lines}
}

// drawCost makes the root's lines for io.cost.
func (p *ioPart) drawCost() {
	u := &p.costKnob
	u.rel, u.key, u.id = "/", "iocost /", "/"
	var lines []keyedLine
	for _, d := range p.disks {
		if d.mech != blkio.Cost {
			continue
		}
		for _, l := range blkio.CostLines(d.objective(), d.options.Capacity) {
			lines = append(lines, keyedLine{l.File, d.Number, l.Value, l.None, l.Back})
		}
	}
	u.say(lines, "the kernel shares the disk by what requests cost it")
}

// divide splits a disk's limit among the units that are at work on it. One that
// idles may begin with the whole of it, to a power of two so that it is seldom
// written anew: the next split settles what that was too much.
func (p *ioPart) divide(d *ioDisk, now time.Time) {
	if !d.limit.Limited {
		for _, u := range p.units {
			delete(u.given, d)
		}
		return
	}
	var busy []*ioUnit
	var rates []blkio.Rates
	for _, u := range p.units {
		if r, ok := u.used(d, now); ok {
			busy, rates = append(busy, u), append(rates, r)
		} else {
			u.give(d, coarse(d.limit.Limit))
		}
	}
	shares := make([]blkio.Rates, len(busy))
	split := func(of func(*blkio.Rates) *float64) {
		total := *of(&d.limit.Limit)
		claims := make([]control.Claim, len(busy))
		for i, u := range busy {
			given, had := u.given[d]
			use := *of(&rates[i])
			claims[i] = control.Claim{Used: use, Limit: math.Inf(1), Blocked: !had || use > 0.8**of(&given)}
		}
		for i, v := range control.Share(total, claims, total/100) {
			*of(&shares[i]) = v
		}
	}
	split(func(r *blkio.Rates) *float64 { return &r.ReadBytes })
	split(func(r *blkio.Rates) *float64 { return &r.WriteBytes })
	split(func(r *blkio.Rates) *float64 { return &r.ReadOps })
	split(func(r *blkio.Rates) *float64 { return &r.WriteOps })
	for i, u := range busy {
		u.give(d, shares[i])
	}
}

// give books a unit's part. One that moved by less than a tenth stays.
func (u *ioUnit) give(d *ioDisk, r blkio.Rates) {
	if u.given == nil {
		u.given = map[*ioDisk]blkio.Rates{}
	}
	near := func(a, b float64) bool { return math.Abs(a-b) <= b/10 }
	if was, ok := u.given[d]; ok && near(r.ReadBytes, was.ReadBytes) && near(r.WriteBytes, was.WriteBytes) &&
		near(r.ReadOps, was.ReadOps) && near(r.WriteOps, was.WriteOps) {
		return
	}
	u.given[d] = r
}

func coarse(r blkio.Rates) blkio.Rates {
	down := func(v float64) float64 { return math.Exp2(math.Floor(math.Log2(max(v, 1)))) }
	return blkio.Rates{ReadBytes: down(r.ReadBytes), WriteBytes: down(r.WriteBytes), ReadOps: down(r.ReadOps), WriteOps: down(r.WriteOps)}
}

// linesOf are a unit's lines for a disk.
func (p *ioPart) linesOf(u *ioUnit, d *ioDisk) (out []keyedLine) {
	lines := d.mech.WeightLines(p.kernel.Unified)
	if given, ok := u.given[d]; ok && d.mech.Limits() {
		lines = d.mech.LimitLines(given)
	}
	for _, l := range lines {
		out = append(out, keyedLine{l.File, d.Number, l.Value, l.None, l.Back})
	}
	return out
}

// ask appends a unit's intent, its knob made if it is not there yet.
func (p *ioPart) ask(out []control.Intent, u *ioUnit, now time.Time) []control.Intent {
	if len(u.lines) == 0 {
		return out
	}
	k, _ := p.e.knobs[u.key].(*keyedKnob)
	if k != nil && due(now, k.checked, time.Second) {
		k.checked = now
		if !k.dir.Alive() {
			p.e.release(now, u.key, k)
			k = nil
		}
	}
	if k == nil {
		if _, there := p.e.knobs[u.key]; there {
			return out // the kernel refused to put it back; it is tried again
		}
		if k = p.open(u, now); k == nil {
			return out
		}
		p.e.knobs[u.key] = k
	}
	return append(out, u.intent)
}

// open makes the knob of a unit, nil if it cannot be held: it is gone, or the
// io controller could not be had for it.
func (p *ioPart) open(u *ioUnit, now time.Time) *keyedKnob {
	d, err := p.enter(u.rel)
	if err == nil && u.rel != "/" && !d.Has(u.lines[0].file) {
		err = errors.Join(d.Close(), missing(u.lines[0].file, "that file in "+d.Path(), "boot a kernel that has it"))
	}
	if cgroup.Gone(err) {
		p.leave(u)
		return nil
	}
	if p.tell(u.key, err); err != nil {
		return nil
	}
	act := &actuate.Group{Rel: u.rel, CPU: d}
	if u.g != nil && u.rel == u.g.w.Path {
		act = u.g.cpu
	}
	return &keyedKnob{held: held{g: act}, dir: d, checked: now, scratch: p.buf[:]}
}

// leave drops what was degraded about a unit, unless a knob of it is left, whose
// trouble that is.
func (p *ioPart) leave(u *ioUnit) {
	if _, held := p.e.knobs[u.key]; !held {
		delete(p.e.degraded, u.key)
	}
	for _, b := range u.below {
		p.leave(b)
	}
}

// enter opens a cgroup in the controller's hierarchy. On v2 its parents are made
// to hand the controller down.
func (p *ioPart) enter(rel string) (*cgroup.Dir, error) {
	d, err := cgroup.OpenDir(p.e.tree.Path(p.controller(), rel))
	if err != nil || !p.kernel.Unified || rel == "/" || d.Has("io.stat") {
		return d, err
	}
	if err := p.delegate(rel); err != nil {
		_ = d.Close()
		p.e.degrade("io delegation", err)
		return nil, fs.ErrNotExist // said already
	}
	delete(p.e.degraded, "io delegation")
	return d, nil
}

// delegate has all cgroups above rel hand the io controller down.
func (p *ioPart) delegate(rel string) error {
	at := []string{"/"}
	parts := strings.Split(strings.Trim(path.Dir(rel), "/"), "/")
	for i, part := range parts {
		if part != "" {
			at = append(at, "/"+path.Join(parts[:i+1]...))
		}
	}
	for _, up := range at {
		d, err := cgroup.OpenDir(p.e.tree.Path("io", up))
		if err != nil {
			return err
		}
		wrote, err := p.e.w.Delegate(d, "io")
		_ = d.Close()
		if wrote || err != nil {
			p.note(path.Join(p.e.tree.Path("io", up), "cgroup.subtree_control"), "", "+io", "to hold and count the IO of "+rel, err)
		}
		if err != nil {
			return &feature.UnsupportedError{
				Feature: "IO isolation of " + rel, Reason: feature.Conflict, Need: "the io controller handed down by " + up,
				Fix: fmt.Sprintf("echo +io > %s/cgroup.subtree_control, or let systemd: DefaultIOAccounting=yes", p.e.tree.Path("io", up)), Err: err,
			}
		}
	}
	return nil
}
