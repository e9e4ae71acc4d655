package burst

import (
	"math"
	"time"
)

// Usage is what one group did since the last tick. Times are totals over the tick, not counters.
type Usage struct {
	At        time.Duration // time of the tick on any monotonic clock; only differences count
	Dt        time.Duration // length of the tick
	Used      time.Duration // CPU time used
	Throttled time.Duration // growth of throttled_time; note that the kernel adds it when a group is unthrottled
}

// usable reports whether the readings can be true; others are treated as missing.
func (u Usage) usable() bool {
	return u.Dt > 0 && u.Dt <= longestGap && u.Used >= 0 && u.Throttled >= 0 && u.Used <= u.Dt*MaxLimit
}

// longestGap is the longest tick that still says something about bursts; a longer one (suspend, stopped agent) is a gap in the data.
const longestGap = 10 * time.Second

// AutoOptions tunes [Auto]. The zero value of every field but Limit works.
type AutoOptions struct {
	Limit     float64       // r in CPUs
	Limits    Limits        // zero = Mainline; decides how much depth a demand peak needs
	Min, Max  time.Duration // caps of the recommendation; 0 = none and 2 s per CPU of the limit, the deepest mainline bucket
	Initial   time.Duration // first recommendation; 0 = twice the quota of 100 ms, the mainline maximum at the default period
	Window    time.Duration // how long a peak is remembered in full; 0 = 30 min
	Quantile  float64       // 0 or 1 = the highest peak in Window; else a quantile of the depth over time, e.g. 0.999
	Margin    float64       // factor on the estimate; 0 = 1.25
	Grow      float64       // factor while throttled, on the current recommendation; 0 = 2
	UpEvery   time.Duration // least time between changes upwards; 0 = 1 min
	DownAfter time.Duration // how long a lower estimate must last before a step down; 0 = 10 min
}

func (o AutoOptions) defaults() AutoOptions {
	quota := time.Duration(o.Limit * float64(DefaultMinPeriod.Duration()))
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&o.Max, min(MaxBudget, time.Duration(o.Limit*2e9)))
	set(&o.Initial, 2*quota)
	set(&o.Window, 30*time.Minute)
	set(&o.UpEvery, time.Minute)
	set(&o.DownAfter, 10*time.Minute)
	if o.Margin == 0 {
		o.Margin = 1.25
	}
	if o.Grow == 0 {
		o.Grow = 2
	}
	o.Limits = o.Limits.orMainline()
	o.Initial = min(max(o.Initial, o.Min), o.Max)
	return o
}

// Validate reports the first unusable field as a *FieldError.
func (o AutoOptions) Validate() error {
	if err := checkLimit(o.Limit); err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		d    time.Duration
	}{{"min", o.Min}, {"max", o.Max}, {"initial", o.Initial}, {"window", o.Window}, {"up_every", o.UpEvery}, {"down_after", o.DownAfter}} {
		if err := checkBudget(f.name, f.d); err != nil {
			return err
		}
	}
	switch {
	case o.Max != 0 && o.Max < o.Min:
		return field("max", o.Max, "must not be below min")
	case !(o.Quantile >= 0 && o.Quantile <= 1):
		return field("quantile", o.Quantile, "must be between 0 and 1")
	case o.Margin != 0 && !(o.Margin >= 1 && o.Margin <= 10):
		return field("margin", o.Margin, "must be between 1 and 10")
	case o.Grow != 0 && !(o.Grow > 1 && o.Grow <= 10):
		return field("grow", o.Grow, "must be above 1 and at most 10")
	}
	return nil
}

// Auto learns the burst a group needs. It runs a leaky bucket with the limit's rate over the observed use,
//
//	W <- max(0, W + used - r*dt)
//
// whose maximum is exactly the demand in excess of r in the worst window: a group is never throttled if its burst B is at least that
// (see [Bandwidth.CoversPeak]). Use hides demand while the group is throttled, so throttling grows the estimate by a factor instead.
//
// Recommendations rise at most once a UpEvery, by any amount; they fall only when the estimate stayed lower for DownAfter, to the highest value it had
// in that time. Auto is a pure state machine of a few KiB: the same ticks give the same answers.
type Auto struct {
	opts     AutoOptions
	depth    float64 // W in ns of CPU time
	peaks    *peaks
	forced   *peaks // estimates raised by throttling, which no observed depth shows
	started  bool
	now      time.Duration
	current  time.Duration
	changed  time.Duration // when current was last changed
	throttle bool          // throttled since the last change
	lowFrom  time.Duration // since when the estimate is below current; -1 = it is not
	lowMax   time.Duration
}

