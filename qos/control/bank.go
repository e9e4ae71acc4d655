package control

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// WantsLimit says whether the member's own CPU limit matters to anything.
func (m *Member) WantsLimit() bool { return !m.Mode.Off() || m.Class == class.BE }

// SetLimit tells the Node a member's own CPU limit, in CPUs, 0 without one. The
// bank is opened anew when it is another than before. An error says that there
// can be no bank; it stays in Bank.Refused.
func (n *Node) SetLimit(m *Member, cores float64) error {
	if cores == 0 || !m.WantsLimit() {
		m.Bank = nil
		return nil
	}
	if m.Bank != nil && m.Bank.Limit == cores {
		return nil
	}
	m.Bank = &Bank{Limit: cores}
	if m.Mode.Off() {
		m.Bank.Refused = "burst is off"
		return nil
	}
	err := n.openBank(m)
	if err != nil {
		m.Bank.Refused = err.Error()
	}
	return err
}

func (n *Node) openBank(m *Member) (err error) {
	b := m.Bank
	budget := m.Mode.Of(b.Limit)
	if m.Mode.Auto {
		b.auto, err = burst.NewAuto(burst.AutoOptions{
			Limit: b.Limit, Limits: n.o.Limits, UpEvery: learnEvery, Max: time.Duration(b.Limit * float64(mostBank)),
			Initial: m.Learned,
		})
		if err != nil {
			return err
		}
		budget = b.auto.Burst()
	}
	return n.replan(b, budget)
}

const (
	// learnEvery is the least time between two deeper plans of one member: each
	// plan is written, and each write gives the group a quota.
	learnEvery = 10 * time.Second
	// mostBank bounds what is learned: the CPU time of this long at the limit.
	// A full bank then adds at most 1.4 % to the use over a minute, and each
	// write of a plan one quota.
	mostBank = 850 * time.Millisecond
	// hungry is the share of its limit above which a member has no unused quota
	// to bank, averaged over hungryOver: its throttling says nothing of bursts.
	hungry     = 0.85
	hungryOver = 4 * time.Second
)

func (n *Node) replan(b *Bank, budget time.Duration) error {
	plan, err := burst.NewPlan(burst.Spec{
		Limit: b.Limit, Burst: budget, MaxStall: n.o.Stall, CPUs: int(n.o.CPUs), Limits: n.o.Limits,
	})
	if err != nil {
		return err
	}
	b.Plan = plan
	b.Gen++
	if !b.Plan.NeedsCredit || !n.o.Credit {
		b.Credit = nil
		return nil
	}
	if b.Credit != nil {
		return b.Credit.SetBandwidth(b.Plan.Bandwidth)
	}
	b.Credit, err = burst.NewCredit(burst.CreditOptions{Limit: b.Limit, Bandwidth: b.Plan.Bandwidth, Cap: budget})
	return err
}

// Learned is the burst that was learned so far, 0 where none is.
func (b *Bank) Learned() time.Duration {
	if b == nil || b.auto == nil {
		return 0
	}
	return b.auto.Burst()
}

// Why says in words what the plan is for.
func (b *Bank) Why() string {
	why := fmt.Sprintf("bank %v at %.3g CPUs", b.Plan.Depth.Duration(), b.Limit)
	if b.Plan.NeedsCredit {
		why += fmt.Sprintf(", %v short of the %v wanted", b.Plan.Shortfall.Duration(), b.Plan.Wanted.Duration())
	}
	if b.auto != nil {
		why += fmt.Sprintf(", learned: peak %v above the limit", b.auto.Burst().Round(time.Millisecond))
	}
	return why
}

// learn deepens or lowers the bank where the mode is auto.
func (n *Node) learn(m *Member, in Signals) error {
	b := m.Bank
	if b.auto == nil || !m.Fresh {
		return nil
	}
	a := b.auto.Observe(burst.Usage{At: in.Now.Sub(n.began), Dt: in.Dt, Used: m.Delta, Throttled: m.missed(in.Dt)})
	if !a.Changed || a.Burst == 0 {
		return nil
	}
	return n.replan(b, a.Burst)
}

// missed is the throttling that a deeper bank would have spared the member.
func (m *Member) missed(dt time.Duration) time.Duration {
	b := m.Bank
	b.mean += (m.Used - b.mean) * min(1, dt.Seconds()/hungryOver.Seconds())
	if b.mean > hungry*b.Limit {
		return 0
	}
	return m.Stalled
}

// ask keeps the credit ledger and says whether the member wants a grant.
func (m *Member) ask(dt time.Duration) (burst.Want, bool) {
	c := m.Bank.Credit
	if c == nil || !m.Fresh {
		return burst.Want{}, false
	}
	// throttled_time grows when the wait is over and nr_throttled when a
	// period ends; a limited group that is runnable and got nothing waits now.
	c.Observe(burst.Sample{Dt: dt, Used: m.Delta, Throttled: m.Stalled, Stalled: m.Throttled > 0})
	return c.Want(m.ID)
}
