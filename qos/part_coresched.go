package qos

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/coresched"
)

// corePart gives the threads of best-effort work a core-scheduling cookie, so
// that none runs on the sibling of a CPU that runs anything else.
type corePart struct {
	e      *Engine
	k      coresched.Kernel
	per    string
	on     bool
	why    error // it is wanted, and cannot be
	keeper *coresched.Keeper
	all    *coresched.Set            // with per: class
	of     map[*group]*coresched.Set // with per: container
	turn   rounds
	dt     time.Duration
	alien  map[*group]int   // threads with a cookie of others, by group
	gone   []*coresched.Set // of groups that went away
	buried time.Time        // when those were last seen to
	retry  time.Time        // after an error
}

func newCorePart(e *Engine) *corePart {
	return &corePart{e: e, k: coresched.Linux{}, of: map[*group]*coresched.Set{}, alien: map[*group]int{}, turn: rounds{every: memberRound}}
}

func (p *corePart) name() string    { return "core scheduling" }
func (p *corePart) kinds() []string { return nil }

func (p *corePart) install(pol *Policy) {
	c := pol.Control
	delete(p.e.degraded, p.name())
	p.why = nil
	if c.CoreSched == "off" || p.on && c.CoreSchedPer != p.per {
		p.trouble(p.shut())
	}
	if p.per = c.CoreSchedPer; c.CoreSched == "off" || p.on {
		return
	}
	if err := coresched.Probe(p.e.root, p.k); err != nil {
		if p.why = err; c.CoreSched == "on" {
			p.e.degrade(p.name(), err)
		}
		return
	}
	p.on, p.keeper = true, coresched.NewKeeper(p.k, p.e.w.Record)
	p.all = p.keeper.NewSet()
}

func (p *corePart) assign(g *group) {
	if p.on {
		p.turn.hurry(g)
	}
}

func (p *corePart) drop(g *group) {
	p.turn.forget(g)
	delete(p.alien, g)
	if s := p.of[g]; s != nil {
		delete(p.of, g)
		p.gone = append(p.gone, s)
	}
}

// buryEvery is how often the cookies of groups that went away are looked for on
// all threads, in case one has left its group in time.
const buryEvery = 10 * time.Second

func (p *corePart) bury(now time.Time) error {
	if len(p.gone) == 0 || now.Sub(p.buried) < buryEvery && !p.buried.After(now) {
		return nil
	}
	p.buried = now
	gone := p.gone
	err := p.takeBack(coresched.EntriesOf(gone...), func(root string) error { return p.keeper.Drop(root, gone...) })
	if err == nil {
		p.gone = nil
	}
	return err
}

// takeBack takes cookies back and ends their entries in the journal; what could
// not be taken back stays there.
func (p *corePart) takeBack(which func(*journal.Entry) bool, restore func(root string) error) error {
	if err := restore(p.e.root); err != nil {
		return err
	}
	return p.e.w.ForgetWhere(which)
}

func (p *corePart) sense(_ time.Time, dt time.Duration) { p.dt = dt }

func (p *corePart) decide(out []control.Intent, _ time.Time, _ time.Duration) []control.Intent {
	return out
}

// apply looks at the groups whose turn it is. Those of other classes are looked
// at too: a process that was moved out of a best-effort group brings its cookie
// along.
func (p *corePart) apply(now time.Time) {
	if !p.on || now.Before(p.retry) && p.retry.Sub(now) < time.Minute {
		return
	}
	err := p.bury(now)
	p.turn.next(p.e.order, p.dt, func(g *group) {
		if err == nil {
			err = p.look(g)
		}
	})
	p.trouble(err)
}

func (p *corePart) look(g *group) error {
	tids, err := g.cpu.CPU.AllThreads()
	if cgroup.Gone(err) {
		return nil // the next look at the tree settles it
	}
	if err != nil {
		return err
	}
	if g.Class != class.BE {
		n, err := p.keeper.Clear(tids)
		if n > 0 {
			p.record(g, n, "one of best-effort work", "none", err)
		}
		delete(p.alien, g)
		return err
	}
	a, err := p.setOf(g).Add(tids)
	if a.New > 0 || err != nil {
		p.record(g, a.New, "none", "that of its "+p.per, err)
	}
	if p.alien[g] = a.Foreign; a.Foreign == 0 {
		delete(p.alien, g)
	}
	return err
}

func (p *corePart) setOf(g *group) *coresched.Set {
	if p.per == "class" {
		return p.all
	}
	s := p.of[g]
	if s == nil {
		s = p.keeper.NewSet()
		p.of[g] = s
	}
	return s
}

func (p *corePart) record(g *group, n int, from, to string, err error) {
	p.e.record(&control.Intent{Group: g.w.ID, Controller: "coresched", Why: "no sibling of best-effort work runs anything else"},
		[]change{{file: fmt.Sprintf("cookie of %d threads", n), old: from, new: to}}, err)
}

// trouble books an error; it is tried again after a pause.
func (p *corePart) trouble(err error) {
	if err == nil {
		delete(p.e.degraded, p.name())
		return
	}
	p.e.degrade(p.name(), err)
	p.retry = p.e.last.Add(10 * time.Second)
}

func (p *corePart) mechanisms() []Mechanism {
	m := Mechanism{p.name(), "off", "opt-in: control.coreSched"}
	switch {
	case p.why != nil:
		m.Why = short(p.why)
	case p.on:
		m.Using, m.Why = "cookies", "best-effort threads share a core only with others of their "+p.per
		n := 0
		for _, a := range p.alien {
			n += a
		}
		if n > 0 {
			m.Why += fmt.Sprintf("; %d threads keep a cookie that somebody else gave them", n)
		}
	}
	return []Mechanism{m}
}

// shut takes all cookies back.
func (p *corePart) shut() error {
	if !p.on {
		return nil
	}
	err := p.takeBack(p.keeper.Entries(), p.keeper.Restore)
	p.on = false
	clear(p.of)
	p.gone = nil
	clear(p.alien)
	p.turn = rounds{every: memberRound}
	return err
}

func (p *corePart) close() error { return p.shut() }
