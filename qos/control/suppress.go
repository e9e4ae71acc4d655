package control

import (
	"math"
	"time"
)

// SuppressOptions tunes a Suppressor. All shares are of the node's CPUs.
type SuppressOptions struct {
	Target float64 // node use that best-effort work may fill up to
	Floor  float64 // best-effort work always gets this much
	// Slack is added to the room where priority protects latency by itself, so
	// that best-effort work may take what the others' noise leaves: the cap is
	// then a bound and not a fence.
	Slack    float64
	Deadband float64 // a rise of the cap smaller than this waits
	// RisePerSecond is how fast the cap grows back.
	RisePerSecond float64
	// Cut is what a breach of an objective leaves of the cap, in one step.
	Cut float64
	// Settle is how long all objectives must hold before the cap may rise.
	Settle time.Duration
	// RunQueueP99, Pressure, Throttled and CPI are the objectives of the
	// latency-sensitive class; 0 switches one off. Pressure is the share of
	// time in which some task waited for a CPU, Throttled the share of
	// enforcement periods that ran out of quota, CPI the factor by which the
	// cycles of an instruction may exceed the most that is usual.
	RunQueueP99 time.Duration
	Pressure    float64
	Throttled   float64
	CPI         float64
	// Feedback is how services count whose requests take longer than usual.
	Feedback FeedbackOptions
}

// DefaultSuppress gives the options that a node runs with unless told
// otherwise.
func DefaultSuppress() SuppressOptions {
	return SuppressOptions{
		Target: 0.99, Floor: 0.05, Deadband: 0.02, RisePerSecond: 0.5, Cut: 0.7, Settle: 500 * time.Millisecond,
		RunQueueP99: 4 * time.Millisecond, Pressure: 0.25, Feedback: DefaultFeedback(),
	}
}

// Sample is what the node looked like over the last interval, in cores unless
// said otherwise. A signal that is missing is NaN, or Samples 0 for the run
// queue: what is missing decides nothing.
type Sample struct {
	Now                 time.Time
	CPUs                float64
	Busy, Sensitive, BE float64 // use by all, by the LS classes, by best-effort work
	Steal               float64 // taken by the hypervisor
	RunQueueP99         time.Duration
	RunQueueSamples     uint64
	Pressure            float64 // share of time
	Throttled           float64 // share of periods
	CPI                 float64 // the largest factor, see Verdict.Factor; 0 is missing too
	CPIOf               string  // the workload that has it
	Sensitives          int     // number of latency-sensitive workloads
	Slow                []Slow  // services of latency-sensitive workloads
}

// Decision is a Suppressor's answer.
type Decision struct {
	Cap float64 // cores that best-effort work may use; +Inf is no cap
	// Changed says that Cap differs from the last one; Why tells the signal.
	Changed bool
	Why     Reason
}

// minRunQueueSamples is what makes a p99 worth acting on: below it one slow
// wakeup would decide.
const minRunQueueSamples = 100

// Suppressor holds best-effort work to what latency-sensitive work leaves:
// fast down (one step), slow up, nothing on missing data, never below a floor.
// The room to fill follows Koordinator's cpusuppress formula,
// target·capacity − LS − system, at ten times its pace; objectives of the
// latency-sensitive class cut below it.
type Suppressor struct {
	o       SuppressOptions
	cap     float64
	why     Reason // of cap
	last    time.Time
	calm    time.Time // since when all objectives hold
	pending float64   // what objectives leave of the room, as a share
	others  float64   // use by everyone but best-effort work, smoothed
	jumped  bool      // the last sample rose by a jump
	leapt   float64   // use seen when others last leapt, until the next sample

	feedback feedback
}

// NewSuppressor makes a Suppressor that has no cap in force.
func NewSuppressor(o SuppressOptions) *Suppressor {
	return &Suppressor{o: o, cap: math.Inf(1), pending: 1, feedback: feedback{share: 1}}
}

