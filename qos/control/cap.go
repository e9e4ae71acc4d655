package control

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/anole-os/anole/qos/class"
)

// recap asks the suppressor for the cap and says whether it changed.
func (n *Node) recap(in Signals) bool {
	d := n.suppress.Step(n.sample(in))
	if n.o.NoCap {
		d = Decision{Cap: math.Inf(1), Why: Reason{kind: suppressionOff}}
	}
	if d.Cap == n.cap || n.slack(d.Cap) {
		return false
	}
	if d.Why.IsZero() { // it moved earlier, and there was slack or suppression was off
		d.Why = cmp.Or(n.suppress.why, Reason{kind: suppressionOn})
	}
	n.cap, n.why = d.Cap, d.Why
	return true
}

// slack says that a cap need not move: it would by less than a quarter of the
// node, and both it and the one in force leave best-effort work more than twice
// what it uses. Then the noise of the others' use writes nothing; when that work
// grows the cap follows at once.
func (n *Node) slack(want float64) bool {
	low := min(want, n.cap)
	if math.IsInf(want, 1) || math.IsInf(n.cap, 1) || math.Abs(want-n.cap) > n.o.CPUs/4 {
		return false
	}
	used := 0.0
	for _, m := range n.be {
		if m.short {
			return false
		}
		used += m.Used
	}
	return used < low/2
}

// sample puts together what the suppressor looks at.
func (n *Node) sample(in Signals) Sample {
	s := Sample{Now: in.Now, CPUs: n.o.CPUs, Busy: in.Busy, Steal: in.Steal, Pressure: in.Pressure, Throttled: math.NaN(), CPI: in.CPI, CPIOf: in.CPIOf}
	n.slow = n.slow[:0]
	for _, x := range in.Slow {
		if x.Member != nil && x.Member.Class.Sensitive() {
			n.slow = append(n.slow, x)
		}
	}
	s.Slow = n.slow
	var periods, throttled uint64
	for _, m := range n.members {
		m.note()
		switch {
		case m.Class.Sensitive():
			s.Sensitives++
			s.Sensitive += m.Used
			periods, throttled = periods+m.Periods, throttled+m.Throttled
		case m.Class == class.BE:
			s.BE += m.Used
		}
	}
	if periods > 0 {
		s.Throttled = float64(throttled) / float64(periods)
		if throttled > 0 {
			s.Pressure = math.NaN() // waits for quota count as pressure too
		}
	}
	if in.RunQueueOK {
		s.RunQueueP99, s.RunQueueSamples = in.RunQueueP99, in.RunQueueSamples
		// PSI cannot tell who is waited for: it decides only where the run
		// queue is not measured.
		s.Pressure = math.NaN()
	}
	return s
}

const (
	// shareEvery is how often a cap is split anew while it stays the same.
	shareEvery = time.Second
	// aboveFor is how long a limit above a member is taken for granted.
	aboveFor = 30 * time.Second
	// LeastShare is what the kernel takes as the least quota, 1 ms, in the
	// default period.
	LeastShare = 0.01
)

// shares splits the cap among the best-effort members. On a quiet cap the shares
// stand for a second, and for as long as nobody runs into its own, so that the
// noise of single members makes no writes.
func (n *Node) shares(now time.Time, moved bool) {
	if math.IsInf(n.cap, 1) {
		for _, m := range n.be {
			m.Share = 0
		}
		return
	}
	if moved || slices.ContainsFunc(n.be, func(m *Member) bool { return m.Share == 0 }) || n.shareDue(now) {
		n.shareAt = now
		n.split(moved)
	}
}

// shareDue says whether the split is a second old and somebody is short.
func (n *Node) shareDue(now time.Time) bool {
	for _, m := range n.be {
		if m.above > 0 && (now.Sub(m.aboveAt) >= aboveFor || m.aboveAt.After(now)) {
			m.above, m.Share = 0, 0 // it may have been raised
			return true
		}
	}
	if now.Sub(n.shareAt) < shareEvery && !n.shareAt.After(now) {
		return false
	}
	n.shareAt = now
	return slices.ContainsFunc(n.be, (*Member).Short)
}

// split sets the members' shares. A share moves only if it changes by more
// than a tenth, unless the cap itself moved.
func (n *Node) split(force bool) {
	n.claims = n.claims[:0]
	for _, m := range n.be {
		c := Claim{Used: m.Used, Limit: n.o.CPUs, Blocked: m.short || m.Share == 0}
		m.short = false
		if m.Bank != nil {
			c.Limit = m.Bank.Limit
		}
		if m.above > 0 {
			c.Limit = min(c.Limit, m.above)
		}
		n.claims = append(n.claims, c)
	}
	for i, s := range n.splitter.share(n.cap, n.claims, LeastShare) {
		if m := n.be[i]; force || m.Share == 0 || math.Abs(s-m.Share) > m.Share/10 {
			m.Share = s
			m.ShareGen++
		}
	}
}
