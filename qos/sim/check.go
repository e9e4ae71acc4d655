package sim

import "fmt"

// ConservationError says that the model made or lost something: a fault of the
// simulator, never of its input. The run ends with it.
type ConservationError struct {
	Scenario string
	Node     string // "" for the fleet
	Tick     int
	Quantity string
	Got      float64
	Want     string // what should hold
}

func (e *ConservationError) Error() string {
	where := "the fleet"
	if e.Node != "" {
		where = "node " + e.Node
	}
	return fmt.Sprintf("conservation: %s, %s, tick %d: %s is %v, want %s", e.Scenario, where, e.Tick, e.Quantity, e.Got, e.Want)
}

// ledger sums what came and went on a node, in core-seconds, beside the state
// that it must agree with.
type ledger struct {
	arrived, served, lost float64 // LS
	beServed, closed      float64 // BE: done in all, and of that by work that is gone from the node
}

// slip is what rounding may add up to, as a share.
const slip = 1e-6

// check holds a node to what must be true after each tick; the first breach
// stays in failed.
func (n *node) check(tick int) {
	if n.failed != nil {
		return
	}
	breach := func(quantity string, got, want float64, rule string) {
		n.failed = &ConservationError{Scenario: n.w.name, Tick: tick, Quantity: quantity, Got: got, Want: fmt.Sprintf("%s %v", rule, want)}
	}
	backlog, running, held := 0.0, 0.0, 0.0
	for i := range n.services {
		backlog += n.services[i].backlog
	}
	for i := range n.bundles {
		b := &n.bundles[i]
		running += b.work - b.left
		held += b.mem
	}
	l := &n.ledger
	near := func(a, b float64) bool {
		d := a - b
		return d <= slip*(a+b)+slip && -d <= slip*(a+b)+slip
	}
	switch {
	case !(n.ls+n.be <= n.cpus*(1+slip)):
		breach("CPU given", n.ls+n.be, n.cpus, "at most")
	case !(n.ls >= 0 && n.be >= 0):
		breach("CPU given", min(n.ls, n.be), 0, "at least")
	case len(n.bundles) > 0 && !(n.lsMemory+held <= n.memory*(1+slip)):
		breach("memory", n.lsMemory+held, n.memory, "at most")
	case !near(held, n.held):
		breach("memory held by BE", n.held, held, "the sum")
	case !near(l.arrived, l.served+l.lost+backlog):
		breach("LS work arrived", l.arrived, l.served+l.lost+backlog, "done + lost + waiting =")
	case !near(l.beServed, l.closed+running):
		breach("BE work done", l.beServed, l.closed+running, "finished + evicted + running =")
	}
}

// check holds the fleet to what must be true each time work was placed.
func (w *world) check(tick int) error {
	for i := range w.nodes {
		if n := &w.nodes[i]; n.failed != nil {
			n.failed.Node = w.fleet.Machines[i].ID
			return n.failed
		}
	}
	running := 0
	for i := range w.nodes {
		for _, b := range w.nodes[i].bundles {
			running += int(b.n)
		}
		for _, e := range w.nodes[i].out { // not settled yet
			running += int(e.n)
		}
	}
	s := &w.sched
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"instances running", s.running, running},
		{"instances arrived", s.arrived, s.blocked + s.waiting + s.running + s.done},
		{"jobs arrived", s.jobs, s.jobsOpen + s.jobsDone},
		{"instances placed", s.placed, s.running + s.done + s.evictions + s.starvations},
	} {
		if c.got != c.want {
			return &ConservationError{Scenario: w.name, Tick: tick, Quantity: c.what, Got: float64(c.got), Want: fmt.Sprintf("%d", c.want)}
		}
	}
	return nil
}
