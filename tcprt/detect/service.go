package detect

import (
	"time"

	"github.com/anole-os/anole/tcprt"
)

// service is what a Monitor knows of one.
type service struct {
	key        tcprt.Service
	prev, next *service // in the order of use
	levels     [levels]Level
	rates      [int(Signals) - levels]Rate
	s          serviceState
}

// serviceState is what is saved, with the detectors.
type serviceState struct {
	Event eventState // Signals is none while there is none
	// Usual is quiet windows: of one span of time, and of the one before. Began is
	// when the one that Turn tells did.
	Usual [2]tcprt.Totals
	Turn  uint8
	Began int64
	// Lately is the windows since Since that looked like an anomaly, or were one; or
	// the last window.
	Lately tcprt.Totals
	Since  int64
}

func (v *service) reset(key tcprt.Service, o *MonitorOptions) {
	*v = service{key: key, prev: v.prev, next: v.next}
	for i := range v.levels {
		if o.Cauchy {
			v.levels[i] = *NewCauchy(Signal(i), o.Detector)
		} else {
			v.levels[i] = *NewRobust(Signal(i), o.Detector)
		}
	}
	rates := o.Detector
	rates.Rule, rates.Ratio, rates.Least = Rule{}, 0, 0
	for i := range v.rates {
		v.rates[i] = *NewRate(Signal(levels+i), rates)
	}
}

// verdict is what all detectors say of a window.
type verdict struct{ anomalous, raised, suspect, adopted bool }

func (v *service) observe(w *tcprt.Window, errors uint64) (Event, bool) {
	was := v.s.Event.Signals != 0
	said := v.score(w, errors)
	at := w.Start.UnixNano()
	v.remember(w, at, said)
	switch {
	case said.anomalous && !was:
		v.s.Event.Start, v.s.Event.Seen = v.s.Since, at
		return v.s.Event.event(v.key), true
	case !said.anomalous && was:
		v.s.Event.Adopted = said.adopted
		e := v.s.Event.event(v.key)
		e.End = w.Start
		v.s.Event = eventState{}
		return e, true
	}
	return Event{}, false
}

func (v *service) score(w *tcprt.Window, errors uint64) (said verdict) {
	for i := range v.levels {
		l := &v.levels[i]
		s := l.Observe(w)
		said.take(&l.s.Run, &l.o.Rule, &s)
		if s.Anomalous {
			v.s.Event.take(Signal(i), &s)
		}
	}
	for i := range v.rates {
		r := &v.rates[i]
		s := r.ObserveErrors(w, errors)
		said.take(&r.s.Run, &r.o.Rule, &s)
		if s.Anomalous {
			v.s.Event.take(Signal(levels+i), &s)
		}
	}
	return said
}

func (d *verdict) take(r *run, rule *Rule, s *Score) {
	d.anomalous = d.anomalous || s.Anomalous
	d.raised = d.raised || r.raised(rule)
	d.suspect = d.suspect || r.suspect(rule)
	d.adopted = d.adopted || s.Adopted
}

// turn is after how long the older half of what is usual is forgotten, and of
// how many requests at least, but for a service that hardly has any.
const (
	turn     = 5 * time.Minute
	turnOf   = 1000
	turnLast = time.Hour
)

// remember keeps the window's totals, for whoever wants to know the cause.
func (v *service) remember(w *tcprt.Window, at int64, said verdict) {
	s := &v.s
	if said.raised {
		if s.Since == 0 {
			s.Lately, s.Since = tcprt.Totals{}, at
		}
		s.Lately.Merge(&w.Totals)
	} else {
		s.Lately, s.Since = w.Totals, 0
	}
	if said.suspect {
		return
	}
	u := &s.Usual[s.Turn]
	age := time.Duration(at - s.Began)
	if s.Began == 0 || age >= turnLast || age >= turn && u.Requests >= turnOf {
		s.Turn ^= 1
		u, s.Began = &s.Usual[s.Turn], at
		*u = tcprt.Totals{}
	}
	u.Merge(&w.Totals)
}
