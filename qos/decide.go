package qos

import (
	"fmt"
	"math"
	"path"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
)

// Ranks of controllers: a higher one wins where two want the same thing.
const (
	rankPlan = 0 // burst plans and caps are both limits: the lower wins
)

// decide asks all controllers and gives the merged intents.
func (e *Engine) decide(now time.Time, dt time.Duration) []control.Intent {
	for _, g := range e.order {
		e.lookAtLimit(g, now)
	}
	e.signalled = e.signals(now, dt)
	o := e.ctl.Step(e.signalled)
	e.outcome = o
	for _, m := range o.Failed {
		e.degrade("burst of "+m.ID, m.Bank.Err)
	}
	out := e.limitsOf(e.intents[:0], o.CapMoved)
	for _, m := range o.Grants {
		e.refill(m)
	}
	for _, p := range e.parts {
		out = p.decide(out, now, dt)
	}
	out = e.priorities(out) // last: by their files, those of memory come before
	e.intents = out
	return control.Merge(out)
}

// signals puts together what the controllers look at.
func (e *Engine) signals(now time.Time, dt time.Duration) control.Signals {
	in := control.Signals{Now: now, Dt: dt, Busy: e.node.busy, Steal: e.node.steal, Pressure: e.pressure.share, RunQueueOK: e.runq.ok}
	if e.runq.ok {
		in.RunQueueP99, in.RunQueueSamples = e.runq.waits(now)
	}
	in.CPI, in.CPIOf = e.cpi.worst()
	in.Slow = e.feedback.signals(e, now)
	return in
}

// anyLimit says whether the node can limit CPU use at all.
func (e *Engine) anyLimit() bool { _, ok := e.tree.Version("cpu"); return ok }

// priorities lowers best-effort groups.
func (e *Engine) priorities(out []control.Intent) []control.Intent {
	if e.mechanism == "" {
		return out
	}
	for i := range e.tops {
		t := &e.tops[i]
		k, _ := e.knobs[t.key].(*yieldKnob)
		if k != nil && (k.m != e.mechanism || k.owner() != t.ino) {
			// Another means, or another cgroup under the same name: what was
			// done by the old one ends first.
			e.release(e.last, t.key, k)
			if e.knobs[t.key] != nil {
				continue // the kernel refused; it is tried again
			}
			k = nil
		}
		if k == nil {
			if k = e.yield(t); k == nil {
				continue // it went away; the next look at the tree settles it
			}
			e.knobs[t.key] = k
		}
		out = append(out, t.intent)
	}
	return out
}

// yield makes the knob of a top, nil if its cgroup is gone.
func (e *Engine) yield(t *top) *yieldKnob {
	act := t.g.cpu
	if t.rel != t.g.w.Path {
		var err error
		if act, err = actuate.OpenGroup(e.tree, t.rel); err != nil {
			return nil
		}
	}
	t.ino = act.CPU.Ino()
	return &yieldKnob{held: held{g: act}, m: e.mechanism}
}

// limitsOf asks for all limits: the shares of the cap and the burst plans.
func (e *Engine) limitsOf(out []control.Intent, moved bool) []control.Intent {
	capped := e.ctl.Capped()
	if capped && e.policy.BE.Suppress == "cpuset" {
		for _, g := range e.members {
			out = e.confine(out, g, moved)
		}
		capped = false
	}
	for _, g := range e.order {
		if capped && g.Class == class.BE && (g.Bank == nil || g.Share < g.Bank.Limit) {
			out = e.limit(out, g, e.capOf(g))
		}
		if g.Bank != nil && g.Bank.Refused == "" {
			out = e.limit(out, g, e.bankOf(g))
		}
	}
	return e.banksAbove(out)
}

// boundAbove is asked when the kernel refused a limit, and says whether one
// above the group explains it: cgroup v1 takes no child with more than its
// parent has (tg_cfs_schedulable_down in kernel/sched/core.c). That limit then
// bounds the group's share. Looking for it only now saves reading all parents
// all the time.
func (e *Engine) boundAbove(k *bandwidthKnob, now time.Time) bool {
	g := e.groups[k.owner()]
	if g == nil || g.Class != class.BE {
		return false
	}
	least := math.Inf(1)
	for _, rel := range parents(g.w.Path) {
		a, err := actuate.OpenGroup(e.tree, rel)
		if err != nil {
			continue
		}
		if b, err := a.Bandwidth(); err == nil && b.Quota != burst.Unlimited {
			least = min(least, b.Rate())
		}
		_ = a.Close()
	}
	if math.IsInf(least, 1) || least >= g.Share {
		return false
	}
	g.BoundAbove(now, least)
	return true
}

const capPeriod = 100_000 // µs; the kernel's default

// capOf asks for a group's share of the cap.
func (e *Engine) capOf(g *group) control.Intent {
	if g.shareGen != g.ShareGen || g.capIntent.File == "" {
		g.shareGen = g.ShareGen
		b := burst.Bandwidth{Period: capPeriod, Quota: burst.Micros(max(g.Share*capPeriod, 1000))}
		g.capIntent = e.limitIntent(g, b, "suppress", e.capWhy())
	}
	return g.capIntent
}

func (e *Engine) capWhy() string {
	cores, why := e.ctl.Cap()
	return fmt.Sprintf("cap %.2f cores: %s", cores, why)
}

// limitIntent asks for a CPU limit. The lower of several wins.
func (e *Engine) limitIntent(g *group, b burst.Bandwidth, by, why string) control.Intent {
	key := g.limitKey
	return control.Intent{
		Group: g.w.ID, File: key, Value: bandwidthValue(b), Number: b.Rate(), Rule: control.Min, Rank: rankPlan, Controller: by, Why: why, Payload: b,
	}
}

// limit adds an intent for the limit of g.
func (e *Engine) limit(out []control.Intent, g *group, in control.Intent) []control.Intent {
	if e.knobs[in.File] == nil {
		e.knobs[in.File] = &bandwidthKnob{held: held{g: g.cpu}}
	}
	return append(out, in)
}

// confine caps by cpuset: the last of the CPUs that the group may use, as many
// as the cap has room for, at least one.
func (e *Engine) confine(out []control.Intent, g *group, changed bool) []control.Intent {
	key := "cpuset " + g.w.Path
	k, _ := e.knobs[key].(*cpusetKnob)
	if k == nil {
		if e.last.Sub(g.setTried) < time.Second && !g.setTried.After(e.last) {
			return out
		}
		d, err := cgroup.OpenDir(e.tree.Path("cpuset", g.w.Path))
		if err != nil {
			g.setTried = e.last
			e.degrade("cpuset", err)
			return out
		}
		k = &cpusetKnob{held: held{g: g.cpu}, cpuset: d}
		e.knobs[key] = k
	}
	if k.allowed == nil {
		if err := k.own(); err != nil {
			g.setTried = e.last
			e.degrade("cpuset", err)
			return out
		}
		delete(e.degraded, "cpuset")
		changed = true
	}
	if len(k.allowed) == 0 {
		return out
	}
	if g.setIntent.File == "" || changed {
		cores, _ := e.ctl.Cap()
		g.setIntent = control.Intent{Group: g.w.ID, File: key, Value: k.confined(int(cores)), Controller: "suppress", Why: e.capWhy()}
	}
	return append(out, g.setIntent)
}

// inTree says whether a workload is at or below a path.
func inTree(p, below string) bool { return p == below || strings.HasPrefix(p, path.Clean(below)+"/") }
