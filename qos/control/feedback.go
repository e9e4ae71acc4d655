package control

import (
	"slices"
	"time"
)

// Slow is a service whose requests take longer than usual, for a cause that
// best-effort work can be.
type Slow struct {
	ID     string        // of the service, the same in each interval
	Of     string        // its name for people
	Member *Member       // whose it is, nil if that is not known
	P99    time.Duration // of its requests since it is slow
	Usual  time.Duration // the same of quiet times
	Cause  string
}

// FeedbackOptions says how slow services hold best-effort work back. A p99 is of
// seconds and not of an interval, so this acts more slowly than the objectives do:
// at most one step a second, either way.
type FeedbackOptions struct {
	On bool
	// Least is what is left to best-effort work, as a share of its room. The floor
	// holds beside it.
	Least float64
	// Hold is how long no service must be slow before there is a way back.
	Hold time.Duration
	// GiveUp is how long best-effort work is held at the least for a service that is
	// slow all the same: then it is not the cause, and the service is let go for ten
	// times as long. 0 is never.
	GiveUp time.Duration
}

// DefaultFeedback gives the options that a node runs with unless told otherwise.
func DefaultFeedback() FeedbackOptions {
	return FeedbackOptions{On: true, Least: 0.2, Hold: 10 * time.Second, GiveUp: time.Minute}
}

const (
	feedbackEvery = time.Second // between two steps
	feedbackRise  = 0.1         // of the room, in a step
	feedbackStep  = 0.01        // a cut by less is none
	letGoFor      = 10          // times GiveUp
	mostSlow      = 64          // services that are known at a time
)

// feedback is what slow services leave of the room of best-effort work.
type feedback struct {
	share float64 // of the room; 1 is all
	used  float64 // by best-effort work, cores, over about a second
	moved time.Time
	slow  time.Time // when a service that counts was slow last
	low   time.Time // since when the share has been the least for one, else zero
	why   Reason    // of the share
	known []slowService
	cuts  uint64
}

// slowService is one that is slow or was so lately.
type slowService struct {
	id          string
	since, seen time.Time
	until       time.Time // let go until then, zero if it is not
}

// reset forgets all but what was counted.
func (f *feedback) reset() { *f = feedback{share: 1, used: f.used, cuts: f.cuts, known: f.known[:0]} }

// step takes a sample and says whether the share was cut. room is what there is
// without it, in cores.
func (f *feedback) step(in *Sample, dt time.Duration, o *SuppressOptions, room float64) (cut bool) {
	f.used += (in.BE - f.used) * min(1, dt.Seconds())
	if !o.Feedback.On {
		f.reset()
		return false
	}
	f.turnBack(in.Now, &o.Feedback)
	worst := f.note(in, &o.Feedback)
	if room <= 0 {
		return false
	}
	least := min(1, max(o.Feedback.Least, o.Floor*in.CPUs/room))
	if worst == nil {
		f.low = time.Time{}
		f.rise(in.Now, &o.Feedback)
		return false
	}
	f.slow = in.Now
	f.why = Reason{kind: slowRequests, text: worst.Of, by: worst.Cause, d: worst.P99, e: worst.Usual}
	// Work that is within its floor is not the one to cut.
	if in.Now.Sub(f.moved) >= feedbackEvery && f.used > o.Floor*in.CPUs {
		// What it does not use it is not cut by.
		if to := max(least, o.Cut*min(f.share, f.used/room)); to < f.share-feedbackStep {
			f.share, f.moved, cut = to, in.Now, true
			f.cuts++
		}
	}
	f.give(in, &o.Feedback, f.share < 1 && f.share <= least+feedbackStep)
	return cut
}

// rise gives back a part, if it is time.
func (f *feedback) rise(now time.Time, o *FeedbackOptions) {
	if f.share == 1 || now.Sub(f.slow) < o.Hold || now.Sub(f.moved) < feedbackEvery {
		return
	}
	f.share, f.moved = min(1, f.share+feedbackRise), now
	if f.why.kind == slowRequests {
		f.why = Reason{kind: requestsAsUsual, text: f.why.text}
	}
}

