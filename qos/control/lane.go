package control

import (
	"fmt"
	"time"
)

// LaneOptions bounds the real-time lane.
type LaneOptions struct {
	// MaxUse is the share of the node's CPUs that the lane's threads may use
	// over Window before they are demoted.
	MaxUse  float64
	Window  time.Duration
	Cooloff time.Duration // how long a demoted workload stays demoted
}

// DefaultLane gives the bounds that a node runs with unless told otherwise.
func DefaultLane() LaneOptions {
	return LaneOptions{MaxUse: 0.6, Window: 2 * time.Second, Cooloff: 30 * time.Second}
}

// Lane is the watchdog of one workload's real-time lane: threads of a
// real-time policy preempt everything, so one that spins must lose it.
type Lane struct {
	o       LaneOptions
	use     float64 // cores, averaged over Window
	last    time.Time
	until   time.Time // demoted until then
	demoted bool
}

// NewLane makes a watchdog.
func NewLane(o LaneOptions) *Lane { return &Lane{o: o} }

// Step takes the cores that the workload used since the last step and says
// whether it may be in the lane; why is set when that changes.
func (l *Lane) Step(now time.Time, used, cpus float64) (allowed bool, why string) {
	dt := now.Sub(l.last)
	if l.until.Sub(now) > l.o.Cooloff {
		l.until = now.Add(l.o.Cooloff) // the clock went back
	}
	if l.last.IsZero() || dt <= 0 || dt > l.o.Window {
		l.last = now
		return !l.demoted, ""
	}
	l.last = now
	l.use += (used - l.use) * min(1, dt.Seconds()/l.o.Window.Seconds()*2)
	switch {
	case !l.demoted && l.use > l.o.MaxUse*cpus:
		l.demoted, l.until = true, now.Add(l.o.Cooloff)
		return false, fmt.Sprintf("its threads used %.2f of %.0f CPUs, more than %.0f %%: demoted for %v", l.use, cpus, l.o.MaxUse*100, l.o.Cooloff)
	case l.demoted && !now.Before(l.until) && l.use <= l.o.MaxUse*cpus:
		l.demoted = false
		return true, "it used less than the bound again"
	}
	return !l.demoted, ""
}
