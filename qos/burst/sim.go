package burst

import (
	"fmt"
	"time"
)

// Arrival is one request: a single thread that wants Work of CPU time from At on. Requests that arrive together run in parallel, as CPUs allow.
type Arrival struct {
	At   time.Duration
	Work time.Duration
}

// SimOptions describes the machine and the kernel. The zero value is one CPU on a mainline kernel with an ideal pool.
type SimOptions struct {
	CPUs   int           // CPUs the group can use; 0 = 1
	Phase  time.Duration // first refill edge, in (0, P]; 0 = P
	Full   bool          // start with D in the pool instead of the Q a write leaves in a new group
	Limits Limits        // zero = Mainline; BurstMayExceedQuota also makes up for refills missed while idle, as ANCK does
	// Slice is sched_cfs_bandwidth_slice_us (5 ms): CPUs draw it from the pool, keep 1 ms when they go idle and return the rest. 0 charges the pool
	// directly, which is the kernel's intent without the per-CPU slack.
	Slice time.Duration
	// Trace, if set, is called for every stretch of constant use in time order: running CPUs between from and to.
	Trace func(from, to time.Duration, running int)
}

// minSliceKept is min_cfs_rq_runtime: what a CPU that went idle keeps of its slice.
const minSliceKept = int64(time.Millisecond)

// Sim is a discrete simulator of one group under CFS bandwidth control (kernel/sched/fair.c). Requests are served first come, first served on CPUs that
// are otherwise free, so what delays them is the limit and the group's own queue. It is exact to the nanosecond and deterministic. The kernel's tick
// granularity, its 5 ms slack timer and the scaling of too short periods are left out.
type Sim struct {
	opts                 SimOptions
	period, quota, burst int64 // ns; quota < 0 = unlimited
	now, edge            int64
	pool, snap           int64
	active, idle         bool
	cpus                 []simCPU
	queue                []simJob
	arrivals             []Arrival
	stats                SimStats
	stallFrom            int64 // -1 when nothing is throttled
	delays               []time.Duration
}

type simCPU struct {
	job       simJob
	busy      bool
	local     int64
	throttled bool
	since     int64
}

type simJob struct{ at, left int64 }

// NewSim returns a simulator at time 0. The error is a *FieldError for a bandwidth the kernel would refuse.
func NewSim(b Bandwidth, o SimOptions) (*Sim, error) {
	if err := o.Limits.Check(b); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	o.Limits = o.Limits.orMainline()
	if o.CPUs == 0 {
		o.CPUs = 1
	}
	if o.CPUs < 0 || o.CPUs > MaxLimit {
		return nil, field("cpus", o.CPUs, fmt.Sprintf("must be between 0 and %d", MaxLimit))
	}
	s := &Sim{opts: o, cpus: make([]simCPU, o.CPUs), stallFrom: -1}
	s.set(b)
	s.edge = s.period
	if o.Phase > 0 && int64(o.Phase) <= s.period {
		s.edge = int64(o.Phase)
	}
	s.pool = max(0, s.quota)
	if o.Full {
		s.pool = max(0, s.quota) + s.burst
	}
	s.snap = s.pool
	return s, nil
}

func (s *Sim) set(b Bandwidth) {
	s.period, s.quota, s.burst = int64(b.Period)*1000, int64(b.Quota)*1000, int64(b.Burst)*1000
}

// Now is the simulated time.
func (s *Sim) Now() time.Duration { return time.Duration(s.now) }

// Pool is the run time left in the global pool.
func (s *Sim) Pool() time.Duration { return time.Duration(s.pool) }

// Throttled reports whether any CPU waits for a refill now.
func (s *Sim) Throttled() bool { return s.stallFrom >= 0 }

// Submit adds requests. Their times must not decrease, nor lie before the last one submitted or the present.
func (s *Sim) Submit(arrivals ...Arrival) error {
	last := s.Now()
	if n := len(s.arrivals); n > 0 {
		last = s.arrivals[n-1].At
	}
	for _, a := range arrivals {
		if a.At < last {
			return field("at", a.At, fmt.Sprintf("arrivals must be in time order, after %v", last))
		}
		if a.Work <= 0 || a.Work > MaxBudget {
			return field("work", a.Work, fmt.Sprintf("must be above zero and at most %v", MaxBudget))
		}
		last = a.At
		s.arrivals = append(s.arrivals, a)
	}
	return nil
}

// Write does what a write to cpu.cfs_quota_us, cpu.cfs_period_us, cpu.cfs_burst_us or cpu.max does (tg_set_cfs_bandwidth), also when b is what the
// group already has: it adds one quota to the pool, empties the CPUs' slices and ends throttling.
func (s *Sim) Write(b Bandwidth) error {
	if err := s.opts.Limits.Check(b); err != nil {
		return fmt.Errorf("write bandwidth: %w", err)
	}
	s.set(b)
	s.refill(1)
	for i := range s.cpus {
		s.cpus[i].local = 0
	}
	s.unthrottle()
	return nil
}

// RunTo advances the simulation. It does nothing for a time already passed.
func (s *Sim) RunTo(t time.Duration) {
	for {
		s.admit()
		s.dispatch()
		s.draw()
		if s.now >= int64(t) {
			return
		}
		s.advance(s.horizon(int64(t)))
		if s.active && s.now == s.edge {
			s.fire()
		}
	}
}

// admit moves due arrivals to the queue.
func (s *Sim) admit() {
	n := 0
	for n < len(s.arrivals) && int64(s.arrivals[n].At) <= s.now {
		s.queue = append(s.queue, simJob{at: int64(s.arrivals[n].At), left: int64(s.arrivals[n].Work)})
		n++
	}
	s.arrivals = s.arrivals[n:]
}

// dispatch gives queued requests to free CPUs.
func (s *Sim) dispatch() {
	n := 0
	for i := range s.cpus {
		if n == len(s.queue) {
			break
		}
		if c := &s.cpus[i]; !c.busy {
			c.job, c.busy = s.queue[n], true
			n++
		}
	}
	s.queue = s.queue[n:]
}
