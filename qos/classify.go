package qos

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/workload"
)

// compiledRule is a Rule ready to match.
type compiledRule struct {
	Rule
	m    *workload.Matcher
	name string // as people see it
}

func compile(p *Policy) ([]compiledRule, error) {
	own := len(p.Rules)
	var out []compiledRule
	for i, r := range append(p.Rules[:own:own], builtin()...) {
		m, err := workload.Compile(r.Match)
		if err != nil {
			return nil, fmt.Errorf("policy: rules[%d].match: %w", i, err)
		}
		name := "built-in: " + describe(r.Match)
		if i < own {
			name = fmt.Sprintf("rules[%d]: %s", i, describe(r.Match))
		}
		out = append(out, compiledRule{Rule: r, m: m, name: name})
	}
	return out, nil
}

// classOf finds the rule for a workload; nil means that none matches.
func (e *Engine) classOf(w *workload.Workload) *compiledRule {
	for i := range e.rules {
		if e.rules[i].m.Match(w, func() []string { return e.table.Exe(w, e.last) }) {
			return &e.rules[i]
		}
	}
	return nil
}

// classify brings the groups in line with the workloads of the node and the
// rules of the policy.
func (e *Engine) classify() {
	seen := make(map[uint64]bool, len(e.groups))
	for _, w := range e.table.All() {
		seen[w.Ino] = true
		g := e.groups[w.Ino]
		if g == nil {
			var err error
			if g, err = openGroup(e.tree, w); err != nil {
				if !cgroup.Gone(err) {
					e.degrade("workload "+w.ID, err)
				}
				continue
			}
			e.groups[w.Ino] = g
		}
		g.w = w
		e.assign(g, e.classOf(w))
	}
	for ino, g := range e.groups {
		if !seen[ino] {
			e.drop(ino, g)
		}
	}
	e.findTops()
}

// assign gives a group the class of a rule and what goes with it.
func (e *Engine) assign(g *group, r *compiledRule) {
	cls, rule := class.None, "no rule matches"
	mode, lane := BurstOff, false
	if r != nil {
		cls, rule = r.Class, r.name
		if cls.Sensitive() {
			mode, lane = e.policy.LS.Burst, e.policy.LS.RTLane.Enabled
		}
		if r.Burst.Set {
			mode = r.Burst
		}
		if r.RTLane != nil {
			lane = *r.RTLane && cls.Sensitive()
		}
	}
	if g.class != cls || g.classedGen == 0 {
		e.totals.move(g, cls)
		g.class = cls
		e.runq.setClass(g, cls)
	}
	g.classedGen = e.gen
	g.rule = rule
	if mode != g.mode {
		g.mode, g.bank = mode, nil
	}
	g.wantLane = lane
}

// drop forgets a group whose cgroup is gone or is no workload any more.
func (e *Engine) drop(ino uint64, g *group) {
	e.totals.leave(g)
	e.runq.unset(g)
	for key, k := range e.knobs {
		if k.owner() == ino {
			delete(e.knobs, key)
		}
	}
	if g.cpu.CPU.Alive() {
		for _, err := range e.w.Restore(ofInode(ino)) {
			e.degrade("restore "+g.w.ID, err)
		}
	} else if err := e.w.Forget(ino); err != nil {
		e.degrade("journal", err)
	}
	g.close()
	delete(e.groups, ino)
	delete(e.degraded, "workload "+g.w.ID)
}

// describe gives a match in the words of the policy file.
func describe(m workload.Match) string {
	var out []string
	add := func(key, v string) {
		if v != "" {
			out = append(out, key+" "+v)
		}
	}
	add("path", m.Path)
	add("unit", m.Unit)
	add("exe", m.Exe)
	add("kind", string(m.Kind))
	add("kubeQoS", m.KubeQoS)
	add("containerID", m.ContainerID)
	for _, k := range slices.Sorted(maps.Keys(m.Label)) {
		add("label "+k, "= "+m.Label[k])
	}
	return strings.Join(out, ", ")
}

// isHome says whether a cgroup was made to hold best-effort work only, where one knob serves
// all members. Other common parents are not used: a container of another class
// may be started there at any time.
func isHome(rel string) bool {
	base := path.Base(rel)
	return rel == "/anole-be" || base == "kubepods-besteffort.slice" || (base == "besteffort" && strings.Contains(rel, "kubepods"))
}

// findTops finds, for best-effort groups, the cgroup whose priority is
// lowered: the home they share, or their own.
func (e *Engine) findTops() {
	mixed := map[string]bool{}
	for _, g := range e.groups {
		if g.class != class.BE {
			for p := path.Dir(g.w.Path); p != "/"; p = path.Dir(p) {
				mixed[p] = true
			}
		}
	}
	for _, g := range e.groups {
		g.top = ""
		if g.class != class.BE {
			continue
		}
		g.top = g.w.Path
		for p := path.Dir(g.w.Path); p != "/"; p = path.Dir(p) {
			if isHome(p) && !mixed[p] {
				g.top = p
			}
		}
	}
}

func reasonOf(err error) string {
	var u *feature.UnsupportedError
	if errors.As(err, &u) {
		return string(u.Reason)
	}
	return "error"
}
