package qos

import (
	"os"
	"path/filepath"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/class"
)

// ioGroup counts what one group does on each disk.
type ioGroup struct {
	g      *group
	stat   *cgroup.File // io.stat, on v2
	ops    *cgroup.File // io_serviced, on v1
	size   *cgroup.File // io_service_bytes, on v1
	tried  time.Time
	ino    uint64 // in the controller's hierarchy, 0 before it was opened
	traced bool
	bad    bool // its counters could not be read
	now    blkio.Group
	was    blkio.Group
	read   time.Time
	active time.Time           // when it last did IO on a disk that is controlled
	rates  map[*ioDisk]ioUsage // over the last reading
}

// ioUsage is what a group did on a disk.
type ioUsage struct {
	blkio.Rates
	at time.Time // when it did something
}

// trouble is the key of a group's degradation.
func (x *ioGroup) trouble() string { return "io of " + x.g.w.ID }

// healed takes back what was degraded about a group.
func (x *ioGroup) healed(p *ioPart) {
	if x.bad {
		x.bad = false
		delete(p.e.degraded, x.trouble())
	}
}

func (x *ioGroup) close() {
	for _, f := range []*cgroup.File{x.stat, x.ops, x.size} {
		if f != nil {
			_ = f.Close()
		}
	}
	x.stat, x.ops, x.size = nil, nil, nil
}

// How often counters are read: those of groups that are at work in each
// interval, as far as busyReads goes, the others once a second, a few in each
// interval. What was missing is looked for again after retryEvery.
const (
	quietEvery = time.Second
	busyFor    = 3 * time.Second
	busyReads  = 48
	retryEvery = 5 * time.Second
)

// ioMeter reads a disk's own counters.
type ioMeter struct {
	f       *os.File
	was     blkio.DiskStat
	first   bool
	taken   time.Time
	delta   blkio.DiskStat // since the reading before that
	ls      blkio.Flow     // since the last decision
	be      blkio.Flow
	counted bool      // the counters of such groups show what they do on it
	unseen  time.Time // when requests of theirs were seen first that no counter shows
	strange time.Time // since when it is busy with what no group does
	lsAt    time.Time // when the latency-sensitive class was last at work on it
}

func (m *ioMeter) close() {
	if m.f != nil {
		_ = m.f.Close()
	}
	m.f = nil
}

// take reads the growth since the last time. A disk that is being unplugged
// has none.
func (m *ioMeter) take(root, name string, buf []byte) {
	m.delta = blkio.DiskStat{}
	if m.f == nil {
		f, err := os.Open(filepath.Join(root, "/sys/block", name, "stat"))
		if err != nil {
			return
		}
		m.f, m.first = f, true
	}
	n, err := m.f.ReadAt(buf, 0)
	var s blkio.DiskStat
	if n == 0 && err != nil || blkio.ParseDiskStat(buf[:n], &s) != nil {
		m.close()
		return
	}
	if !m.first {
		m.delta = blkio.DiskStat{
			Flow: s.Since(m.was.Flow), ReadTime: max(0, s.ReadTime-m.was.ReadTime),
			WriteTime: max(0, s.WriteTime-m.was.WriteTime), Busy: max(0, s.Busy-m.was.Busy),
		}
	}
	m.was, m.first = s, false
}

func (p *ioPart) sense(now time.Time, dt time.Duration) {
	if !p.on {
		return
	}
	p.scan(now)
	if !p.both() {
		p.waits.close()
		return // nobody to protect, or nobody to hold
	}
	for _, d := range p.disks {
		if d.mech == blkio.Off {
			continue
		}
		if d.meter.delta.Ops() == 0 && !due(now, d.meter.taken, quietEvery) {
			continue // nobody was at work on it
		}
		d.meter.taken = now
		d.meter.take(p.e.root, d.Name, p.buf[:])
		p.count(d)
	}
	p.readGroups(now, dt)
	p.follow()
	p.waits.read(p, now)
}

// both says whether there are latency-sensitive and best-effort groups.
func (p *ioPart) both() bool {
	var ls, be bool
	for _, g := range p.e.order {
		ls = ls || g.Class.Sensitive()
		be = be || g.Class == class.BE
	}
	return ls && be
}

