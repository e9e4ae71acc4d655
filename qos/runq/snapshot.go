package runq

import (
	"time"

	"github.com/anole-os/anole/qos/runq/bpf"
)

// Numbers of classes.
const (
	NumClasses = int(bpf.RunqShapeCLASSES) // with class 0, "no class"
	MaxClass   = NumClasses - 1            // largest class that SetClass takes
)

// ClassStats is what was counted for one class since the Tracer was opened.
type ClassStats struct {
	// Wait holds the measured waits.
	Wait Hist
	// Behind holds those of the waits that ended by taking the CPU from a task
	// of the blamed class (Options.Blame): what that class cost this one. It
	// says who had the CPU last, not for how much of the wait.
	Behind Hist
	// Throttled counts how often a task stopped running because its group was
	// out of quota. Such times are no waits.
	Throttled uint64
	// Switches counts how often a task was switched in. It exceeds Wait.Count
	// by the switch-ins whose beginning was not seen.
	Switches uint64
	// Preempted counts how often a task was switched out while it wanted to
	// run on, sched_yield included.
	Preempted uint64
}

// Snapshot is the state of all counters, cumulative, at Time. Class 0 is the
// tasks of no class, counted only with Options.Unclassed. A Snapshot is plain
// data of about 30 KiB; keep two and swap them rather than copy.
type Snapshot struct {
	Time  time.Time
	Class [NumClasses]ClassStats
}

// Delta gives what happened between prev and s, which must come from the same
// Tracer in this order; Time is that of s. A counter that went back, as after
// a restart, counts from 0.
func (s *Snapshot) Delta(prev *Snapshot) Snapshot {
	d := *s
	for c := range d.Class {
		d.Class[c].subtract(&prev.Class[c])
	}
	return d
}

func (c *ClassStats) subtract(prev *ClassStats) {
	c.Switches = since(c.Switches, prev.Switches)
	c.Preempted = since(c.Preempted, prev.Preempted)
	c.Throttled = since(c.Throttled, prev.Throttled)
	c.Wait.subtract(&prev.Wait)
	c.Behind.subtract(&prev.Behind)
}

func (h *Hist) subtract(prev *Hist) {
	h.SumNS = since(h.SumNS, prev.SumNS)
	for i := range h.Counts {
		h.Counts[i] = since(h.Counts[i], prev.Counts[i])
	}
}

func since(now, before uint64) uint64 {
	if now < before {
		return now
	}
	return now - before
}
