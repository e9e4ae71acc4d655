package qos

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/cpi"
)

// cpiPart counts cycles per instruction of latency-sensitive and best-effort
// workloads, learns what is usual of the former and says which exceeds it. It is
// a sensor: the suppressor and the sharing out of the cache act on it.
type cpiPart struct {
	e       *Engine
	pair    cpi.Pair
	outlier control.OutlierOptions
	p       CPIPolicy
	cpus    []int // nil while nothing is counted
	why     error // it is wanted, and cannot be
	of      map[*group]*counted
	lacks   map[*group]error // groups that cannot be counted
	turn    rounds
	at      time.Time // of the last totals
	sum     [class.Count]cpi.Count
}

// counted is what is known of one group.
type counted struct {
	c       *cpi.Counter
	read    time.Time
	total   time.Duration // CPU time at the last reading
	x       *control.Outlier
	verdict control.Verdict
}

func newCPIPart(e *Engine) *cpiPart {
	return &cpiPart{e: e, pair: cpi.Hardware(), outlier: control.DefaultOutlier(), of: map[*group]*counted{}, lacks: map[*group]error{}}
}

func (p *cpiPart) name() string    { return "cpi" }
func (p *cpiPart) kinds() []string { return nil }

func (p *cpiPart) install(pol *Policy) {
	p.p = pol.CPI
	delete(p.e.degraded, "cpi")
	if p.why = nil; !p.wanted() {
		p.shut()
		return
	}
	cpus, err := cpi.CPUs(p.e.root)
	if err == nil && p.cpus == nil {
		err = cpi.Probe(p.pair)
	}
	if err != nil {
		p.fail(err)
		return
	}
	if slices.Equal(cpus, p.cpus) {
		return
	}
	p.shut()
	p.cpus = cpus
	for _, g := range p.e.order {
		p.assign(g)
	}
}

// wanted says whether somebody asks for the counts.
func (p *cpiPart) wanted() bool {
	return p.p.Mode == "on" || p.p.Mode == "auto" && (p.p.Objective > 0 || p.e.cache.works())
}

// asked says whether people ask for the counts.
func (p *cpiPart) asked() bool { return p.p.Mode == "on" || p.p.Objective > 0 }

// fail ends the counting until the next policy. Where only the cache would have
// liked to know, the absence is nothing to complain of.
func (p *cpiPart) fail(err error) {
	p.shut()
	p.why = err
	if p.asked() {
		p.e.degrade("cpi", err)
	}
}

// assign begins or ends the counting of a group. A group keeps what was learned
// of it for as long as it is latency-sensitive.
func (p *cpiPart) assign(g *group) {
	c := p.of[g]
	want := p.cpus != nil && (g.Class.Sensitive() || g.Class == class.BE)
	if !want {
		p.lack(g, nil)
		p.drop(g)
		return
	}
	if c == nil {
		if c = p.open(g); c == nil {
			return
		}
		p.of[g] = c
	}
	switch {
	case !g.Class.Sensitive():
		c.x, c.verdict = nil, control.Verdict{}
	case c.x == nil:
		c.x = control.NewOutlier(p.outlier)
	}
}

// open begins to count a group. One that is gone is none; what cannot be counted
// is kept with its reason.
func (p *cpiPart) open(g *group) *counted {
	if room := cpi.Room(len(p.cpus)); len(p.of) >= room {
		p.lack(g, fmt.Errorf("count %s: the %d workloads that are counted take a half of the files that the agent may open; raise LimitNOFILE", g.w.ID, len(p.of)))
		return nil
	}
	d, err := cpi.Dir(p.e.tree, g.w.Path)
	if err == nil {
		defer d.Close()
		var c *cpi.Counter
		if c, err = cpi.Open(d, p.cpus, p.pair); err == nil {
			p.lack(g, nil)
			return &counted{c: c}
		}
	}
	if !cgroup.Gone(err) || errors.Is(err, errors.ErrUnsupported) {
		p.lack(g, err)
	}
	return nil
}

// lack books why a group cannot be counted, nil if it can. People hear of it if
// they asked for the counts.
func (p *cpiPart) lack(g *group, err error) {
	if delete(p.lacks, g); err != nil {
		p.lacks[g] = err
	}
	if len(p.lacks) == 0 {
		if p.why == nil { // otherwise nothing is counted at all, and that is told
			delete(p.e.degraded, "cpi")
		}
		return
	}
	if err != nil && p.asked() {
		p.e.degrade("cpi", err)
	}
}