// note brings what is known up to date and gives the service that is slower than
// usual by the largest factor, of those that are not let go.
func (f *feedback) note(in *Sample, o *FeedbackOptions) (worst *Slow) {
	most := 0.0
	for i := range in.Slow {
		x := &in.Slow[i]
		s := f.find(x.ID, in.Now)
		if s == nil {
			continue
		}
		s.seen = in.Now
		switch {
		case s.until.After(in.Now):
			continue
		case !s.until.IsZero():
			s.until, s.since = time.Time{}, in.Now // it gets another try
		}
		if by := float64(x.P99) / float64(max(x.Usual, 1)); worst == nil || by > most {
			worst, most = x, by
		}
	}
	f.known = slices.DeleteFunc(f.known, func(s slowService) bool {
		return in.Now.Sub(s.seen) >= o.Hold && !s.until.After(in.Now)
	})
	return worst
}

// find gives what is known of a service, nil if there is no room for one more.
func (f *feedback) find(id string, now time.Time) *slowService {
	at := slices.IndexFunc(f.known, func(s slowService) bool { return s.id == id })
	if at < 0 {
		if len(f.known) >= mostSlow {
			return nil
		}
		at = len(f.known)
		f.known = append(f.known, slowService{id: id, since: now})
	}
	return &f.known[at]
}

// give lets services go that have been slow for too long at the least.
func (f *feedback) give(in *Sample, o *FeedbackOptions, atLeast bool) {
	switch {
	case !atLeast:
		f.low = time.Time{}
		return
	case f.low.IsZero():
		f.low = in.Now
	}
	if o.GiveUp == 0 {
		return
	}
	for i := range f.known {
		s := &f.known[i]
		if !s.seen.Equal(in.Now) || !s.until.IsZero() || in.Now.Sub(f.low) < o.GiveUp || in.Now.Sub(s.since) < o.GiveUp {
			continue
		}
		s.until = in.Now.Add(letGoFor * o.GiveUp)
		f.why = Reason{kind: requestsLetGo, text: f.why.text, d: o.GiveUp}
	}
}

// letGo says whether a service is slow and not heeded.
func (f *feedback) letGo(id string, now time.Time) bool {
	at := slices.IndexFunc(f.known, func(s slowService) bool { return s.id == id })
	return at >= 0 && f.known[at].until.After(now)
}

// turnBack mends times that a clock that went back left in the future.
func (f *feedback) turnBack(now time.Time, o *FeedbackOptions) {
	latest := func(t *time.Time, most time.Time) {
		if t.After(most) {
			*t = most
		}
	}
	latest(&f.moved, now)
	latest(&f.slow, now)
	latest(&f.low, now)
	for i := range f.known {
		s := &f.known[i]
		latest(&s.since, now)
		latest(&s.seen, now)
		latest(&s.until, now.Add(letGoFor*o.GiveUp))
	}
}

// FeedbackState is what a Suppressor carries of slow services. Times are in
// nanoseconds against some start.
type FeedbackState struct {
	Share    float64     `json:"share"`
	Used     float64     `json:"used"`
	Moved    *int64      `json:"moved,omitempty"`
	Slow     *int64      `json:"slow,omitempty"`
	Low      *int64      `json:"low,omitempty"`
	Why      string      `json:"why,omitempty"`
	Services []SlowState `json:"services,omitempty"`
}

// SlowState is one service.
type SlowState struct {
	ID    string `json:"id"`
	Since *int64 `json:"since"`
	Seen  *int64 `json:"seen"`
	Until *int64 `json:"until,omitempty"`
}

// state gives what is carried, by a function that makes times numbers.
func (f *feedback) state(at func(time.Time) *int64) *FeedbackState {
	s := &FeedbackState{Share: f.share, Used: f.used, Moved: at(f.moved), Slow: at(f.slow), Low: at(f.low), Why: f.why.String()}
	for _, x := range f.known {
		s.Services = append(s.Services, SlowState{ID: x.id, Since: at(x.since), Seen: at(x.seen), Until: at(x.until)})
	}
	return s
}

// resume takes over what another carried; nil is nothing, as of one that knew of no
// slow services.
func (f *feedback) resume(in *FeedbackState, at func(*int64) time.Time) {
	f.reset()
	if in == nil {
		return
	}
	f.share, f.used, f.moved, f.slow, f.low = in.Share, in.Used, at(in.Moved), at(in.Slow), at(in.Low)
	if in.Why != "" {
		f.why = Reason{kind: quoted, text: in.Why}
	}
	for _, x := range in.Services[:min(len(in.Services), mostSlow)] {
		f.known = append(f.known, slowService{id: x.ID, since: at(x.Since), seen: at(x.Seen), until: at(x.Until)})
	}
}
