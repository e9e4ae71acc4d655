package burst

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Want is one group's request for a grant of credit.
type Want struct {
	ID      string        `json:"id"`
	Cost    time.Duration `json:"cost_ns"`  // CPU time the grant adds, one quota
	Saved   time.Duration `json:"saved_ns"` // credit the group has
	Waiting int           `json:"waiting"`  // ticks it has been throttled
}

// Gate stops credit on a busy node, with hysteresis. The zero value is on, off at 80 % node use and on again at 75 %.
type Gate struct {
	Off, On float64 // node use as a part of all CPUs; 0 = 0.80 and 0.75
	closed  bool
}

// Step takes the node's CPU use, as a part of all CPUs, and reports whether credit may be granted. Missing data (NaN, below 0) never grants, and leaves
// the gate as it was.
func (g *Gate) Step(use float64) bool {
	off, on := g.Off, g.On
	if off == 0 {
		off = 0.80
	}
	if on == 0 {
		on = min(0.75, off)
	}
	switch {
	case math.IsNaN(use) || use < 0:
		return false
	case use >= off:
		g.closed = true
	case use <= min(on, off):
		g.closed = false
	}
	return !g.closed
}

// Headroom is the CPU time that may be granted in the next dt so that the node's use, now use of cpus CPUs, stays below the part off. It is 0 on
// missing data.
func Headroom(use float64, cpus int, dt time.Duration, off float64) time.Duration {
	room := (off - use) * float64(cpus) * float64(dt)
	if !(room > 0) || dt <= 0 {
		return 0
	}
	return time.Duration(min(room, float64(MaxBudget)))
}

// Select picks the requests that fit into headroom: those waiting longest first, then those that saved the most, then by ID. One that does not fit is
// passed over, not a reason to drop the others, and nothing is taken from groups that hold a grant: a node short of CPU serves part of the groups
// instead of resetting all. wants is left as it is; the result is in order of choice.
func Select(wants []Want, headroom time.Duration) []Want {
	order := slices.Clone(wants)
	slices.SortFunc(order, func(a, b Want) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(b.Saved, a.Saved), cmp.Compare(a.ID, b.ID))
	})
	picked := order[:0]
	for _, w := range order {
		if w.Cost > 0 && w.Cost <= headroom {
			headroom -= w.Cost
			picked = append(picked, w)
		}
	}
	return picked
}
