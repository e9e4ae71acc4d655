package qos

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
)

// pod is a cgroup above workloads that has a CPU limit beside theirs, as the
// kubelet gives to pods. A bank below it is worth nothing while it has none: it
// would run out of quota first. So it gets the sum of the banks below.
type pod struct {
	rel, key string
	members  []*group
	g        *actuate.Group // nil while it cannot be opened
	checked  time.Time
	own      burst.Bandwidth // its limit without the Engine
	depth    burst.Micros    // for which plan was made
	banks    int
	intent   control.Intent // File is "" where nothing is wanted
}

// arrangePods finds the pods of the groups in order.
func (e *Engine) arrangePods() {
	was := e.podAt
	e.pods, e.podAt = e.pods[:0], map[string]*pod{}
	for _, g := range e.order {
		if g.Mode.Off() {
			continue
		}
		for _, rel := range g.w.Above() {
			p := e.podAt[rel]
			if p == nil {
				if p = was[rel]; p == nil {
					p = &pod{rel: rel, key: "limit " + rel}
				}
				p.members = p.members[:0]
				e.podAt[rel], e.pods = p, append(e.pods, p)
			}
			p.members = append(p.members, g)
		}
	}
	for rel, p := range was {
		if e.podAt[rel] == nil {
			p.close()
		}
	}
	slices.SortFunc(e.pods, func(a, b *pod) int { return strings.Compare(a.rel, b.rel) })
}

func (p *pod) close() {
	if p.g != nil {
		_ = p.g.Close()
	}
	p.g, p.intent = nil, control.Intent{}
}

// banksAbove asks for the banks of pods.
func (e *Engine) banksAbove(out []control.Intent) []control.Intent {
	for _, p := range e.pods {
		depth, banks := p.sum()
		if e.lookAtPod(p, e.last) || depth != p.depth || banks != p.banks {
			p.depth, p.banks = depth, banks
			e.planPod(p)
		}
		if p.intent.File != "" && e.podKnob(p) {
			out = append(out, p.intent)
		}
	}
	return out
}

// sum adds up the banks below.
func (p *pod) sum() (depth burst.Micros, n int) {
	for _, g := range p.members {
		if g.Bank != nil && g.Bank.Refused == "" {
			depth += g.Bank.Plan.Depth
			n++
		}
	}
	return depth, n
}

// lookAtPod finds whether the pod has another limit of its own than before:
// what somebody else wrote is it from then on, as with a workload's.
func (e *Engine) lookAtPod(p *pod, now time.Time) (changed bool) {
	if now.Sub(p.checked) < limitEvery && !p.checked.After(now) {
		return false
	}
	p.checked = now
	if p.g != nil && !p.g.CPU.Alive() {
		p.close() // perhaps another one has its name by now
	}
	if p.g == nil && !e.openPod(p) {
		return false
	}
	own, err := p.g.Bandwidth()
	if err != nil {
		return false
	}
	if k, _ := e.knobs[p.key].(*bandwidthKnob); k != nil && k.started && k.owner() == p.g.CPU.Ino() {
		if own == k.now {
			own = k.native
		} else {
			e.journalled(k.adopt(e.w))
		}
	}
	if own == p.own && p.intent.File != "" {
		return false
	}
	p.own = own
	return true
}

// openPod opens a pod, unless it is a workload itself, with a bank of its own.
func (e *Engine) openPod(p *pod) bool {
	g, err := actuate.OpenGroup(e.tree, p.rel)
	if err != nil {
		return false // it went away; the next look at the tree settles it
	}
	if e.groups[g.CPU.Ino()] != nil || !g.HasBandwidth() {
		_ = g.Close()
		return false
	}
	p.g = g
	return true
}

// planPod makes the intent.
func (e *Engine) planPod(p *pod) {
	p.intent = control.Intent{}
	if p.g == nil || p.banks == 0 || p.own.Quota == burst.Unlimited {
		return
	}
	b := burst.Deepen(p.own, p.depth, e.policy.LS.Stall.Std(), int(e.cpus), e.limits)
	if b == p.own {
		return
	}
	why := fmt.Sprintf("bank %v for %d below", b.Depth().Duration(), p.banks)
	if b.Depth() < p.depth {
		why += fmt.Sprintf(", which have %v", p.depth.Duration())
	}
	p.intent = control.Intent{
		Group: p.rel, File: p.key, Value: bandwidthValue(b), Number: b.Rate(), Rule: control.Min, Rank: rankPlan,
		Controller: "burst", Why: why, Payload: b,
	}
}

// podKnob makes the knob of a pod if there is none, and says whether there is
// one. That of a cgroup of the same name that went away ends first.
func (e *Engine) podKnob(p *pod) bool {
	k, _ := e.knobs[p.key].(*bandwidthKnob)
	if k != nil && k.owner() != p.g.CPU.Ino() {
		e.release(e.last, p.key, k)
		if e.knobs[p.key] != nil {
			return false
		}
		k = nil
	}
	if k != nil {
		return true
	}
	g, err := actuate.OpenGroup(e.tree, p.rel)
	if err != nil {
		return false
	}
	if g.CPU.Ino() != p.g.CPU.Ino() {
		_ = g.Close()
		return false
	}
	e.knobs[p.key] = &bandwidthKnob{held: held{g: g}, mine: true}
	return true
}

// lookAgain has the limit that a knob holds looked at in the next Step.
func (e *Engine) lookAgain(k *bandwidthKnob) {
	if g := e.groups[k.owner()]; g != nil {
		g.checked = time.Time{}
	}
	if p := e.podAt[path.Clean(k.g.Rel)]; p != nil {
		p.checked = time.Time{}
	}
}
