package burst

import (
	"slices"
	"time"
)

// SimStats is what the kernel would report in cpu.stat, and what it does not.
type SimStats struct {
	Periods       int           `json:"nr_periods"`
	Throttled     int           `json:"nr_throttled"`
	ThrottledTime time.Duration `json:"throttled_time_ns"` // summed over CPUs, added when they are unthrottled, as in the kernel
	Bursts        int           `json:"nr_bursts"`
	BurstTime     time.Duration `json:"burst_time_ns"`
	Used          time.Duration `json:"used_ns"`
	Stalled       time.Duration `json:"stalled_ns"` // wall time with at least one CPU throttled
	WorstStall    time.Duration `json:"worst_stall_ns"`
	Delay         Delays        `json:"delay"`
	Waiting       int           `json:"waiting"` // requests not finished
}

// Delays is the distribution of response times, from arrival to completion. Max is the worst-case execution time (WCET) seen.
type Delays struct {
	Count int           `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p999_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Stats returns the counts so far. It costs a sort of all response times.
func (s *Sim) Stats() SimStats {
	out := s.stats
	out.Delay = delaysOf(slices.Clone(s.delays))
	out.Waiting = len(s.queue)
	for _, c := range s.cpus {
		if c.busy {
			out.Waiting++
		}
	}
	for _, a := range s.arrivals {
		if int64(a.At) <= s.now {
			out.Waiting++
		}
	}
	return out
}

func delaysOf(d []time.Duration) Delays {
	if len(d) == 0 {
		return Delays{}
	}
	slices.Sort(d)
	var sum float64
	for _, v := range d {
		sum += float64(v)
	}
	at := func(q float64) time.Duration { return d[min(len(d)-1, int(q*float64(len(d))))] }
	return Delays{
		Count: len(d), Mean: time.Duration(sum / float64(len(d))),
		P50: at(.5), P99: at(.99), P999: at(.999), Max: d[len(d)-1],
	}
}

// Simulate runs arrivals under b until all are served or until has passed, whichever is first, and returns the counts. until must be positive.
func Simulate(b Bandwidth, o SimOptions, arrivals []Arrival, until time.Duration) (SimStats, error) {
	if until <= 0 {
		return SimStats{}, field("until", until, "must be above zero")
	}
	s, err := NewSim(b, o)
	if err != nil {
		return SimStats{}, err
	}
	if err := s.Submit(arrivals...); err != nil {
		return SimStats{}, err
	}
	step := max(until/100, time.Millisecond)
	for t := step; ; t += step {
		s.RunTo(min(t, until))
		if t >= until || len(s.delays) == len(arrivals) {
			return s.Stats(), nil
		}
	}
}
