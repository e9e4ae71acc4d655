package qos

import (
	"math"
	"slices"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/memory"
)

// How often things are read. A group's use costs about 1 µs, its memory.stat
// ten times that, a file that is not held open twenty times.
const (
	memoryEvery = time.Second
	ownEvery    = 15 * time.Second // limits, which hardly ever change
	domainEvery = 2 * time.Second  // limits of domains, of which there are few
	statEvery1  = time.Second      // memory.stat of a group whose use moves
	statEvery2  = 10 * time.Second // of one whose use does not
)

// domain is memory that groups compete for, with its groups.
type domain struct {
	memory.Domain
	least   uint64        // that the kernel itself keeps free
	rel     string        // "" is the node
	files   *memory.Files // nil for the node
	limit   uint64
	limitAt time.Time
	stat    memory.Stat
	bounded bool
	ls, be  []*memGroup
}

// stallMeter turns PSI totals into a share of time.
type stallMeter struct {
	was   cgroup.Pressure
	at    time.Time
	share float64
}

// take gives the share of the time since the last reading in which some task
// waited; NaN for the first one and after a hole.
func (m *stallMeter) take(now time.Time, v cgroup.Pressure) float64 {
	dt := now.Sub(m.at)
	m.share = math.NaN()
	if !m.at.IsZero() && dt > 0 && dt < 10*time.Second && v.Some >= m.was.Some {
		m.share = min(1, (v.Some-m.was.Some).Seconds()/dt.Seconds())
	}
	m.was, m.at = v, now
	return m.share
}

func (p *memoryPart) sense(now time.Time, _ time.Duration) {
	if !p.on {
		return
	}
	p.collect()
	if p.fast || due(now, p.looked, memoryEvery) {
		p.senseHost(now)
		p.retry()
	}
	if p.stale {
		p.arrange()
	}
	for _, mg := range p.groups {
		p.senseGroup(mg, now)
	}
}

// retry looks for memory cgroups that were made after the group was seen.
func (p *memoryPart) retry() {
	if len(p.groups) == len(p.e.order) {
		return
	}
	for _, g := range p.e.order {
		if g.memory == nil {
			p.open(g)
		}
	}
}

func (p *memoryPart) senseHost(now time.Time) {
	if err := p.host.Read(now); err != nil {
		p.e.degrade("memory", err)
		return
	}
	delete(p.e.degraded, "memory")
	if p.host.Stalls {
		p.nodePSI.take(now, p.host.Pressure)
		p.e.totals.Memory.Pressure = p.host.Pressure
	}
}

// senseGroup reads what is due of one group.
func (p *memoryPart) senseGroup(mg *memGroup, now time.Time) {
	every := memoryEvery
	if p.fast && mg.bestEffort() || mg.reclaim.Active() || p.fills(mg) {
		every = 0
	}
	if !due(now, mg.usedAt, every) {
		return
	}
	first := mg.usedAt.IsZero()
	used, err := mg.files.Usage(p.buf[:])
	if err != nil {
		return // it went away; the next look at the tree settles it
	}
	mg.grew = used - min(used, mg.used)
	mg.used, mg.usedAt = used, now
	if first { // the groups are spread over the second
		mg.usedAt = now.Add(-time.Duration(mg.files.Dir.Ino()%10) * memoryEvery / 10)
	}
	if due(now, mg.ownAt, ownEvery) {
		mg.ownAt = now.Add(-time.Duration(mg.files.Dir.Ino()%8) * time.Second)
		p.readOwn(mg)
	}
	if mg.statDue(now) {
		p.readStat(mg, now)
	}
}

// fills says whether background reclaim may have to begin before the group's
// next look: it is near its low watermark, where the last reclaim left it, or
// grows so fast that it would be above the high one.
func (p *memoryPart) fills(mg *memGroup) bool {
	if !mg.reclaims || !mg.bestEffort() || p.policy.Reclaim == "off" {
		return false
	}
	high, low := mg.marks(&p.policy.Watermark)
	return high != memory.None && (mg.used > low-low/8 || mg.used+2*mg.grew > high)
}

// statDue says whether memory.stat is worth a reading.
func (mg *memGroup) statDue(now time.Time) bool {
	if !mg.bestEffort() && !mg.g.Class.Sensitive() {
		return false
	}
	moved := max(mg.used, mg.statOf)-min(mg.used, mg.statOf) > max(mg.statOf/64, 2*memory.MiB)
	switch {
	case !mg.known, moved && mg.bestEffort(), mg.near():
		return due(now, mg.statAt, statEvery1/4) // in fast looks too
	case moved:
		return due(now, mg.statAt, statEvery1)
	}
	return due(now, mg.statAt, statEvery2)
}

// near says whether the group is near its bound.
func (mg *memGroup) near() bool {
	b := mg.bound.Value()
	return b != memory.None && mg.used > b-b/16
}

