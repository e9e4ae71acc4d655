package qos

import (
	"time"

	"github.com/anole-os/anole/qos/control"
)

// part is one resource beside the CPU that the Engine isolates by class:
// memory, IO, network and so on. Its library (controllers, files, probes) is a
// package of its own below qos; the part joins that to the Engine's groups,
// arbiter, policy and status, in one file part_<name>.go. The Engine calls it
// with its lock held and in the order of the methods here.
//
// A part that the node cannot serve says so once by e.degrade(name, err) and
// does nothing; it is no error. It opens nothing before the first install, and
// must cost next to nothing while the policy has it off.
type part interface {
	// name is the part's word in status, metrics and degradations.
	name() string
	// kinds lists the kinds of knob it makes: the first word of their keys, as
	// in "memory.high /system.slice/x.service".
	kinds() []string
	// install takes a new policy, on open and on each reload.
	install(p *Policy)
	// assign is called when a group is new or has another class or rule.
	assign(g *group)
	// drop is called before a group that went away, or is no workload any more,
	// is closed. What knobs hold is settled by the Engine.
	drop(g *group)
	// sense reads what is due. now and dt are those of Step.
	sense(now time.Time, dt time.Duration)
	// decide appends what the controllers want. A knob of which no intent speaks
	// any more is put back by the Engine.
	decide(out []control.Intent, now time.Time, dt time.Duration) []control.Intent
	// apply does what is no matter of control files: qdiscs, processes. It comes
	// after all files of this Step were written.
	apply(now time.Time)
	// mechanisms says by what means it works here, and why by that.
	mechanisms() []Mechanism
	// close puts back what apply did and frees everything.
	close() error
}

// newParts makes the parts, in the order of their calls.
func newParts(e *Engine) []part {
	e.memory, e.cache, e.cpi = newMemoryPart(e), newCachePart(e), newCPIPart(e) // cpi after who asks for it
	return []part{e.memory, newIOPart(e), e.cache, e.cpi, newCorePart(e), newNetPart(e)}
}

// each calls do for all parts.
func (e *Engine) each(do func(part)) {
	for _, p := range e.parts {
		do(p)
	}
}
