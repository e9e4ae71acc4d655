package burst

import "time"

// draw gives every busy CPU run time or throttles it. With an ideal pool all busy CPUs share it, so they run or wait together.
func (s *Sim) draw() {
	if s.quota < 0 {
		return
	}
	busy := int64(0)
	for i := range s.cpus {
		if s.cpus[i].busy {
			busy++
		}
	}
	if busy == 0 {
		return
	}
	if s.opts.Slice <= 0 {
		s.activate()
		s.idle = false
		enough := s.pool >= busy // less than 1 ns each cannot be handed out
		for i := range s.cpus {
			if c := &s.cpus[i]; c.busy && !enough {
				s.throttle(c)
			}
		}
		return
	}
	for i := range s.cpus {
		if c := &s.cpus[i]; c.busy && !c.throttled && c.local == 0 {
			s.drawSlice(c)
		}
	}
}

// drawSlice is __assign_cfs_rq_runtime.
func (s *Sim) drawSlice(c *simCPU) {
	s.activate()
	amount := min(s.pool, int64(s.opts.Slice))
	if amount > 0 {
		s.pool -= amount
		s.idle = false
		c.local = amount
		return
	}
	s.throttle(c)
}

func (s *Sim) throttle(c *simCPU) {
	if c.throttled {
		return
	}
	c.throttled, c.since = true, s.now
	if s.stallFrom < 0 {
		s.stallFrom = s.now
	}
}

func (s *Sim) unthrottle() {
	if s.stallFrom < 0 {
		return
	}
	stall := time.Duration(s.now - s.stallFrom)
	s.stats.Stalled += stall
	s.stats.WorstStall = max(s.stats.WorstStall, stall)
	s.stallFrom = -1
	for i := range s.cpus {
		if c := &s.cpus[i]; c.throttled {
			s.stats.ThrottledTime += time.Duration(s.now - c.since)
			c.throttled = false
		}
	}
}

// activate is start_cfs_bandwidth: the timer sleeps while the group is idle and wakes on its old phase.
func (s *Sim) activate() {
	if s.active {
		return
	}
	s.active = true
	if s.edge > s.now {
		return
	}
	missed := (s.now-s.edge)/s.period + 1
	s.edge += missed * s.period
	if s.opts.Limits.BurstMayExceedQuota {
		s.refill(missed)
	}
}

// refill is __refill_cfs_bandwidth_runtime, its burst accounting included. Only a kernel that allows burst > quota refills more than once at a time.
func (s *Sim) refill(periods int64) {
	if s.quota < 0 {
		return
	}
	depth := s.quota + s.burst
	periods = min(periods, depth/max(s.quota, 1)+1)
	s.pool += s.quota * periods
	if over := s.snap - s.pool; over > 0 {
		s.stats.BurstTime += time.Duration(over)
		s.stats.Bursts++
	}
	s.pool = min(s.pool, depth)
	s.snap = s.pool
}

// fire is do_sched_cfs_period_timer.
func (s *Sim) fire() {
	s.edge += s.period
	throttled := s.stallFrom >= 0
	s.stats.Periods++
	s.refill(1)
	switch {
	case s.idle && !throttled:
		s.active = false
	case !throttled:
		s.idle = true
	default:
		s.stats.Throttled++
		s.idle = false
		s.unthrottle()
	}
}

// horizon is how long nothing changes, at most until t.
func (s *Sim) horizon(t int64) int64 {
	dt := t - s.now
	if len(s.arrivals) > 0 {
		dt = min(dt, int64(s.arrivals[0].At)-s.now)
	}
	if s.active {
		dt = min(dt, s.edge-s.now)
	}
	running := int64(0)
	for i := range s.cpus {
		c := &s.cpus[i]
		if !c.busy || c.throttled {
			continue
		}
		running++
		dt = min(dt, c.job.left)
		if s.quota >= 0 && s.opts.Slice > 0 {
			dt = min(dt, c.local)
		}
	}
	if s.quota >= 0 && s.opts.Slice <= 0 && running > 0 {
		dt = min(dt, s.pool/running)
	}
	return dt
}

// advance runs every CPU that may run for dt.
func (s *Sim) advance(dt int64) {
	from, running := s.now, 0
	s.now += dt
	for i := range s.cpus {
		c := &s.cpus[i]
		if !c.busy || c.throttled {
			continue
		}
		running++
		s.charge(c, dt)
		if c.job.left == 0 {
			s.delays = append(s.delays, time.Duration(s.now-c.job.at))
			c.busy = false
			s.returnSlice(c)
		}
	}
	s.stats.Used += time.Duration(int64(running) * dt)
	if s.opts.Trace != nil && dt > 0 {
		s.opts.Trace(time.Duration(from), time.Duration(s.now), running)
	}
}

func (s *Sim) charge(c *simCPU, dt int64) {
	c.job.left -= dt
	switch {
	case s.quota < 0:
	case s.opts.Slice > 0:
		c.local -= dt
	default:
		s.pool -= dt
	}
}

// returnSlice is __return_cfs_rq_runtime, for a CPU that found nothing more to run.
func (s *Sim) returnSlice(c *simCPU) {
	if s.opts.Slice <= 0 || s.quota < 0 || len(s.queue) > 0 {
		return
	}
	if extra := c.local - minSliceKept; extra > 0 {
		c.local -= extra
		s.pool += extra
	}
}
