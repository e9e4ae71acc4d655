package detect

import (
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Event is a time in which a service was not as it was.
type Event struct {
	Service tcprt.Service
	// Start is the first window that looked like it, Seen the one that made it
	// sure, and End the first that was as before; zero while it goes on.
	Start, Seen, End time.Time
	// Signal is the one that was furthest out, with its Score in standard
	// deviations, its usual value and the one then: see Signal.Ratio.
	Signal               Signal
	Score, Baseline, Now float64
	Signals              Set // all that took part
	// Adopted says that it did not end: it is the new normal.
	Adopted bool
}

// Ongoing says whether it has not ended.
func (e *Event) Ongoing() bool { return e.End.IsZero() }

// eventState is an Event as it is saved.
type eventState struct {
	Start, Seen          int64
	Signal               Signal
	Signals              Set
	Score, Baseline, Now float64
	Adopted              bool
}

// take adds what a signal that takes part says.
func (e *eventState) take(s Signal, score *Score) {
	e.Signals |= 1 << s
	if score.Judged && score.Z > e.Score {
		e.Signal, e.Score, e.Baseline, e.Now = s, score.Z, score.Baseline, score.Now
	}
}

func (e *eventState) event(s tcprt.Service) Event {
	return Event{
		Service: s, Start: time.Unix(0, e.Start), Seen: time.Unix(0, e.Seen), Signal: e.Signal, Score: e.Score, Baseline: e.Baseline, Now: e.Now,
		Signals: e.Signals, Adopted: e.Adopted,
	}
}