func (p *memoryPart) readStat(mg *memGroup, now time.Time) {
	was, known := mg.stat.MajorFaults, mg.known
	if mg.files.Stat(p.buf[:], &mg.stat) != nil {
		mg.known = false
		return
	}
	mg.known, mg.statAt, mg.statOf = true, now, mg.used
	if known && mg.stat.MajorFaults > was {
		n := mg.stat.MajorFaults - was
		mg.faults += n
		p.e.totals.Memory.Class[mg.g.Class].MajorFaults += n
	}
}

// readOwn reads the group's own limit and memory.high: the files, or what they
// held before we wrote.
func (p *memoryPart) readOwn(mg *memGroup) {
	mg.limit, mg.ceiling = memory.None, memory.None
	k, held := p.e.knobs[mg.boundKey].(*boundKnob)
	if !held || mg.boundFile != mg.files.LimitFile() {
		if n, err := mg.files.Limit(); err == nil {
			mg.limit, mg.ceiling = n, n
		}
	}
	if held {
		if n, err := k.own(); err == nil && n < 1<<62 {
			mg.ceiling = min(mg.ceiling, n)
		}
	} else if mg.boundFile == memory.FileHigh {
		if n, err := mg.files.High(); err == nil {
			mg.ceiling = min(mg.ceiling, n)
		}
	}
	if mg.boundFile == mg.files.LimitFile() {
		mg.limit = mg.ceiling
	}
}

// arrange finds the domains: the node, and each cgroup with latency-sensitive
// and best-effort groups below it.
func (p *memoryPart) arrange() {
	p.stale = false
	slices.SortFunc(p.groups, byGroupPath)
	p.node.ls, p.node.be = p.node.ls[:0], p.node.be[:0]
	below := map[string]*domain{}
	for _, mg := range p.groups {
		p.node.add(mg)
		for _, rel := range parents(mg.g.w.Path) {
			if below[rel] == nil {
				below[rel] = &domain{rel: rel}
			}
			below[rel].add(mg)
		}
	}
	for _, mg := range p.groups {
		mg.nests = below[mg.g.w.Path] != nil
	}
	old := p.limited
	p.limited = nil
	for rel, d := range below {
		if len(d.ls) == 0 || len(d.be) == 0 {
			continue
		}
		if i := slices.IndexFunc(old, func(o *domain) bool { return o.rel == rel && o.files.Dir.Alive() }); i >= 0 {
			o := old[i]
			o.ls, o.be = d.ls, d.be
			d, old = o, slices.Delete(old, i, i+1)
		} else if d.files, _ = memory.OpenFiles(p.e.tree.Path("memory", rel)); d.files == nil {
			continue
		}
		p.limited = append(p.limited, d)
	}
	for _, d := range old {
		_ = d.files.Close()
	}
	p.looked = time.Time{}
}

func (d *domain) add(mg *memGroup) {
	switch {
	case mg.bestEffort():
		d.be = append(d.be, mg)
	case mg.g.Class.Sensitive():
		d.ls = append(d.ls, mg)
	}
}

// readNode brings the node's domain up to now.
func (p *memoryPart) readNode() {
	h, d := p.host, &p.node
	d.limit, d.least = h.Total, 2*h.High
	d.Domain = memory.Domain{Total: h.Total, Free: h.Free, Target: p.target(h.Total, d.least), Floor: share(h.Total, p.policy.Floor)}
	if p.sheltered(d) {
		d.Loose = d.loose(h.Available - min(h.Available, h.Free))
	}
}

// readLimited brings the domain of a limited cgroup up to now; false when it
// has no limit, or is gone.
func (p *memoryPart) readLimited(d *domain, now time.Time) bool {
	if due(now, d.limitAt, domainEvery) {
		l, err := d.files.Limit()
		if err != nil {
			return false
		}
		d.limit, d.limitAt = l, now
	}
	if d.limit == memory.None {
		return false
	}
	used, err := d.files.Usage(p.buf[:])
	if err != nil {
		return false
	}
	d.Domain = memory.Domain{Total: d.limit, Free: d.limit - min(d.limit, used), Target: p.target(d.limit, 0), Floor: share(d.limit, p.policy.Floor)}
	if p.sheltered(d) && d.files.Stat(p.buf[:], &d.stat) == nil {
		d.Loose = d.loose(d.stat.Cache)
	}
	return true
}

// sheltered says whether all latency-sensitive groups of the domain are
// protected, so that the kernel takes other cache first.
func (p *memoryPart) sheltered(d *domain) bool {
	return !slices.ContainsFunc(d.ls, func(mg *memGroup) bool { return mg.protected < mg.used-mg.used/8 })
}

// loose is the part of a domain's page cache that belongs to neither kind.
func (d *domain) loose(cache uint64) uint64 {
	for _, of := range [][]*memGroup{d.ls, d.be} {
		for _, mg := range of {
			cache -= min(cache, mg.stat.Cache)
		}
	}
	return cache
}

func (p *memoryPart) target(total, least uint64) uint64 { return p.policy.target(total, least) }

func (m *MemoryPolicy) target(total, least uint64) uint64 {
	return min(max(share(total, m.Watermark.Free), least), total/2)
}

func share(n uint64, s float64) uint64 { return uint64(float64(n) * s) }
