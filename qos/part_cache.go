package qos

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/resctrl"
)

// The names of the groups in the resctrl file system. Best-effort work has one
// that it is held by; latency-sensitive work keeps what the default group has
// and is in one that only counts.
const (
	cacheBE = "anole-be"
	cacheLS = "anole-ls"
)

// cachePart holds best-effort work to a share of the last-level cache and of the
// memory bandwidth.
type cachePart struct {
	e    *Engine
	root string // of /proc and /sys
	p    CachePolicy
	fs   *resctrl.FS // nil while nothing is shared out
	why  error       // it is wanted, and cannot be
	ctl  *control.Cache
	at   time.Time // of the last look

	be, ls  *cacheGroup
	node    *resctrl.Meter // of the default group
	foreign map[int]bool   // threads in groups of others
	members tidyTasks

	told    control.Shares // what the group of best-effort work was given
	because string
	set     bool // told is in force
	// uncounted says that there was no group left to count LS in.
	uncounted bool
	misses    *control.Outlier
	factor    float64       // of misses
	used      time.Duration // CPU time of the sensitive classes at the last look
	crowd     int           // latency-sensitive workloads at the last look
	retry     time.Time     // after an error
}

// cacheGroup is one of the part's groups with its threads.
type cacheGroup struct {
	*resctrl.Group
	meter *resctrl.Meter // nil where nothing is counted
	tids  map[int]bool
}

func newCachePart(e *Engine) *cachePart {
	p := &cachePart{e: e, root: e.root, factor: math.NaN()}
	p.members.p = p
	return p
}

func (p *cachePart) name() string    { return "cache" }
func (p *cachePart) kinds() []string { return nil }

// works says whether cache or bandwidth is being shared out.
func (p *cachePart) works() bool { return p.fs != nil }

func (p *cachePart) install(pol *Policy) {
	p.p = pol.Cache
	delete(p.e.degraded, "cache")
	delete(p.e.degraded, "cache counts")
	p.uncounted = false
	if p.why = nil; p.p.Mode == "off" {
		p.trouble(p.shut())
		return
	}
	if p.fs == nil {
		fs, err := openCache(p.root)
		if err != nil {
			if p.why = err; p.p.Mode == "on" {
				p.e.degrade("cache", err)
			}
			return
		}
		p.fs, p.ctl = fs, control.NewCache(control.CacheOptions{})
		p.misses = control.NewOutlier(control.DefaultOutlier())
	}
	p.ctl.SetOptions(p.p.options(p.fs.Info.Has()))
	p.set = false // peak may be another
}

// openCache opens the file system if anything can be shared out by it.
func openCache(root string) (*resctrl.FS, error) {
	fs, err := resctrl.Open(root)
	if err != nil {
		return nil, err
	}
	if cache, bandwidth := fs.Info.Has(); !cache && !bandwidth {
		return nil, &feature.UnsupportedError{
			Feature: "resctrl", Reason: feature.NoHardware, Need: "a CPU that shares out its cache or memory bandwidth: this one only counts their use",
			Fix: "none on this machine",
		}
	}
	return fs, nil
}

func (p *cachePart) assign(g *group) {
	if p.fs != nil {
		p.members.turn.hurry(g)
	}
}

func (p *cachePart) drop(g *group) { p.members.drop(g) }

// cacheEvery is how often the memory system is looked at: it takes about that
// long to show what a change does.
const cacheEvery = time.Second

func (p *cachePart) sense(now time.Time, dt time.Duration) {
	if p.fs == nil || p.resting(now) {
		return
	}
	if now.Sub(p.at) < cacheEvery && !p.at.After(now) {
		return
	}
	since := now.Sub(p.at)
	if p.at.IsZero() {
		since = 0
	}
	p.at = now
	p.trouble(p.look(now, since))
}