func (p *cpiPart) drop(g *group) {
	p.turn.forget(g)
	delete(p.lacks, g)
	if c := p.of[g]; c != nil {
		_ = c.c.Close()
		delete(p.of, g)
	}
}

func (p *cpiPart) sense(now time.Time, dt time.Duration) {
	if p.cpus == nil {
		return
	}
	p.turn.next(p.e.order, dt, func(g *group) {
		switch c := p.of[g]; {
		case c != nil:
			p.read(g, c, now)
		case p.lacks[g] == nil: // a runtime makes a v1 group hierarchy by hierarchy
			p.assign(g)
		}
	})
	if now.Sub(p.at) < youngEvery && !p.at.After(now) {
		return
	}
	p.at = now
	for c := range p.sum {
		p.e.totals.Class[c].CPI, _ = p.sum[c].CPI()
		p.sum[c] = cpi.Count{}
	}
}

func (p *cpiPart) read(g *group, c *counted, now time.Time) {
	n, err := c.c.Read()
	if err != nil {
		p.e.degrade("cpi", err)
		return
	}
	sum := &p.sum[g.Class]
	sum.Cycles, sum.Instructions = sum.Cycles+n.Cycles, sum.Instructions+n.Instructions
	used := math.NaN()
	if dt := now.Sub(c.read); !c.read.IsZero() && dt > 0 && g.total >= c.total {
		used = (g.total - c.total).Seconds() / dt.Seconds()
	}
	c.read, c.total = now, g.total
	if c.x != nil {
		c.verdict = c.x.Step(now, float64(n.Cycles), float64(n.Instructions), used)
	}
}

// worst gives the largest factor of all latency-sensitive workloads by which
// cycles per instruction exceed the most that is usual, NaN while none is known.
func (p *cpiPart) worst() (factor float64, of string) {
	factor = math.NaN()
	for g, c := range p.of {
		if c.x == nil {
			continue
		}
		f := c.verdict.Factor()
		if math.IsNaN(f) {
			continue
		}
		if math.IsNaN(factor) || f > factor || f == factor && g.w.ID < of {
			factor, of = f, g.w.ID
		}
	}
	return factor, of
}

func (p *cpiPart) decide(out []control.Intent, _ time.Time, _ time.Duration) []control.Intent {
	return out
}

func (p *cpiPart) apply(time.Time) {}

func (p *cpiPart) mechanisms() []Mechanism {
	m := Mechanism{"cpi", "off", "cpi.mode: nothing asks for it"}
	switch {
	case p.why != nil:
		m.Why = short(p.why)
	case p.p.Mode == "off":
		m.Why = "cpi.mode is off"
	case p.cpus != nil:
		m.Using = "perf counters"
		m.Why = fmt.Sprintf("%d workloads on %d CPUs; above mean + %.0fσ is an outlier, %d in %v an anomaly", len(p.of), len(p.cpus), p.outlier.Sigmas, p.outlier.Hits, p.outlier.Window)
		if n := len(p.lacks); n > 0 {
			m.Why += fmt.Sprintf("; %d cannot be counted: %s", n, p.reason())
		}
		if f, of := p.worst(); !math.IsNaN(f) && f > 1 {
			m.Why += fmt.Sprintf("; %s has %.2f times the most that is usual", of, f)
		}
	}
	return []Mechanism{m}
}

// reason gives one of those for which groups cannot be counted.
func (p *cpiPart) reason() string {
	for _, err := range p.lacks {
		return short(err)
	}
	return ""
}

// short gives an error's own words; of an answer that something is unsupported
// what is needed for it.
func short(err error) string {
	var u *feature.UnsupportedError
	if errors.As(err, &u) && u.Need != "" {
		return fmt.Sprintf("not here (%s): needs %s", u.Reason, u.Need)
	}
	return err.Error()
}

func (p *cpiPart) shut() {
	for g := range p.of {
		p.drop(g)
	}
	p.cpus = nil
	for c := range p.e.totals.Class {
		p.e.totals.Class[c].CPI = 0
	}
}

func (p *cpiPart) close() error {
	p.shut()
	return nil
}