// count has cgroup v1 count on a disk: since Linux 6.10 it begins with the first
// limit that is written for a disk, and "none" is one. It changes nothing else,
// and nothing takes it back.
func (p *ioPart) count(d *ioDisk) {
	if d.counts || !p.kernel.V1 || !p.kernel.Throttle {
		return
	}
	d.counts = true
	file := filepath.Join(p.e.tree.Path("blkio", "/"), blkio.FileReadBps)
	if b, err := os.ReadFile(file); err != nil || cgroup.Line(b, d.Number) != "" {
		return // it counts already, as the root has a limit there
	}
	err := os.WriteFile(file, []byte(d.Number+" 0"), 0)
	p.note(file+" "+d.Number, "", "0", "to have the requests to "+d.Name+" counted; it is no limit", err)
	if err != nil && !cgroup.Gone(err) {
		p.e.degrade(d.trouble(), err)
	}
}

// readGroups brings the counters of the groups up to date that are due.
func (p *ioPart) readGroups(now time.Time, dt time.Duration) {
	quiet := int(float64(len(p.groups))*min(1, dt.Seconds()/quietEvery.Seconds())) + 2
	busy := busyReads
	for _, g := range p.e.order {
		x := p.groups[g]
		if x == nil {
			continue
		}
		switch {
		case now.Sub(x.active) < busyFor && !x.active.After(now):
			if busy--; busy < 0 && !due(now, x.read, quietEvery) {
				continue
			}
		case !due(now, x.read, quietEvery):
			continue
		default:
			if quiet--; quiet < 0 {
				continue
			}
		}
		p.readGroup(x, now)
	}
	if !p.unexplained(now) {
		return
	}
	early := busyReads
	for _, g := range p.e.order {
		if x := p.groups[g]; x != nil && !x.read.Equal(now) {
			if early--; early < 0 {
				return
			}
			p.readGroup(x, now)
		}
	}
}

// unexplained says whether some disk is busy with what no group was seen to do:
// one that was idle is at work, and is not waited for until its turn comes.
func (p *ioPart) unexplained(now time.Time) bool {
	some := false
	for _, d := range p.disks {
		if d.mech != blkio.Off && d.meter.unexplained(now) {
			some = true
		}
	}
	return some
}

// unexplained looks at one. What stays so for as long as it takes to read all
// groups in turn is work that has no class.
func (m *ioMeter) unexplained(now time.Time) bool {
	rest := m.delta.Since(m.ls).Since(m.be)
	if rest.Ops() < 4 || 2*rest.Ops() < m.delta.Ops() {
		m.strange = time.Time{}
		return false
	}
	if m.strange.IsZero() || m.strange.After(now) {
		m.strange = now
	}
	return now.Sub(m.strange) < quietEvery
}

func (p *ioPart) readGroup(x *ioGroup, now time.Time) {
	if x.stat == nil && x.ops == nil {
		if !due(now, x.tried, retryEvery) || !p.openGroup(x, now) {
			x.read = now
			return
		}
	}
	x.was, x.now = x.now, x.was
	x.now.Disks = append(x.now.Disks[:0], x.was.Disks...)
	if err := x.parse(p.buf[:]); err != nil {
		x.close()
		x.now, x.was = blkio.Group{}, blkio.Group{}
		if !cgroup.Gone(err) {
			x.bad = true
			p.e.degrade(x.trouble(), err)
		}
		return
	}
	x.healed(p)
	elapsed := now.Sub(x.read)
	first := x.read.IsZero() || elapsed <= 0 || elapsed > 10*time.Second
	x.read = now
	if first {
		return
	}
	for _, d := range p.disks {
		p.attribute(x, d, x.now.Of(d.Number).Since(x.was.Of(d.Number)), now, elapsed)
	}
}

// attribute books what a group did on a disk.
func (p *ioPart) attribute(x *ioGroup, d *ioDisk, f blkio.Flow, now time.Time, elapsed time.Duration) {
	u, known := x.rates[d]
	if f.Ops() == 0 {
		if known {
			u.Rates = blkio.Rates{}
			x.rates[d] = u
		}
		return
	}
	x.active = now
	if x.rates == nil {
		x.rates = map[*ioDisk]ioUsage{}
	}
	x.rates[d] = ioUsage{f.Per(elapsed), now}
	if !known && x.g.Class == class.BE {
		p.moved = true // it takes part in the split from now on
	}
	p.e.totals.IO[x.g.Class].Add(f)
	if x.g.Class == class.BE {
		d.meter.be.Add(f)
	} else {
		d.meter.ls.Add(f)
		d.meter.counted = true
		d.meter.lsAt = now
	}
}

