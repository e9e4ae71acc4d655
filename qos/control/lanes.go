package control

import (
	"fmt"
	"time"
)

// LaneVerdict says whether a member may be in the real-time lane, and why.
type LaneVerdict struct {
	In  bool
	Why string
}

// Lanes decides for all members in their order; the result is in the memory of
// out. It comes after Step, when InLane, Spinner and SpinUse are up to date.
func (n *Node) Lanes(now time.Time, out []LaneVerdict) []LaneVerdict {
	out = out[:0]
	for _, m := range n.members {
		in, why := n.lane(m, now)
		out = append(out, LaneVerdict{in, why})
	}
	if at, why := n.heaviest(); at >= 0 && out[at].In {
		out[at] = LaneVerdict{false, n.demote(n.members[at], now, why)}
	}
	return out
}

// lane looks at one member.
func (n *Node) lane(m *Member, now time.Time) (in bool, why string) {
	if !m.WantLane || n.o.CPUs <= 1 {
		m.lane = nil
		return false, "no longer wanted"
	}
	if m.lane == nil {
		m.lane = NewLane(n.o.Lane)
	}
	allowed, why := m.lane.Step(now, m.Used, n.o.CPUs)
	if !allowed && why != "" {
		n.Demotions++
	}
	switch {
	case allowed && m.Spinner != 0 && m.InLane:
		return false, n.demote(m, now, fmt.Sprintf("thread %d spins, it used %.0f %% of a CPU", m.Spinner, m.SpinUse*100))
	case allowed && m.Spinner != 0: // still: it stays out
		m.lane.Demote(now, "")
		return false, "a thread of it spins"
	case why == "":
		why = "the policy asks for it"
	}
	return allowed, why
}

func (n *Node) demote(m *Member, now time.Time, why string) string {
	n.Demotions++
	return m.lane.Demote(now, why)
}

// heaviest finds the member that used most if all lanes together used more than
// one may, else -1.
func (n *Node) heaviest() (at int, why string) {
	n.lanes = n.lanes[:0]
	in := 0
	for _, m := range n.members {
		var l *Lane
		if m.WantLane {
			if in++; m.InLane {
				l = m.lane
			}
		}
		n.lanes = append(n.lanes, l)
	}
	if in < 2 {
		return -1, ""
	}
	return Heaviest(n.lanes, n.o.CPUs)
}