// State is what a Suppressor carries from Step to Step, in a form that can be
// kept. Times are in nanoseconds against some start.
type State struct {
	Cap     *float64 `json:"cap"` // nil is no cap
	Why     string   `json:"why,omitempty"`
	Last    *int64   `json:"last,omitempty"` // of the last Step, nil before the first
	Calm    *int64   `json:"calm,omitempty"` // since when all objectives hold, nil if they do not
	Pending float64  `json:"pending"`
	Others  float64  `json:"others"`
	Jumped  bool     `json:"jumped,omitempty"`
	Leapt   float64  `json:"leapt,omitempty"`
	// Feedback is nil in what was carried before there was any.
	Feedback *FeedbackState `json:"feedback,omitempty"`
}

// State gives what the Node's suppressor carries, with times against start.
func (n *Node) State(start time.Time) State {
	s := n.suppress
	at := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		d := int64(t.Sub(start))
		return &d
	}
	out := State{Why: n.why.String(), Last: at(s.last), Calm: at(s.calm), Pending: s.pending, Others: s.others, Jumped: s.jumped, Leapt: s.leapt}
	out.Feedback = s.feedback.state(at)
	if !math.IsInf(n.cap, 1) {
		c := n.cap
		out.Cap = &c
	}
	return out
}

// Resume takes over what another Node carried.
func (n *Node) Resume(start time.Time, in State) {
	at := func(d *int64) (t time.Time) {
		if d != nil {
			t = start.Add(time.Duration(*d))
		}
		return t
	}
	s := n.suppress
	s.last, s.calm, s.pending, s.others, s.jumped, s.leapt = at(in.Last), at(in.Calm), in.Pending, in.Others, in.Jumped, in.Leapt
	s.feedback.resume(in.Feedback, at)
	if in.Cap != nil {
		s.cap, n.cap, n.why = *in.Cap, *in.Cap, Reason{kind: quoted, text: in.Why}
	}
}

// SetOptions changes the tuning; the cap in force stays until the next Step.
func (s *Suppressor) SetOptions(o SuppressOptions) { s.o = o }

// Step takes one sample and gives the cap to hold from now on.
func (s *Suppressor) Step(in Sample) Decision {
	dt := in.Now.Sub(s.last)
	first := s.last.IsZero()
	s.last = in.Now
	if in.Sensitives == 0 {
		s.pending, s.calm = 1, time.Time{}
		s.feedback.reset()
		return s.set(math.Inf(1), Reason{kind: noSensitive})
	}
	if first || dt <= 0 || dt > 10*time.Second || bad(in.Busy, in.Sensitive, in.BE) {
		// A clock jump or a hole in the data: what is in force stays in force.
		if s.calm.After(in.Now) {
			s.calm = time.Time{} // the clock went back: calm is counted anew
		}
		return Decision{Cap: s.cap}
	}
	s.track(in, dt)
	room := s.room(in)
	cut := s.feedback.step(&in, dt, &s.o, room)
	room = s.floored(in, room*s.feedback.share)
	if why, over := s.breach(in); over {
		return s.down(in, room, why)
	}
	if cut {
		return s.set(s.floored(in, min(s.cap, room*s.pending)), s.feedback.why)
	}
	return s.up(in, room, dt)
}

// room is what may be filled. Stolen time is not there to be filled.
func (s *Suppressor) room(in Sample) float64 {
	steal := in.Steal
	if bad(steal) {
		steal = 0
	}
	return min(in.CPUs, s.floored(in, (s.o.Target+s.o.Slack)*in.CPUs-s.others-steal))
}

// A rise in the use of others counts as a step of their load, and not as its
// noise, if it is a leap of that share of the node, or a jump in two samples
// running.
const (
	leap = 0.25
	jump = 0.12
)

// track follows the use of others: at once when it jumps up, over about a
// second otherwise, so that the noise of a steady load does not cost
// best-effort work its room.
func (s *Suppressor) track(in Sample, dt time.Duration) {
	now := max(in.Busy-in.BE, in.Sensitive)
	rise := (now - s.others) / in.CPUs
	again := s.jumped
	s.jumped = rise > jump
	switch {
	case rise > leap:
		// The step began somewhere within the interval, so what was seen of it
		// is a part; on the mean a half. Too much is given back at once.
		s.others = min(in.CPUs, now+(now-s.others))
		s.leapt = now
		return
	case again && rise > jump:
		s.others = now
		return
	case s.leapt > 0:
		// The first sample after a leap shows how high it really was.
		s.others, s.leapt = max(now, s.leapt), 0
		return
	}
	s.others += (now - s.others) * min(1, dt.Seconds())
}

