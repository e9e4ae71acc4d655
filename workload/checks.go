package workload

import "time"

// checks is the work of looking again into cgroups that are workloads only
// while they hold processes. The kernel does not announce on v1 that a process
// enters or leaves.
type checks struct {
	fresh []*node // empty and made a moment ago: their maker is about to fill them
	all   []*node // every node that is not fixed
	turn  int     // next of fresh, or position of the round over all
	pos   int
	round time.Time // when the running or last round began
	on    bool      // a round is running
}

const (
	// settle is how long a new empty cgroup is looked at on each Refresh.
	settle = 2 * time.Second
	// freshBatch and roundBatch bound the look-ups of one Refresh: some 10 µs
	// each.
	freshBatch = 32
	roundBatch = 64
)

func (c *checks) add(n *node) {
	c.all = append(c.all, n)
	if n.w == nil {
		c.fresh = append(c.fresh, n)
	}
}

// runChecks looks at the fresh cgroups, and at a part of all of them when a
// round is due or running. A round takes several calls so that none is long.
func (t *Table) runChecks(now time.Time) {
	c := &t.checks
	t.checkFresh(now)
	if d := now.Sub(c.round); !c.on && (d >= t.opts.Rescan || d < 0) {
		c.on, c.pos, c.round = true, 0, now
	}
	if !c.on {
		return
	}
	kept := c.pos
	end := min(len(c.all), c.pos+t.batch(now))
	for _, n := range c.all[c.pos:end] {
		if n.dead {
			continue
		}
		t.check(n)
		c.all[kept] = n
		kept++
	}
	tail := copy(c.all[kept:], c.all[end:])
	clear(c.all[kept+tail:])
	c.all, c.pos = c.all[:kept+tail], kept
	c.on = kept < len(c.all)
}

// batch is how many checks of a round this call makes: a small number for an
// owner that calls often, all that is left for one that calls so rarely that
// the round would not end in time.
func (t *Table) batch(now time.Time) int {
	c := &t.checks
	late := now.Sub(c.round) > t.opts.Rescan/2
	if late {
		return len(c.all)
	}
	return max(roundBatch, len(c.all)/32)
}

func (t *Table) checkFresh(now time.Time) {
	c := &t.checks
	if len(c.fresh) == 0 {
		return
	}
	kept := c.fresh[:0]
	for i, n := range c.fresh {
		if n.dead || n.w != nil {
			continue
		}
		// Each call looks at another part when there are many.
		if (i+len(c.fresh)-c.turn%len(c.fresh))%len(c.fresh) < freshBatch {
			t.check(n)
		}
		if age := now.Sub(n.since); n.w == nil && age >= 0 && age < settle {
			kept = append(kept, n)
		}
	}
	c.turn += freshBatch
	clear(c.fresh[len(kept):])
	c.fresh = kept
}

// check brings one node up to date with the processes that it holds.
func (t *Table) check(n *node) {
	switch full := t.populated(n); {
	case full && n.w == nil:
		t.enter(n, n.plain())
	case !full && n.w != nil:
		t.leave(n)
	}
}
