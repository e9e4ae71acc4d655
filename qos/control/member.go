package control

import (
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// Member is one workload of a Node. Its owner sets who it is and its signals;
// the Node sets the rest.
type Member struct {
	ID       string
	Class    class.Class
	Mode     burst.Mode // of CPU Burst
	WantLane bool       // it asks for the real-time lane
	// Learned is the burst at which learning begins, 0 for the default.
	Learned time.Duration

	// Signals of the last interval. Without Fresh the interval is unknown, and
	// Used stays what it was.
	Fresh     bool
	Used      float64       // cores
	Delta     time.Duration // CPU time
	Periods   uint64        // of enforcement that ended
	Throttled uint64        // of these, those that ran out of quota
	Stalled   time.Duration // by which the time it waited for quota grew

	// InLane says that its threads are in the real-time lane, Spinner that one
	// of them hardly sleeps: 0 if none does; SpinUse is its share of a CPU.
	InLane  bool
	Spinner int
	SpinUse float64

	// Share is its part of the cap, in cores; 0 before the first split and
	// without a cap. ShareGen counts its changes.
	Share    float64
	ShareGen uint64
	// Bank is nil without a CPU limit of its own.
	Bank *Bank

	short   bool    // it ran out of quota since the last split
	above   float64 // the lowest limit above it, 0 while unknown
	aboveAt time.Time
	lane    *Lane
}

// Bank is a member's store of unused quota: the kernel's own where that is deep
// enough, the agent's credit for the rest.
type Bank struct {
	Limit   float64 // CPUs, the member's own limit
	Plan    burst.Plan
	Gen     uint64 // counts plans
	Credit  *burst.Credit
	Refused string // why there is no plan
	Err     error  // of the last plan that failed

	auto *burst.Auto
	mean float64 // cores used, over hungryOver
}

// note keeps in mind that it ran out of quota, until the next split.
func (m *Member) note() {
	if m.Throttled > 0 {
		m.short = true
	}
}

// Short says that it ran out of quota since the last split of the cap.
func (m *Member) Short() bool { return m.short }

// BoundAbove says that a limit above the member is the lowest that holds it.
// Its share is split anew below that; the bound is forgotten after a while, as
// it may have been raised.
func (m *Member) BoundAbove(now time.Time, cores float64) {
	m.above, m.aboveAt, m.Share = cores, now, 0
}