// openGroup opens the counters, and says whether there are any. On v2 the
// group's parents have to hand the io controller down first.
func (p *ioPart) openGroup(x *ioGroup, now time.Time) bool {
	x.tried, x.read = now, time.Time{}
	dir, err := p.enter(x.g.w.Path)
	if err != nil {
		return false
	}
	defer dir.Close()
	x.ino = dir.Ino()
	if p.kernel.Unified {
		x.stat, err = dir.Open("io.stat")
	} else if x.ops, err = dir.Open(blkio.FileServiced); err == nil {
		x.size, err = dir.Open(blkio.FileServicedBytes)
	}
	if err != nil {
		x.close()
		return false
	}
	return true
}

func (x *ioGroup) parse(buf []byte) error {
	if x.stat != nil {
		b, err := x.stat.Read(buf)
		if err != nil {
			return err
		}
		return blkio.ParseIOStat(b, &x.now)
	}
	b, err := x.ops.Read(buf)
	if err == nil {
		err = blkio.ParseServiced(b, false, &x.now)
	}
	if err != nil {
		return err
	}
	if b, err = x.size.Read(buf); err != nil {
		return err
	}
	return blkio.ParseServiced(b, true, &x.now)
}

// ioWaits reads how long latency-sensitive tasks wait for IO (PSI), from each
// group's own io.pressure or, on cgroup v1, from where pressureSense has them
// counted.
type ioWaits struct {
	files map[string]*ioWait
	stall time.Duration // growth over the last interval, negative if not known
	on    *ioDisk       // the only disk where that class is at work; nil else
	when  time.Time     // of the last scan
}

type ioWait struct {
	f     *cgroup.File
	was   time.Duration
	first bool
	used  bool
}

func (w *ioWaits) close() {
	for _, f := range w.files {
		_ = f.f.Close()
	}
	w.files, w.stall, w.on, w.when = nil, -1, nil, time.Time{}
}

// read takes the growth since the last time. While that class is at work on no
// disk or on several nothing is read: it could not be told whose it is.
func (w *ioWaits) read(p *ioPart, now time.Time) {
	w.stall = -1
	on, several := w.target(p, now)
	if on == nil || several || p.e.pressure.files == nil {
		if w.files != nil {
			w.close()
		}
		return
	}
	fresh := on != w.on
	w.on = on
	if due(now, w.when, time.Second) {
		w.when = now
		w.scan(p)
	}
	sum, known := time.Duration(0), len(w.files) > 0
	for dir, f := range w.files {
		b, err := f.f.Read(p.buf[:])
		var v cgroup.Pressure
		if err == nil {
			err = cgroup.ParsePressure(b, &v)
		}
		if err != nil {
			_ = f.f.Close()
			delete(w.files, dir)
			continue
		}
		if f.first || v.Some < f.was {
			known = known && !f.first
		} else {
			sum += v.Some - f.was
		}
		f.was, f.first = v.Some, false
	}
	if known && !fresh {
		w.stall = sum
	}
}

// target is the disk where latency-sensitive work was lately.
func (w *ioWaits) target(p *ioPart, now time.Time) (on *ioDisk, several bool) {
	for _, d := range p.disks {
		if at := d.meter.lsAt; at.IsZero() || now.Sub(at) > busyFor {
			continue
		}
		several = on != nil
		if several {
			return on, true
		}
		on = d
	}
	return on, false
}

// scan finds the files.
func (w *ioWaits) scan(p *ioPart) {
	if w.files == nil {
		w.files = map[string]*ioWait{}
	}
	for _, f := range w.files {
		f.used = false
	}
	for dir := range p.e.pressure.files {
		w.use(dir)
	}
	for dir, f := range w.files {
		if !f.used {
			_ = f.f.Close()
			delete(w.files, dir)
		}
	}
}

func (w *ioWaits) use(dir string) {
	if f := w.files[dir]; f != nil {
		f.used = true
		return
	}
	d, err := cgroup.OpenDir(dir)
	if err != nil {
		return
	}
	defer d.Close()
	if f, err := d.Open("io.pressure"); err == nil {
		w.files[dir] = &ioWait{f: f, first: true, used: true}
	}
}
