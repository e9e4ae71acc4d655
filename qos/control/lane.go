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
// real-time policy preempt everything, so one that spins must lose it. Whoever
// sees more than the workload's use, a single thread that spins or all lanes
// together, takes it out with Demote.
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
		return false, l.Demote(now, fmt.Sprintf("its threads used %.2f of %.0f CPUs, more than %.0f %%", l.use, cpus, l.o.MaxUse*100))
	case l.demoted && !now.Before(l.until) && l.use <= l.o.MaxUse*cpus:
		l.demoted = false
		return true, "it used less than the bound again"
	}
	return !l.demoted, ""
}

// Use is what the workload used over about Window, in cores.
func (l *Lane) Use() float64 { return l.use }

// Demote takes the workload out of the lane for the cool-off and gives the
// whole reason.
func (l *Lane) Demote(now time.Time, why string) string {
	l.demoted, l.until = true, now.Add(l.o.Cooloff)
	return fmt.Sprintf("%s: demoted for %v", why, l.o.Cooloff)
}

// Heaviest gives the index of the lane that used most if all of them together
// used more than MaxUse of the node's CPUs, else -1; nil entries are skipped.
func Heaviest(lanes []*Lane, cpus float64) (at int, why string) {
	at = -1
	sum, most := 0.0, 0.0
	for i, l := range lanes {
		if l == nil || l.demoted {
			continue
		}
		if sum += l.use; l.use >= most {
			at, most = i, l.use
		}
	}
	if at < 0 || sum <= lanes[at].o.MaxUse*cpus {
		return -1, ""
	}
	return at, fmt.Sprintf("all lanes used %.2f of %.0f CPUs, more than %.0f %%, and it most", sum, cpus, lanes[at].o.MaxUse*100)
}

// spinShare is the part of what a real-time thread may use of one CPU from
// which on it counts as spinning; below leastSpin of a CPU it never does: there
// the bandwidth that holds it so low is bound enough.
const (
	spinShare = 0.9
	leastSpin = 0.4
)

// Spins watches single threads: one that hardly sleeps keeps a CPU from
// everybody else, however little its workload uses of a large node.
type Spins struct {
	last time.Time
	was  map[int]time.Duration // CPU time by thread at the last look
	hot  map[int]time.Duration // how long each has been spinning without a break
}

// Look takes the CPU time of each thread and gives one that has been spinning
// for the window; may is the share of a CPU that a thread can get at all.
func (s *Spins) Look(now time.Time, used map[int]time.Duration, may float64, window time.Duration) (tid int, share float64) {
	dt := now.Sub(s.last)
	hot := map[int]time.Duration{}
	if !s.last.IsZero() && dt > 0 && dt <= 10*time.Second {
		for t, u := range used {
			was, ok := s.was[t]
			x := (u - was).Seconds() / dt.Seconds()
			if !ok || x < max(spinShare*may, leastSpin) {
				continue
			}
			if hot[t] = s.hot[t] + dt; hot[t] >= window && x > share {
				tid, share = t, x
			}
		}
	}
	s.last, s.was, s.hot = now, used, hot
	return tid, share
}
