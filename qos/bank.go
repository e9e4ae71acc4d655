package qos

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
)

// bank gives a group with a CPU limit a store of unused quota: the kernel's
// own where it is deep enough, the agent's credit for the rest.
type bank struct {
	limit   float64 // CPUs, the group's own limit
	auto    *burst.Auto
	mean    float64 // cores used, over hungryOver
	plan    burst.Plan
	credit  *burst.Credit
	refused string // why there is no plan
	intent  control.Intent
}

// limitEvery is how often a group's limit is looked at for changes by others.
const limitEvery = time.Second

// bankOf runs CPU Burst for one group.
func (e *Engine) bankOf(out []control.Intent, g *group, now time.Time, dt time.Duration) []control.Intent {
	if g.bank == nil || g.bank.refused != "" {
		return out
	}
	out = e.limit(out, g, e.bankIntent(g, now, dt))
	if w, ok := g.ask(dt); ok {
		e.wants = append(e.wants, w)
	}
	return out
}

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
	if g.mode.Off() && g.class.Sensitive() || !g.watchedForLimit() || !g.cpu.HasBandwidth() {
		g.bank = nil
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

func (g *group) watchedForLimit() bool { return !g.mode.Off() || g.watched() }

func (e *Engine) setLimit(g *group, own burst.Bandwidth) {
	if own.Quota == burst.Unlimited {
		g.bank = nil
		return
	}
	r := own.Rate()
	if g.bank != nil && g.bank.limit == r {
		return
	}
	g.bank = &bank{limit: r}
	if g.mode.Off() {
		g.bank.refused = "burst is off"
		return
	}
	if err := e.openBank(g); err != nil {
		g.bank.refused = err.Error()
		e.degrade("burst of "+g.w.ID, err)
	}
}

func (e *Engine) openBank(g *group) (err error) {
	b := g.bank
	budget := g.mode.Budget
	if g.mode.Auto {
		b.auto, err = burst.NewAuto(burst.AutoOptions{
			Limit: b.limit, Limits: e.limits, UpEvery: learnEvery, Max: time.Duration(b.limit * float64(mostBank)),
		})
		if err != nil {
			return err
		}
		budget = b.auto.Burst()
	}
	return e.replan(g, budget)
}

const (
	// learnEvery is the least time between two deeper plans of one group: each
	// plan is written, and each write gives the group a quota.
	learnEvery = 10 * time.Second
	// mostBank bounds what is learned: the CPU time of this long at the limit.
	// A full bank then adds at most 1.4 % to the use over a minute, and each
	// write of a plan one quota.
	mostBank = 850 * time.Millisecond
	// hungry is the share of its limit above which a group has no unused quota
	// to bank, averaged over hungryOver: its throttling says nothing of bursts.
	hungry     = 0.85
	hungryOver = 4 * time.Second
)

// missed is the throttling that a deeper bank would have spared the group.
func (b *bank) missed(g *group, dt time.Duration) time.Duration {
	b.mean += (g.used - b.mean) * min(1, dt.Seconds()/hungryOver.Seconds())
	if b.mean > hungry*b.limit {
		return 0
	}
	return g.stalled()
}

func (e *Engine) replan(g *group, budget time.Duration) (err error) {
	b := g.bank
	defer func() {
		if err == nil {
			b.intent = e.limitIntent(g, b.plan.Bandwidth, "burst", b.why())
		}
	}()
	b.plan, err = burst.NewPlan(burst.Spec{
		Limit: b.limit, Burst: budget, MaxStall: e.policy.LS.Stall.Std(), CPUs: int(e.cpus), Limits: e.limits,
	})
	if err != nil {
		return err
	}
	if !b.plan.NeedsCredit || !e.policy.LS.Credit {
		b.credit = nil
		return nil
	}
	if b.credit != nil {
		return b.credit.SetBandwidth(b.plan.Bandwidth)
	}
	b.credit, err = burst.NewCredit(burst.CreditOptions{Limit: b.limit, Bandwidth: b.plan.Bandwidth, Cap: budget})
	return err
}

// why says in words what the plan is for.
func (b *bank) why() string {
	why := fmt.Sprintf("bank %v at %.3g CPUs", b.plan.Depth.Duration(), b.limit)
	if b.plan.NeedsCredit {
		why += fmt.Sprintf(", %v short of the %v wanted", b.plan.Shortfall.Duration(), b.plan.Wanted.Duration())
	}
	if b.auto != nil {
		why += fmt.Sprintf(", learned: peak %v above the limit", b.auto.Burst().Round(time.Millisecond))
	}
	return why
}

// bankIntent asks for the plan in force, learning first where the mode is auto.
func (e *Engine) bankIntent(g *group, now time.Time, dt time.Duration) control.Intent {
	b := g.bank
	if b.auto != nil && g.fresh {
		a := b.auto.Observe(burst.Usage{At: time.Duration(now.UnixNano()), Dt: dt, Used: g.delta, Throttled: b.missed(g, dt)})
		if a.Changed && a.Burst != 0 {
			if err := e.replan(g, a.Burst); err != nil {
				e.degrade("burst of "+g.w.ID, err)
			}
		}
	}
	return b.intent
}

// ask keeps the credit ledger and says whether the group wants a grant.
func (g *group) ask(dt time.Duration) (burst.Want, bool) {
	c := g.bank.credit
	if c == nil || !g.fresh {
		return burst.Want{}, false
	}
	_, throttled := g.throttled()
	// throttled_time grows when the wait is over and nr_throttled when a
	// period ends; a limited group that is runnable and got nothing waits now.
	c.Observe(burst.Sample{Dt: dt, Used: g.delta, Throttled: g.stalled(), Stalled: throttled > 0})
	return c.Want(g.w.ID)
}

// grant gives credit while the node has room.
func (e *Engine) grant(dt time.Duration) {
	use := e.node.busy / e.cpus
	if !e.gate.Step(use) || len(e.wants) == 0 {
		return
	}
	for _, w := range burst.Select(e.wants, burst.Headroom(use, int(e.cpus), dt, e.policy.Control.CreditAbove)) {
		for _, g := range e.order {
			if g.w.ID == w.ID {
				e.refill(g)
			}
		}
	}
}

func (e *Engine) refill(g *group) {
	c := g.bank.credit
	k, _ := e.knobs[g.limitKey].(*bandwidthKnob)
	if k == nil || !k.started || k.now != g.bank.plan.Bandwidth || !c.Spend() {
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
	e.record(in, []change{{g.cpu.Path(ed.File), ed.Value, ed.Value}}, err)
}

// stalled is the growth of throttled time over the last interval.
func (g *group) stalled() time.Duration { return max(0, g.now.ThrottledTime-g.was.ThrottledTime) }
