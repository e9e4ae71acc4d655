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
	d := e.suppress.Step(e.sample(now))
	if e.policy.BE.Suppress == "off" || e.mechanism == "" && e.policy.BE.Priority != "off" && !e.anyLimit() {
		d = control.Decision{Cap: math.Inf(1), Changed: !math.IsInf(e.cap, 1), Why: "suppression is off"}
	}
	if d.Changed {
		e.cap, e.capWhy = d.Cap, d.Why
	}
	var out []control.Intent
	out = e.priorities(out)
	out = e.caps(out, now, d.Changed)
	out = e.banks(out, now, dt)
	return control.Merge(out)
}

// anyLimit says whether the node can limit CPU use at all.
func (e *Engine) anyLimit() bool { _, ok := e.tree.Version("cpu"); return ok }

// sample puts together what the suppressor looks at.
func (e *Engine) sample(now time.Time) control.Sample {
	s := control.Sample{Now: now, CPUs: e.cpus, Busy: e.node.busy, Steal: e.node.steal, Pressure: e.pressure.share, Throttled: math.NaN()}
	var periods, throttled uint64
	for _, g := range e.groups {
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
	}
	if e.runq.ok {
		h := e.runq.sensitive()
		s.RunQueueSamples, s.RunQueueP99 = h.Count(), h.Quantile(0.99)
	}
	return s
}

// priorities lowers best-effort groups.
func (e *Engine) priorities(out []control.Intent) []control.Intent {
	if e.mechanism == "" {
		return out
	}
	for top, g := range e.tops() {
		key := "priority " + top
		k := e.knobs[key]
		if k == nil {
			act := g.cpu
			if top != g.w.Path {
				var err error
				if act, err = actuate.OpenGroup(e.tree, top); err != nil {
					continue // it went away; the next look at the tree settles it
				}
			}
			k = &yieldKnob{held: held{g: act}, m: e.mechanism}
			e.knobs[key] = k
		}
		out = append(out, control.Intent{
			Group: top, File: key, Value: string(e.mechanism), Controller: "priority", Rank: rankPlan, Why: "best-effort work yields by " + string(e.mechanism),
		})
	}
	return out
}

// tops gives the cgroups whose priority is lowered, each with one member.
func (e *Engine) tops() map[string]*group {
	m := map[string]*group{}
	for _, g := range e.groups {
		if g.top != "" {
			m[g.top] = g
		}
	}
	return m
}

// shareEvery is how often a cap is split anew while it stays the same.
const shareEvery = time.Second

// caps splits the cap among best-effort groups. On a quiet cap the shares
// stand for a second, so that the noise of single groups makes no writes.
func (e *Engine) caps(out []control.Intent, now time.Time, changed bool) []control.Intent {
	if math.IsInf(e.cap, 1) {
		return out
	}
	members := e.members()
	if len(members) == 0 {
		return out
	}
	fresh := changed || now.Sub(e.shareAt) >= shareEvery || e.shareAt.After(now) || slices.ContainsFunc(members, func(g *group) bool { return g.share == 0 })
	if fresh {
		e.shareAt = now
		e.split(members, changed)
	}
	for _, g := range members {
		if e.policy.BE.Suppress == "cpuset" {
			out = e.confine(out, g)
		} else {
			out = append(out, e.capIntent(g))
		}
	}
	return out
}

// members lists best-effort groups in a stable order.
func (e *Engine) members() []*group {
	var out []*group
	for _, g := range e.groups {
		if g.class == class.BE {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *group) int { return strings.Compare(a.w.Path, b.w.Path) })
	return out
}

// split sets the members' shares. A share moves only if it changes by more
// than a tenth, unless the cap itself moved.
func (e *Engine) split(members []*group, force bool) {
	claims := make([]control.Claim, len(members))
	for i, g := range members {
		_, throttled := g.throttled()
		claims[i] = control.Claim{Used: g.used, Limit: e.cpus, Blocked: throttled > 0 || g.share == 0}
		if g.bank != nil {
			claims[i].Limit = g.bank.limit
		}
	}
	for i, s := range control.Share(e.cap, claims, leastShare) {
		if g := members[i]; force || g.share == 0 || math.Abs(s-g.share) > g.share/10 {
			g.share = s
		}
	}
}

// leastShare is what the kernel takes as the least quota, 1 ms, in the default
// period.
const leastShare = 0.01

const capPeriod = 100_000 // µs; the kernel's default

func (e *Engine) capIntent(g *group) control.Intent {
	b := burst.Bandwidth{Period: capPeriod, Quota: burst.Micros(max(g.share*capPeriod, 1000))}
	why := fmt.Sprintf("cap %.2f cores: %s", e.cap, e.capWhy)
	return e.limitIntent(g, b, "suppress", why)
}

// limitIntent asks for a CPU limit. The lower of several wins.
func (e *Engine) limitIntent(g *group, b burst.Bandwidth, by, why string) control.Intent {
	key := "limit " + g.w.Path
	if e.knobs[key] == nil {
		e.knobs[key] = &bandwidthKnob{held: held{g: g.cpu}}
	}
	return control.Intent{
		Group: g.w.ID, File: key, Value: bandwidthValue(b), Number: b.Rate(), Rule: control.Min, Rank: rankPlan, Controller: by, Why: why, Payload: b,
	}
}

// confine caps by cpuset: the last CPUs of the node, at least one.
func (e *Engine) confine(out []control.Intent, g *group) []control.Intent {
	key := "cpuset " + g.w.Path
	if e.knobs[key] == nil {
		d, err := cgroup.OpenDir(e.tree.Path("cpuset", g.w.Path))
		if err != nil {
			e.degrade("cpuset", err)
			return out
		}
		e.knobs[key] = &cpusetKnob{held: held{g: g.cpu}, set_: d}
	}
	n := min(max(1, int(e.cap)), int(e.cpus))
	first, last := int(e.cpus)-n, int(e.cpus)-1
	v := fmt.Sprintf("%d-%d", first, last)
	if first == last {
		v = fmt.Sprint(first)
	}
	return append(out, control.Intent{
		Group: g.w.ID, File: key, Value: v, Controller: "suppress", Why: fmt.Sprintf("cap %.2f cores: %s", e.cap, e.capWhy),
	})
}

// inTree says whether a workload is at or below a path.
func inTree(p, below string) bool { return p == below || strings.HasPrefix(p, path.Clean(below)+"/") }
