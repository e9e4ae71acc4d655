package qos

import (
	"fmt"
	"math"
	"path"
	"slices"
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
	changed := e.recap(now)
	out := e.limitsOf(e.intents[:0], now, dt, changed)
	out = e.priorities(out)
	for _, p := range e.parts {
		out = p.decide(out, now, dt)
	}
	e.intents = out
	return control.Merge(out)
}

// recap asks the suppressor for the cap and says whether it changed.
func (e *Engine) recap(now time.Time) bool {
	d := e.suppress.Step(e.sample(now))
	if e.policy.BE.Suppress == "off" || e.mechanism == "" && e.policy.BE.Priority != "off" && !e.anyLimit() {
		d = control.Decision{Cap: math.Inf(1), Why: "suppression is off"}
	}
	if d.Cap == e.cap || e.slack(d.Cap) {
		return false
	}
	if d.Why == "" { // it was off until now
		d.Why = "suppression is on"
	}
	e.cap, e.capWhy = d.Cap, d.Why
	return true
}

// slack says that a cap need not move: it would by less than a quarter of the
// node, and both it and the one in force leave best-effort work more than twice
// what it uses. Then the noise of the others' use writes nothing; when that work
// grows the cap follows at once.
func (e *Engine) slack(want float64) bool {
	low := min(want, e.cap)
	if math.IsInf(want, 1) || math.IsInf(e.cap, 1) || math.Abs(want-e.cap) > e.cpus/4 {
		return false
	}
	used := 0.0
	for _, g := range e.members {
		if g.short {
			return false
		}
		used += g.used
	}
	return used < low/2
}

// anyLimit says whether the node can limit CPU use at all.
func (e *Engine) anyLimit() bool { _, ok := e.tree.Version("cpu"); return ok }

// sample puts together what the suppressor looks at.
func (e *Engine) sample(now time.Time) control.Sample {
	s := control.Sample{Now: now, CPUs: e.cpus, Busy: e.node.busy, Steal: e.node.steal, Pressure: e.pressure.share, Throttled: math.NaN()}
	var periods, throttled uint64
	for _, g := range e.order {
		switch {
		case g.class.Sensitive():
			s.Sensitives++
			s.Sensitive += g.used
			p, t := g.throttled()
			periods, throttled = periods+p, throttled+t
		case g.class == class.BE:
			s.BE += g.used
		}
	}
	if periods > 0 {
		s.Throttled = float64(throttled) / float64(periods)
		if throttled > 0 {
			s.Pressure = math.NaN() // waits for quota count as pressure too
		}
	}
	if e.runq.ok {
		s.RunQueueP99, s.RunQueueSamples = e.runq.waits(now)
		// PSI cannot tell who is waited for: it decides only where the run
		// queue is not measured.
		s.Pressure = math.NaN()
	}
	return s
}

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

// shareEvery is how often a cap is split anew while it stays the same.
const shareEvery = time.Second

// limitsOf asks for all limits: the shares of the cap and the burst plans.
func (e *Engine) limitsOf(out []control.Intent, now time.Time, dt time.Duration, changed bool) []control.Intent {
	capped := e.shares(now, changed)
	if capped && e.policy.BE.Suppress == "cpuset" {
		for _, g := range e.members {
			out = e.confine(out, g, changed)
		}
		capped = false
	}
	e.wants = e.wants[:0]
	for _, g := range e.order {
		if capped && g.class == class.BE && (g.bank == nil || g.share < g.bank.limit) {
			out = e.limit(out, g, g.capIntent)
		}
		out = e.bankOf(out, g, now, dt)
	}
	e.grant(dt)
	return out
}

// shares splits the cap among best-effort groups and says whether one is in
// force. On a quiet cap the shares stand for a second, and for as long as
// nobody runs into its own, so that the noise of single groups makes no writes.
func (e *Engine) shares(now time.Time, changed bool) bool {
	if math.IsInf(e.cap, 1) {
		for _, g := range e.members {
			g.share = 0
		}
		return false
	}
	if changed || slices.ContainsFunc(e.members, func(g *group) bool { return g.share == 0 }) || e.shareDue(now) {
		e.shareAt = now
		e.split(e.members, changed)
	}
	return len(e.members) > 0
}

