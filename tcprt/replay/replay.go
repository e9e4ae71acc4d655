// Package replay judges recorded requests as the agent judges those of now: figures of
// each service, anomalies with their causes, the slowest requests.
package replay

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
	"github.com/anole-os/anole/tcprt/detect"
)

// Options of a Replay. The zero value works.
type Options struct {
	Slowest int            // how many of the slowest requests are kept, 20 when 0
	Detect  detect.Options // the zero value is that of package detect
}

// Replay takes records in the order that they were told in. It is for one goroutine.
type Replay struct {
	o        Options
	monitor  *detect.Monitor
	services map[tcprt.Service]*service
	slow     []tcprt.Record // a heap of the slowest, the fastest of them first
	events   []Event
	from, to time.Duration
	second   time.Duration // the window's end
	records  uint64
}

type service struct {
	key    tcprt.Service
	totals tcprt.Totals
	window tcprt.Totals
	sample []tcprt.Record // of the window and the one before
	open   int            // index of its event, from 1 on
	by     tcprt.Command
}

// samples are how many records of a service a verdict is of.
const samples = 64

// Event is an anomaly with its cause.
type Event struct {
	detect.Event
	Verdict blame.Verdict
}

// Service is what one did.
type Service struct {
	tcprt.Service
	tcprt.Totals
	Command string // of the latest record that has one
}

// Result is all that was found.
type Result struct {
	Records  uint64
	From, To time.Duration // as the records have it
	Services []Service     // the busiest first
	Events   []Event       // in their order
	Slowest  []tcprt.Record
}

// New begins.
func New(o Options) *Replay {
	if o.Slowest == 0 {
		o.Slowest = 20
	}
	return &Replay{o: o, monitor: detect.NewMonitor(detect.MonitorOptions{Detector: o.Detect}), services: map[tcprt.Service]*service{}}
}

// Add takes a record.
func (p *Replay) Add(r *tcprt.Record) {
	if p.records == 0 {
		p.from, p.second = r.T0, r.End.Truncate(time.Second)+time.Second
	}
	p.records++
	p.from, p.to = min(p.from, r.T0), max(p.to, r.End)
	for r.End >= p.second {
		p.turn()
		if gap := r.End - p.second; gap > time.Hour { // a recording that was made in parts
			p.second = r.End.Truncate(time.Second)
		}
	}
	key := r.Service()
	s := p.services[key]
	if s == nil {
		s = &service{key: key}
		p.services[key] = s
	}
	s.totals.Add(r)
	s.window.Add(r)
	if r.Command[0] != 0 {
		s.by = r.Command
	}
	if len(s.sample) == samples {
		s.sample[int(p.records)%samples] = *r
	} else {
		s.sample = append(s.sample, *r)
	}
	p.rank(r)
}

// turn ends a second.
func (p *Replay) turn() {
	for _, s := range p.services {
		w := tcprt.Window{Service: s.key, Start: time.Unix(0, int64(p.second-time.Second)), Length: time.Second, Totals: s.window}
		s.window = tcprt.Totals{}
		e, changed := p.monitor.Observe(&w, 0)
		switch {
		case changed && e.Ongoing():
			p.events = append(p.events, Event{Event: e})
			s.open = len(p.events)
		case changed && s.open > 0:
			p.events[s.open-1].Event = e
			s.open = 0
		}
		if s.open > 0 {
			p.explain(&p.events[s.open-1], s)
		} else {
			s.sample = s.sample[:0]
		}
	}
	p.second += time.Second
}

func (p *Replay) explain(e *Event, s *service) {
	var now, usual tcprt.Totals
	if !p.monitor.Totals(s.key, &now, &usual) {
		return
	}
	if going, ok := p.monitor.Ongoing(s.key); ok {
		e.Event = going
	}
	c := blame.Case{Service: s.key, Now: &now, Baseline: &usual, Samples: s.sample}
	for _, d := range p.monitor.Asks(s.key, nil) {
		pair := blame.Pair{Now: new(tcprt.Totals), Baseline: new(tcprt.Totals)}
		if p.monitor.Totals(d, pair.Now, pair.Baseline) {
			c.Downstream = append(c.Downstream, pair)
		}
	}
	e.Verdict = blame.Explain(&c)
}

// rank keeps the slowest.
func (p *Replay) rank(r *tcprt.Record) {
	total := r.Total()
	if len(p.slow) == p.o.Slowest && total <= p.slow[len(p.slow)-1].Total() {
		return
	}
	at, _ := slices.BinarySearchFunc(p.slow, total, func(a tcprt.Record, d time.Duration) int { return cmp.Compare(d, a.Total()) })
	if len(p.slow) < p.o.Slowest {
		p.slow = append(p.slow, tcprt.Record{})
	}
	copy(p.slow[at+1:], p.slow[at:])
	p.slow[at] = *r
}

// Result ends the last second.
func (p *Replay) Result() Result {
	if p.records > 0 {
		p.turn()
	}
	out := Result{Records: p.records, From: p.from, To: p.to, Events: p.events, Slowest: p.slow}
	for _, s := range p.services {
		out.Services = append(out.Services, Service{s.key, s.totals, s.by.String()})
	}
	slices.SortFunc(out.Services, func(a, b Service) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), strings.Compare(a.String(), b.String()))
	})
	return out
}