// look reads the groups' meters and tasks, and asks the controller.
func (p *cachePart) look(now time.Time, dt time.Duration) error {
	in := control.CacheSignals{Now: now, Saturation: math.NaN()}
	work := 0
	for _, g := range p.e.order {
		if g.Class.Sensitive() {
			in.Sensitives++
		}
		if g.Class.Sensitive() || g.Class == class.BE {
			work++
		}
	}
	if work > 0 {
		if err := p.make(); err != nil {
			return err
		}
	}
	if p.be == nil {
		return nil
	}
	traffic, err := p.measure(now, dt, in.Sensitives)
	if err != nil {
		return err
	}
	if p.p.Peak > 0 && dt > 0 && !math.IsNaN(traffic) {
		in.Saturation = traffic / dt.Seconds() / float64(p.p.Peak)
	}
	in.CPI, _ = p.e.cpi.worst()
	in.Misses = p.factor
	s, why := p.ctl.Step(in)
	if p.e.tapped() {
		o := p.ctl.Options()
		p.e.look("cache", "/", lookOf(in, o.HasCache, o.HasBandwidth), s)
	}
	if why != "" || !p.set {
		if why != "" {
			p.because = why
		}
		if s != p.told {
			p.told, p.set = s, false
		}
	}
	return p.list()
}

// make makes the groups that are missing.
func (p *cachePart) make() (err error) {
	if p.be == nil {
		g, err := p.fs.Control(p.e.w, cacheBE)
		if err != nil {
			return err
		}
		p.be, p.set = &cacheGroup{Group: g, tids: map[int]bool{}}, false
		p.be.meter = p.meter(g)
		p.node = p.meter(p.fs.Default())
	}
	if p.ls == nil && p.fs.Info.Monitor != nil && !p.uncounted {
		g, err := p.fs.Monitor(p.e.w, cacheLS)
		if errors.Is(err, errors.ErrUnsupported) { // others have all groups there can be
			p.uncounted = true
			p.e.degrade("cache counts", err)
			return nil
		}
		if err != nil {
			return err
		}
		p.ls = &cacheGroup{Group: g, meter: p.meter(g), tids: map[int]bool{}}
	}
	return nil
}

// meter opens a group's counters, nil where the node has none.
func (p *cachePart) meter(g *resctrl.Group) *resctrl.Meter {
	if p.fs.Info.Monitor == nil {
		return nil
	}
	m, err := g.Meter()
	if err != nil {
		return nil
	}
	return m
}

// measure books what the classes occupy and move, learns what is usual of the
// latter, and gives the traffic of all: that of the default group, in which LS is
// counted too, and of best-effort work.
func (p *cachePart) measure(now time.Time, dt time.Duration, sensitives int) (traffic float64, err error) {
	be, err := p.read(p.be, class.BE)
	if err != nil {
		return 0, err
	}
	ls, err := p.read(p.ls, class.LS)
	if err != nil {
		return 0, err
	}
	p.learn(now, dt, sensitives, ls)
	if p.node == nil {
		return math.NaN(), nil
	}
	rest, err := p.node.Read()
	if err != nil || !rest.Counted || !be.Counted {
		return math.NaN(), err
	}
	return float64(rest.Traffic + be.Traffic), nil
}

func (p *cachePart) read(g *cacheGroup, c class.Class) (resctrl.Reading, error) {
	if g == nil || g.meter == nil {
		return resctrl.Reading{}, nil
	}
	r, err := g.meter.Read()
	if err != nil {
		return r, err
	}
	t := &p.e.totals.Class[c].Cache
	if r.Occupied {
		t.Occupied, t.Occupancy = true, r.Occupancy
	}
	t.Counted = t.Counted || r.Counted
	t.Traffic += r.Traffic
	return r, nil
}

// learn judges the memory traffic of the sensitive classes for each second of
// their CPU time: what is beyond the usual are misses that others cause. Another
// crowd has another usual.
func (p *cachePart) learn(now time.Time, dt time.Duration, sensitives int, r resctrl.Reading) {
	if sensitives != p.crowd {
		p.crowd, p.misses = sensitives, control.NewOutlier(control.DefaultOutlier())
	}
	used := time.Duration(0)
	for _, c := range class.All() {
		if c.Sensitive() {
			used += p.e.totals.Class[c].Usage
		}
	}
	grown := used - p.used
	p.used = used
	num, den, use := math.NaN(), math.NaN(), math.NaN()
	if r.Counted && dt > 0 {
		num, den, use = float64(r.Traffic), grown.Seconds(), grown.Seconds()/dt.Seconds()
	}
	p.factor = p.misses.Step(now, num, den, use).Factor()
}

