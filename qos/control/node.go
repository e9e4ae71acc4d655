package control

import (
	"math"
	"slices"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// Options is what a Node's decisions hang on beside the signals.
type Options struct {
	CPUs     float64
	Suppress SuppressOptions
	// NoCap switches suppression off.
	NoCap bool
	Lane  LaneOptions
	// Limits is what the kernel takes as a burst.
	Limits burst.Limits
	// Stall bounds the wait of a workload that used up its bank; 0 is no bound.
	Stall time.Duration
	// Credit lets the agent bank what the kernel cannot, while the node's use
	// is below CreditOff, a share.
	Credit    bool
	CreditOff float64
}

// Signals is what the node looked like over the last interval. What is missing
// is NaN, or not OK, and decides nothing.
type Signals struct {
	Now             time.Time
	Dt              time.Duration
	Busy            float64 // cores
	Steal           float64 // cores taken by the hypervisor
	Pressure        float64 // share of time in which some LS task waited for a CPU
	RunQueueOK      bool    // the run queue is measured
	RunQueueP99     time.Duration
	RunQueueSamples uint64
	// CPI is the largest factor by which an LS workload's cycles per
	// instruction exceed the most that is usual, NaN or 0 while unknown, and
	// CPIOf that workload.
	CPI   float64
	CPIOf string
	// Slow are services whose requests take longer than usual. Those of workloads
	// that are not latency-sensitive, or not known, do not count.
	Slow []Slow
}

// Node decides for the CPUs of one node: how much best-effort work may use, who
// of it gets how much, what is banked for whom, and who stays in the real-time
// lane. It reads nothing and writes nothing, so the agent, a replay and the
// simulator run the same decisions. It is not safe for concurrent use.
type Node struct {
	o        Options
	suppress *Suppressor
	gate     burst.Gate

	members []*Member // by ID or path, in a stable order
	be      []*Member // the best-effort ones
	cap     float64
	why     Reason
	shareAt time.Time
	began   time.Time // of the first Step
	wants   []burst.Want
	asking  []*Member // of wants
	// Reused from step to step.
	lanes    []*Lane
	claims   []Claim
	slow     []Slow
	splitter splitter

	// Demotions counts those from the real-time lane.
	Demotions uint64
}

// NewNode makes a Node without members.
func NewNode(o Options) *Node {
	n := &Node{suppress: NewSuppressor(o.Suppress), cap: math.Inf(1)}
	n.set(o)
	return n
}

// Options gives those in force.
func (n *Node) Options() Options { return n.o }

// SetOptions changes the tuning. Banks and lanes whose options changed begin
// anew: a bank with the next SetLimit.
func (n *Node) SetOptions(o Options) {
	bank := o.Stall != n.o.Stall || o.Credit != n.o.Credit || o.CPUs != n.o.CPUs || o.Limits != n.o.Limits
	lane := o.Lane != n.o.Lane
	for _, m := range n.members {
		if bank {
			m.Bank = nil
		}
		if lane {
			m.lane = nil
		}
	}
	n.set(o)
}

func (n *Node) set(o Options) {
	n.o = o
	n.suppress.SetOptions(o.Suppress)
	n.gate.Off, n.gate.On = o.CreditOff, o.CreditOff*0.94
}

// SetMembers says who is on the node, in an order that does not change from
// call to call; the slice is kept.
func (n *Node) SetMembers(all []*Member) {
	n.members, n.be = all, n.be[:0]
	for _, m := range all {
		if m.Class == class.BE {
			n.be = append(n.be, m)
		}
	}
}

// Cap is what best-effort work may use, in cores, +Inf without a cap, and why.
func (n *Node) Cap() (cores float64, why Reason) { return n.cap, n.why }

// Feedback says what slow services leave of the room of best-effort work, as a
// share, and how often they cut it.
func (n *Node) Feedback() (share float64, cuts uint64) {
	return n.suppress.feedback.share, n.suppress.feedback.cuts
}

// LetGo says whether a service counts no more though it is slow, as holding
// best-effort work back did not help.
func (n *Node) LetGo(id string, now time.Time) bool { return n.suppress.feedback.letGo(id, now) }

// Capped says whether a cap is in force for somebody.
func (n *Node) Capped() bool { return !math.IsInf(n.cap, 1) && len(n.be) > 0 }

// Rising says that the others' use just rose by what may be a part of more: the
// next Step is wanted soon.
func (n *Node) Rising() bool { return n.suppress.Rising() }

// Outcome is what a Step changed beside the members.
type Outcome struct {
	CapMoved bool
	// Grants are those whose quota is to be given once more. Each is answered
	// with Spend before, and Refund if it could not be done.
	Grants []*Member
	// Failed are the members whose bank could not be planned anew.
	Failed []*Member
}

// Step takes the signals, the members' own among them, and decides.
func (n *Node) Step(in Signals) Outcome {
	if n.began.IsZero() {
		n.began = in.Now
	}
	var out Outcome
	out.CapMoved = n.recap(in)
	n.shares(in.Now, out.CapMoved)
	n.wants, n.asking = n.wants[:0], n.asking[:0]
	for _, m := range n.members {
		if !m.Fresh || m.Bank == nil || m.Bank.Refused != "" {
			continue // without a reading there is nothing to learn or to ask for
		}
		if err := n.learn(m, in); err != nil {
			m.Bank.Err = err
			out.Failed = append(out.Failed, m)
		}
		if w, ok := m.ask(in.Dt); ok {
			n.wants, n.asking = append(n.wants, w), append(n.asking, m)
		}
	}
	out.Grants = n.grants(in)
	return out
}

// grants selects who is given credit while the node has room.
func (n *Node) grants(in Signals) (out []*Member) {
	use := in.Busy / n.o.CPUs
	if !n.gate.Step(use) || len(n.wants) == 0 {
		return nil
	}
	for _, w := range burst.Select(n.wants, burst.Headroom(use, int(n.o.CPUs), in.Dt, n.o.CreditOff)) {
		i := slices.IndexFunc(n.asking, func(m *Member) bool { return m.ID == w.ID })
		out = append(out, n.asking[i])
	}
	return out
}