// Advice is the learner's answer to one tick.
type Advice struct {
	Burst   time.Duration `json:"burst_ns"`  // b for Spec.Burst
	Changed bool          `json:"changed"`   // plan again
	Target  time.Duration `json:"target_ns"` // what the estimate asks for now, before hysteresis
	Peak    time.Duration `json:"peak_ns"`   // excess demand in the worst window seen
	Depth   time.Duration `json:"depth_ns"`  // W now
	Reason  string        `json:"reason"`    // first | throttled | peak | lower | hold
}

// NewAuto returns a learner with no observations. The error is a *FieldError.
func NewAuto(o AutoOptions) (*Auto, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	o = o.defaults()
	quantile := o.Quantile > 0 && o.Quantile < 1
	return &Auto{opts: o, peaks: newPeaks(o.Window, quantile), forced: newPeaks(o.Window, false), current: o.Initial, lowFrom: -1}, nil
}

// Burst is the current recommendation.
func (a *Auto) Burst() time.Duration { return a.current }

// Observe takes one tick. Ticks that cannot be true, or go back in time, are ignored but for the gap they leave.
func (a *Auto) Observe(u Usage) Advice {
	if !u.usable() || (a.started && u.At < a.now) {
		a.depth = 0 // what happened meanwhile is unknown; the peaks stay
		return a.advice(false, "hold")
	}
	first := !a.started
	if first {
		a.started, a.changed = true, u.At
	}
	a.now = u.At
	a.depth = max(0, a.depth+float64(u.Used)-a.opts.Limit*float64(u.Dt))
	a.peaks.add(a.now, u.Dt, a.depth)
	a.forced.add(a.now, 0, 0) // forget what left the window
	if u.Throttled > 0 {
		a.grow()
	}
	if first {
		return a.advice(true, "first")
	}
	return a.decide()
}

// grow raises the estimate by a factor of what the current recommendation covers. It does not compound until that recommendation has changed, so a fast
// loop does not outrun the effect of its own plans.
func (a *Auto) grow() {
	a.throttle = true
	raised := min(a.excessOf(a.current)*a.opts.Grow, float64(a.opts.Max))
	a.forced.add(a.now, 0, max(a.depth, raised))
}

func (a *Auto) decide() Advice {
	const deadband = 1.1
	target := a.target()
	switch {
	case float64(target) > float64(a.current)*deadband || (a.throttle && target > a.current):
		a.lowFrom = -1
		if a.now-a.changed < a.opts.UpEvery {
			return a.advice(false, "hold")
		}
		reason := "peak"
		if a.throttle {
			reason = "throttled"
		}
		return a.change(target, reason)
	case float64(target)*deadband < float64(a.current):
		return a.lower(target)
	}
	a.lowFrom = -1
	return a.advice(false, "hold")
}

// lower steps down once the target has been low for DownAfter.
func (a *Auto) lower(target time.Duration) Advice {
	if a.lowFrom < 0 {
		a.lowFrom, a.lowMax = a.now, 0
	}
	a.lowMax = max(a.lowMax, target)
	if a.now-a.lowFrom < a.opts.DownAfter || a.now-a.changed < a.opts.DownAfter {
		return a.advice(false, "hold")
	}
	return a.change(a.lowMax, "lower")
}

func (a *Auto) change(to time.Duration, reason string) Advice {
	a.current, a.changed, a.throttle, a.lowFrom = to, a.now, false, -1
	return a.advice(true, reason)
}

func (a *Auto) advice(changed bool, reason string) Advice {
	return Advice{
		Burst: a.current, Changed: changed, Target: a.target(), Reason: reason,
		Peak: time.Duration(a.peak()), Depth: time.Duration(a.depth),
	}
}

func (a *Auto) peak() float64 {
	if q := a.opts.Quantile; q > 0 && q < 1 {
		return max(a.peaks.quantile(q), a.forced.max())
	}
	return max(a.peaks.max(), a.forced.max())
}

// target turns excess demand into depth: the burst must hold the excess, and the quota of the period comes on top. Where burst may not exceed quota, an
// excess above the default period's quota needs a longer period with Q = B = excess.
func (a *Auto) target() time.Duration {
	excess := a.peak() * a.opts.Margin
	quota := a.opts.Limit * float64(DefaultMinPeriod.Duration())
	if !a.opts.Limits.BurstMayExceedQuota {
		quota = max(quota, excess)
	}
	if excess == 0 {
		quota = 0 // nothing above the limit was seen: the plain quota does
	}
	return min(max(time.Duration(math.Ceil(excess+quota)), a.opts.Min), a.opts.Max)
}

// excessOf is the inverse of target: the excess, margin taken off, that depth covers.
func (a *Auto) excessOf(depth time.Duration) float64 {
	quota := a.opts.Limit * float64(DefaultMinPeriod.Duration())
	excess := float64(depth) - quota
	if !a.opts.Limits.BurstMayExceedQuota && float64(depth) > 2*quota {
		excess = float64(depth) / 2
	}
	return max(excess, quota/2) / a.opts.Margin
}
