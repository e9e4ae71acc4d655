package module

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/observer"
)

// series says which services have series of their own. What each does is added up
// as it comes, to its own or to other, so that all are counters: none falls when a
// service goes from one to the other or ends. The zero value is ready.
type series struct {
	mu    sync.Mutex // scrapes and the history come at the same time
	of    *observer.Observer
	known map[tcprt.Service]*counted
	other tcprt.Totals
	gen   uint64
}

// counted is what a service had done when it was last looked at.
type counted struct {
	labels   []string
	last     tcprt.Totals
	own      tcprt.Totals // what came while it had series of its own
	has      bool
	came     tcprt.Totals // since the last look
	worst    *core.Exemplar
	inflight int
	oldest   time.Duration
	gen      uint64
}

// overtakes is by how many times a service must have more requests than one with
// series to take its place, so that two that are equal do not take turns.
const overtakes = 2

func (s *series) collect(o *observer.Observer, most int, emit func(core.Metric)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begin(o)
	o.Totals(s.take)
	s.end(most, emit)
}

// begin is followed by take for each service, and end.
func (s *series) begin(o *observer.Observer) {
	if s.of != o || s.known == nil { // begun anew, and so are its counts
		s.of, s.known, s.other = o, map[tcprt.Service]*counted{}, tcprt.Totals{}
	}
	s.gen++
}

func (s *series) end(most int, emit func(core.Metric)) {
	for key, c := range s.known {
		if c.gen != s.gen {
			delete(s.known, key)
		}
	}
	s.choose(most)
	for _, c := range s.known {
		if c.has {
			c.own.Merge(&c.came)
		} else {
			s.other.Merge(&c.came)
		}
	}
	// Services of the same names, as in two network namespaces, are one.
	same := map[string]*counted{}
	for _, c := range s.known {
		if !c.has {
			continue
		}
		name := strings.Join(c.labels, "\x00")
		if first := same[name]; first != nil {
			sum := *first
			sum.own.Merge(&c.own)
			sum.inflight += c.inflight
			sum.oldest = max(sum.oldest, c.oldest)
			same[name] = &sum
		} else {
			same[name] = c
		}
	}
	for _, c := range same {
		emitService(&c.own, c.labels, c.worst, emit)
		emit(core.Metric{Desc: under, Values: c.labels, Value: float64(c.inflight)})
		emit(core.Metric{Desc: oldest, Values: c.labels, Value: c.oldest.Seconds()})
	}
	if s.other.Requests+s.other.Opened > 0 {
		emitService(&s.other, otherLabels, nil, emit)
	}
}

// take notes what a service did since the last look.
func (s *series) take(t *observer.Told) {
	c := s.known[t.Service]
	if c == nil {
		c = &counted{}
		s.known[t.Service] = c
	}
	c.came = *t.Totals
	c.came.Sub(&c.last)
	c.last, c.labels, c.gen, c.worst = *t.Totals, labelsOf(t.Service, t.Names), s.gen, nil
	c.inflight, c.oldest = t.Inflight, t.Oldest
	if w := t.Worst; w != nil {
		c.worst = &core.Exemplar{Value: w.Total, Time: w.Time, Labels: map[string]string{"peer": peer(w), "phase": largest(w)}}
	}
}

// choose gives series to the busiest.
func (s *series) choose(most int) {
	var own, rest []*counted
	for key, c := range s.known {
		switch {
		case key == tcprt.Service{}: // other in the kernel already
		case c.has:
			own = append(own, c)
		case c.last.Requests > 0:
			rest = append(rest, c)
		}
	}
	busiest := func(a, b *counted) int {
		return cmp.Or(cmp.Compare(b.came.Requests, a.came.Requests), cmp.Compare(b.last.Requests, a.last.Requests))
	}
	slices.SortFunc(rest, busiest)
	for len(rest) > 0 && len(own) < most {
		rest[0].has = true
		own, rest = append(own, rest[0]), rest[1:]
	}
	slices.SortFunc(own, busiest)
	for i := len(own) - 1; i >= 0 && len(rest) > 0 && rest[0].came.Requests > overtakes*own[i].came.Requests; i-- {
		own[i].has, rest[0].has = false, true
		rest = rest[1:]
	}
}
