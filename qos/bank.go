package qos

import (
	"slices"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
)

// limitEvery is how often a group's limit is looked at for changes by others.
const limitEvery = time.Second

// lookAtLimit finds whether the group has a limit of its own, and notices when
// somebody else (kubelet, systemd, an operator) changes it: what they wrote is
// the limit from then on.
func (e *Engine) lookAtLimit(g *group, now time.Time) {
	if now.Sub(g.checked) < limitEvery && !g.checked.After(now) {
		return
	}
	first := g.checked.IsZero()
	if g.checked = now; first { // spread over the intervals of a second
		g.checked = now.Add(-time.Duration(g.w.Ino%10) * limitEvery / 10)
	}
	g.unlimited = false
	if !g.WantsLimit() && len(e.taps) == 0 || !g.cpu.HasBandwidth() {
		g.Bank = nil
		return
	}
	k, _ := e.knobs[g.limitKey].(*bandwidthKnob)
	own, err := g.cpu.Bandwidth()
	if err != nil {
		return
	}
	// Without a limit the kernel counts no periods.
	g.unlimited = own.Quota == burst.Unlimited
	if k != nil && k.started {
		if own == k.now {
			own = k.native
		} else {
			e.journalled(k.adopt(e.w))
		}
	}
	e.setLimit(g, own)
}

// setLimit tells the controllers the group's own limit.
func (e *Engine) setLimit(g *group, own burst.Bandwidth) {
	cores := 0.0
	if own.Quota != burst.Unlimited {
		cores = own.Rate()
	}
	g.own = cores
	was := g.Bank
	if err := e.ctl.SetLimit(&g.Member, cores); err != nil {
		e.degrade("burst of "+g.w.ID, err)
	}
	if g.Bank != was {
		g.bankIntent = control.Intent{}
	}
}

// bankOf asks for the plan in force.
func (e *Engine) bankOf(g *group) control.Intent {
	if g.bankGen != g.Bank.Gen || g.bankIntent.File == "" {
		g.bankGen = g.Bank.Gen
		g.bankIntent = e.limitIntent(g, g.Bank.Plan.Bandwidth, "burst", g.Bank.Why())
	}
	return g.bankIntent
}

// groupOf finds the group of a member.
func (e *Engine) groupOf(m *control.Member) *group {
	return e.order[slices.IndexFunc(e.order, func(g *group) bool { return &g.Member == m })]
}

// refill gives a member one quota more.
func (e *Engine) refill(m *control.Member) {
	g, c := e.groupOf(m), m.Bank.Credit
	k, _ := e.knobs[g.limitKey].(*bandwidthKnob)
	if k == nil || !k.started || k.now != m.Bank.Plan.Bandwidth || !c.Spend() {
		return
	}
	ed := g.cpu.Refill(k.now)
	err := e.w.Refill(ed)
	if err != nil {
		c.Refund()
	} else {
		e.totals.Grants++
	}
	in := &control.Intent{Group: g.w.ID, File: k.last.File, Controller: "credit", Why: "throttled with saved credit: one quota given"}
	e.record(in, []change{{file: g.cpu.Path(ed.File), old: ed.Value, new: ed.Value}}, err)
}