// shareDue says whether the split is a second old and somebody is short.
func (e *Engine) shareDue(now time.Time) bool {
	for _, g := range e.members {
		if g.above > 0 && (now.Sub(g.aboveAt) >= aboveFor || g.aboveAt.After(now)) {
			g.above, g.share = 0, 0 // it may have been raised
			return true
		}
	}
	if now.Sub(e.shareAt) < shareEvery && !e.shareAt.After(now) {
		return false
	}
	e.shareAt = now
	return slices.ContainsFunc(e.members, (*group).blocked)
}

// blocked says whether the group ran out of quota since the last split.
func (g *group) blocked() bool { return g.short }

// split sets the members' shares. A share moves only if it changes by more
// than a tenth, unless the cap itself moved.
func (e *Engine) split(members []*group, force bool) {
	claims := make([]control.Claim, len(members))
	for i, g := range members {
		claims[i] = control.Claim{Used: g.used, Limit: e.cpus, Blocked: g.blocked() || g.share == 0}
		g.short = false
		if g.bank != nil {
			claims[i].Limit = g.bank.limit
		}
		if g.above > 0 {
			claims[i].Limit = min(claims[i].Limit, g.above)
		}
	}
	for i, s := range control.Share(e.cap, claims, leastShare) {
		if g := members[i]; force || g.share == 0 || math.Abs(s-g.share) > g.share/10 {
			g.share = s
			g.capIntent = e.capIntent(g)
		}
	}
}

// aboveFor is how long the limit above a group is taken for granted.
const aboveFor = 30 * time.Second

// boundAbove is asked when the kernel refused a limit, and says whether one
// above the group explains it: cgroup v1 takes no child with more than its
// parent has (tg_cfs_schedulable_down in kernel/sched/core.c). That limit then
// bounds the group's share. Looking for it only now saves reading all parents
// all the time.
func (e *Engine) boundAbove(k knob, now time.Time) bool {
	g := e.groups[k.owner()]
	if _, ok := k.(*bandwidthKnob); !ok || g == nil || g.class != class.BE {
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
	if math.IsInf(least, 1) || least >= g.share {
		return false
	}
	g.above, g.aboveAt, g.share = least, now, 0
	return true
}

// leastShare is what the kernel takes as the least quota, 1 ms, in the default
// period.
const leastShare = 0.01

const capPeriod = 100_000 // µs; the kernel's default

// capIntent asks for a group's share of the cap.
func (e *Engine) capIntent(g *group) control.Intent {
	b := burst.Bandwidth{Period: capPeriod, Quota: burst.Micros(max(g.share*capPeriod, 1000))}
	why := fmt.Sprintf("cap %.2f cores: %s", e.cap, e.capWhy)
	return e.limitIntent(g, b, "suppress", why)
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
		d, err := cgroup.OpenDir(e.tree.Path("cpuset", g.w.Path))
		if err != nil {
			e.degrade("cpuset", err)
			return out
		}
		delete(e.degraded, "cpuset")
		k = &cpusetKnob{held: held{g: g.cpu}, cpuset: d}
		e.knobs[key] = k
	}
	if k.allowed == nil {
		if err := k.own(); err != nil {
			e.degrade("cpuset", err)
			return out
		}
		changed = true
	}
	if len(k.allowed) == 0 {
		return out
	}
	if g.setIntent.File == "" || changed {
		g.setIntent = control.Intent{
			Group: g.w.ID, File: key, Value: k.confined(int(e.cap)), Controller: "suppress", Why: fmt.Sprintf("cap %.2f cores: %s", e.cap, e.capWhy),
		}
	}
	return append(out, g.setIntent)
}

// inTree says whether a workload is at or below a path.
func inTree(p, below string) bool { return p == below || strings.HasPrefix(p, path.Clean(below)+"/") }
