package cfs

import "fmt"

// Node is one group of a tree.
type Node struct {
	Name   string // for errors
	Parent int    // index of the nearest group above that is in the tree, less than the node's own; -1 for none
	Now    Limit
	Want   Limit // the same as Now for a group that is only there because it bounds others
}

// File is one control file.
type File int

// Files. Max is quota and period of cgroup v2, which has no files Quota and
// Period.
const (
	Quota File = iota
	Period
	Burst
	Max
)

// Step is one write.
type Step struct {
	Node int
	File File
	To   Limit // what the group has after it; it differs from before in File only
}

// Order gives the writes that bring all nodes from Now to Want, in four passes:
//
//  1. bursts go down, from the leaves to the root;
//  2. what lowers a ratio is written, from the leaves to the root;
//  3. what raises one is written, from the root to the leaves;
//  4. bursts go up.
//
// Between passes 2 and 3 each group has at most the lower of its old and its
// new ratio, quota and burst. So in passes 1 and 2 no group has a higher ratio
// or a deeper bank than at the start, in 3 and 4 none has more than at the end,
// and what bounds a group from above is never below it. On cgroup v1, where
// quota and period are two writes, a change of both in the same direction dips
// on its way; a group below that would be above it then is lowered too, by
// writes of its own, and raised after it.
//
// An error is a mistake in nodes, or an *AboveError.
func Order(nodes []Node, r Rules) ([]Step, error) {
	for i, n := range nodes {
		if n.Parent >= i || n.Parent < -1 {
			return nil, fmt.Errorf("order changes of CPU limits: %s is before the group above it", n.Name)
		}
		if n.Want == n.Now {
			continue
		}
		if err := r.Check(n.Want); err != nil {
			return nil, fmt.Errorf("limit %s: %w", n.Name, err)
		}
	}
	if err := above(nodes, r); err != nil {
		return nil, err
	}
	return order(nodes, r), nil
}

// Way is Order for a single group, whether the kernel takes the end of it or
// not.
func Way(from, to Limit, r Rules) []Step { return order([]Node{{Parent: -1, Now: from, Want: to}}, r) }

// above finds a node that wants more than the nearest limited one above it
// will have.
func above(nodes []Node, r Rules) error {
	for i := range nodes {
		if up := offender(nodes, i, r); up >= 0 {
			return &AboveError{Group: nodes[i].Name, Above: nodes[up].Name, Want: nodes[i].Want, Has: nodes[up].Want}
		}
	}
	return nil
}

// offender gives the node above i that will have less than i wants, -1 for
// none.
func offender(nodes []Node, i int, r Rules) int {
	if r.Unified || !nodes[i].Want.Limited() {
		return -1
	}
	up := nodes[i].Parent
	for up >= 0 && !nodes[up].Want.Limited() {
		up = nodes[up].Parent
	}
	if up >= 0 && nodes[i].Want.Ratio() > nodes[up].Want.Ratio() {
		return up
	}
	return -1
}

type planner struct {
	nodes []Node
	rules Rules
	low   []Limit // between the second and the third pass
	now   []Limit
	out   []Step
}

func order(nodes []Node, r Rules) []Step {
	p := &planner{nodes: nodes, rules: r, low: make([]Limit, len(nodes)), now: make([]Limit, len(nodes))}
	for i, n := range nodes {
		p.now[i] = n.Now
		p.low[i] = p.lowest(i)
		b := min(n.Now.Burst, n.Want.Burst)
		if p.low[i].Limited() && !r.Deep {
			b = min(b, p.low[i].Quota)
		}
		p.low[i].Burst = b
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		p.burst(i, p.low[i])
	}
	for i := len(nodes) - 1; i >= 0; i-- {
		p.lower(i)
	}
	for i := range nodes {
		p.raise(i)
	}
	for i := range nodes {
		p.burst(i, nodes[i].Want)
	}
	return p.out
}

// to adds a write unless it would change nothing.
func (p *planner) to(i int, f File, l Limit) {
	if p.now[i] != l {
		p.now[i] = l
		p.out = append(p.out, Step{Node: i, File: f, To: l})
	}
}

func (p *planner) quota(i int, l Limit) {
	to := p.now[i]
	to.Quota = l.Quota
	p.to(i, Quota, to)
}