// Rising says that the last sample rose so much that the next one is wanted
// soon: the rise began somewhere within the interval, and only a part was seen.
func (s *Suppressor) Rising() bool { return s.jumped || s.leapt > 0 }

func (s *Suppressor) floored(in Sample, cores float64) float64 {
	return max(cores, s.o.Floor*in.CPUs)
}

// breach finds the dominant signal: the objective that is missed by the
// largest factor.
func (s *Suppressor) breach(in Sample) (why Reason, over bool) {
	worst := 1.0
	if s.o.RunQueueP99 > 0 && in.RunQueueSamples >= minRunQueueSamples {
		if f := float64(in.RunQueueP99) / float64(s.o.RunQueueP99); f > worst {
			worst, why = f, Reason{kind: runQueue, d: in.RunQueueP99, e: s.o.RunQueueP99}
		}
	}
	if s.o.Pressure > 0 && !bad(in.Pressure) {
		if f := in.Pressure / s.o.Pressure; f > worst {
			worst, why = f, Reason{kind: pressure, a: in.Pressure, b: s.o.Pressure}
		}
	}
	if s.o.Throttled > 0 && !bad(in.Throttled) {
		if f := in.Throttled / s.o.Throttled; f > worst {
			worst, why = f, Reason{kind: throttled, a: in.Throttled, b: s.o.Throttled}
		}
	}
	if s.o.CPI > 0 && !bad(in.CPI) {
		if f := in.CPI / s.o.CPI; f > worst {
			worst, why = f, Reason{kind: cpiAbove, text: in.CPIOf, a: in.CPI, b: s.o.CPI}
		}
	}
	return why, worst > 1
}

func (s *Suppressor) down(in Sample, room float64, why Reason) Decision {
	s.calm = time.Time{}
	s.pending *= s.o.Cut
	// Below the floor a smaller share changes nothing and would only make the
	// way back longer.
	if low := s.o.Floor * in.CPUs / room; s.pending < low {
		s.pending = low
	}
	return s.set(s.floored(in, min(s.cap, room*s.pending)), why)
}

func (s *Suppressor) up(in Sample, room float64, dt time.Duration) Decision {
	if s.calm.IsZero() {
		s.calm = in.Now
	}
	rise := s.o.RisePerSecond * dt.Seconds()
	if in.Now.Sub(s.calm) >= s.o.Settle {
		s.pending = min(1, s.pending+rise)
	}
	want := s.floored(in, room*s.pending)
	dead := s.o.Deadband * in.CPUs
	switch {
	case math.IsInf(s.cap, 1), want < s.cap-dead:
		return s.set(want, s.use(in))
	case want > s.cap+dead && in.Now.Sub(s.calm) >= s.o.Settle:
		// The rise is a step of at least the deadband, so that a slow way up
		// is a stair and not a write each interval.
		return s.set(min(want, s.cap+max(s.climb(in, dt), dead)), s.use(in))
	}
	return Decision{Cap: s.cap}
}

// use says what leaves the room that there is.
func (s *Suppressor) use(in Sample) Reason {
	if s.feedback.share < 1 {
		return s.feedback.why
	}
	return Reason{kind: othersUse, a: s.others, b: in.CPUs, c: s.o.Target}
}

// climb is how much the cap may rise now.
func (s *Suppressor) climb(in Sample, dt time.Duration) float64 {
	return s.o.RisePerSecond * in.CPUs * dt.Seconds()
}

func (s *Suppressor) set(cap float64, why Reason) Decision {
	if cap == s.cap {
		return Decision{Cap: cap}
	}
	s.cap, s.why = cap, why
	return Decision{Cap: cap, Changed: true, Why: why}
}

func bad(v ...float64) bool {
	for _, x := range v {
		if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
			return true
		}
	}
	return false
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