// list reads who is in the groups.
func (p *cachePart) list() (err error) {
	for _, g := range []*cacheGroup{p.be, p.ls} {
		if g == nil {
			continue
		}
		tids, err := g.Tasks()
		if err != nil {
			return err
		}
		clear(g.tids)
		for _, tid := range tids {
			g.tids[tid] = true
		}
	}
	p.foreign, err = p.fs.Foreign(cacheBE, cacheLS)
	return err
}

func (p *cachePart) decide(out []control.Intent, now time.Time, dt time.Duration) []control.Intent {
	if p.be != nil && !p.resting(now) {
		p.members.due(dt)
	}
	return out
}

// apply writes the shares and moves threads.
func (p *cachePart) apply(now time.Time) {
	if p.be == nil || p.resting(now) {
		return
	}
	p.trouble(errors.Join(p.limit(), p.members.move()))
}

// limit gives the group of best-effort work what the controller wants.
func (p *cachePart) limit() error {
	if p.set || p.at.IsZero() {
		return nil
	}
	want := p.fs.Info.Schemata(resctrl.Share(p.told), resctrl.Layout{Fresh: p.be.Fresh, Taken: p.fs.Taken(), Peak: float64(p.p.Peak)})
	old, written, err := p.be.Set(want)
	for i, l := range written {
		c := change{file: p.be.Dir() + "/schemata", new: l.String()}
		if i < len(old) {
			c.old = old[i].String()
		}
		p.record("class BE", c, p.because, err)
	}
	p.set = err == nil
	return err
}

// record tells what was done.
func (p *cachePart) record(whom string, c change, why string, err error) {
	p.e.record(&control.Intent{Group: whom, File: c.file, Value: c.new, Controller: "cache", Why: why}, []change{c}, err)
}

// trouble books an error. Groups that somebody else removed are made anew; all
// else is tried again after a pause.
func (p *cachePart) trouble(err error) {
	switch {
	case err == nil:
		delete(p.e.degraded, "cache")
		return
	case cgroup.Gone(err) && p.fs != nil:
		err = errors.Join(err, p.removeGroups())
	}
	p.e.degrade("cache", err)
	p.retry = p.e.last.Add(10 * time.Second)
}

func (p *cachePart) resting(now time.Time) bool {
	return now.Before(p.retry) && p.retry.Sub(now) < time.Minute
}

func (p *cachePart) mechanisms() []Mechanism {
	m := Mechanism{"cache", "off", "cache.mode is off"}
	switch {
	case p.why != nil:
		m.Why = short(p.why)
	case p.fs != nil && p.be == nil:
		m.Using, m.Why = "resctrl", "waits for work to share out between; "+p.fs.Info.String()
	case p.fs != nil:
		m.Using = "resctrl"
		m.Why = fmt.Sprintf("BE has %.0f %% of the cache and %.0f %% of the memory bandwidth: %s", p.told.Cache*100, p.told.Bandwidth*100, p.because)
	}
	return []Mechanism{m}
}

// removeGroups takes the groups away, by which their threads go back to where
// they came from.
func (p *cachePart) removeGroups() (err error) {
	for _, g := range []*cacheGroup{p.be, p.ls} {
		if g == nil {
			continue
		}
		if g.meter != nil {
			_ = g.meter.Close()
		}
		err = errors.Join(err, g.Remove(p.e.w))
	}
	if p.node != nil {
		_ = p.node.Close()
	}
	p.be, p.ls, p.node, p.set = nil, nil, nil, false
	p.members.reset()
	return err
}

func (p *cachePart) shut() error {
	err := p.removeGroups()
	p.fs, p.factor, p.at = nil, math.NaN(), time.Time{}
	for c := range p.e.totals.Class {
		t := &p.e.totals.Class[c].Cache
		t.Occupied, t.Counted = false, false
	}
	return err
}

func (p *cachePart) close() error { return p.shut() }