func (p *planner) period(i int, l Limit) {
	to := p.now[i]
	to.Period = l.Period
	p.to(i, Period, to)
}

func (p *planner) burst(i int, l Limit) {
	to := p.now[i]
	to.Burst = l.Burst
	p.to(i, Burst, to)
}

func (p *planner) max(i int, l Limit) {
	to := p.now[i]
	to.Quota, to.Period = l.Quota, l.Period
	p.to(i, Max, to)
}

// lower writes what leads down to the low point.
func (p *planner) lower(i int) {
	low := p.low[i]
	switch {
	case p.rules.Unified:
		p.max(i, low)
	case !p.now[i].Limited() && low.Limited():
		p.period(i, low) // without a quota it limits nothing
		p.quota(i, low)
	default:
		p.quota(i, low)
		p.period(i, low)
	}
}

// raise writes what leads up from it.
func (p *planner) raise(i int) {
	want := p.nodes[i].Want
	if p.rules.Unified {
		p.max(i, want)
		return
	}
	p.quota(i, want)
	p.period(i, want)
}

// lowest gives the low point of a node, without the burst.
func (p *planner) lowest(i int) Limit {
	n := p.nodes[i]
	if p.rules.Unified {
		return p.meet(i)
	}
	t := Limit{Period: max(n.Now.Period, n.Want.Period), Quota: min(n.Now.Quota, n.Want.Quota)}
	switch {
	case !n.Now.Limited() && !n.Want.Limited():
		return n.Now
	case !n.Now.Limited():
		t.Period, t.Quota = n.Want.Period, n.Want.Quota
	case !n.Want.Limited():
		t.Period, t.Quota = n.Now.Period, n.Now.Quota
	}
	return t.within(p.bound(n.Parent))
}

// bound is the ratio at the low point that holds for what is below node i.
func (p *planner) bound(i int) int64 {
	for ; i >= 0; i = p.nodes[i].Parent {
		if p.low[i].Limited() {
			return p.low[i].Ratio()
		}
	}
	return infinite
}

// within lowers the quota until the ratio is not above bound, and makes the
// period longer if the quota would be less than the kernel takes.
func (l Limit) within(bound int64) Limit {
	if l.Ratio() <= bound {
		return l
	}
	// The largest quota for which quota<<20/period, rounded down, is bound.
	hi, lo := under(bound+1, l.Period)
	l.Quota = int64(hi<<(64-shift) | lo>>shift)
	if l.Quota < MinQuota {
		l.Quota = MinQuota
		l.Period = max(l.Period, MinQuota<<shift/(bound+1)+1)
	}
	return l
}

// meet gives the low point where one write changes quota and period: the lower
// end, or where one end has the lower ratio and the other the lower quota, the
// lower of both. That costs a write more, so it is done only where a change of
// another group depends on it.
func (p *planner) meet(i int) Limit {
	now, want := p.nodes[i].Now, p.nodes[i].Want
	less := want.Ratio() <= now.Ratio()
	switch fewer := want.limitedBy(now); {
	case less && fewer:
		return want
	case now.Ratio() <= want.Ratio() && now.limitedBy(want), !p.related(i):
		return now
	case fewer: // a higher ratio of a smaller quota
		return Limit{Quota: want.Quota, Period: stretch(want.Quota, now)}
	default:
		return Limit{Quota: now.Quota, Period: stretch(now.Quota, want)}
	}
}

// limitedBy says that l has no larger quota than other.
func (l Limit) limitedBy(other Limit) bool {
	return !other.Limited() || l.Limited() && l.Quota <= other.Quota
}

// stretch is the shortest period in which quota is not more than l has.
func stretch(quota int64, l Limit) int64 {
	hi, lo := under(quota, l.Period)
	return div128(hi, lo, l.Quota)
}

// related says whether a group above or below i changes too.
func (p *planner) related(i int) bool {
	for up := p.nodes[i].Parent; up >= 0; up = p.nodes[up].Parent {
		if p.nodes[up].Now != p.nodes[up].Want {
			return true
		}
	}
	for j := i + 1; j < len(p.nodes); j++ {
		if p.nodes[j].Now != p.nodes[j].Want && p.below(j, i) {
			return true
		}
	}
	return false
}

func (p *planner) below(j, i int) bool {
	for j > i {
		j = p.nodes[j].Parent
	}
	return j == i
}
