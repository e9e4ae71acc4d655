package observer

import (
	"time"

	"github.com/anole-os/anole/tcprt"
)

// History is kept in steps of stepOf, points of them.
const (
	stepOf = 5 * time.Second
	points = 180
)

// Point is what a service did in a step of time.
type Point struct {
	Time   int64       `json:"time"` // its end, ms of Unix time
	Rate   float64     `json:"rate"`
	Failed float64     `json:"failed"`             // share
	Resent float64     `json:"retransmits"`        // a second
	P50    float64     `json:"p50_seconds"`        //
	P99    float64     `json:"p99_seconds"`        //
	Phases [5]float64  `json:"phase_mean_seconds"` // in the order of tcprt.Phase
	Heat   [][2]uint32 `json:"heat,omitempty"`     // bucket and count of complete requests, see tcprt.UpperBound
}

// note adds a Point, if it is time.
func (s *service) note(now time.Time, step time.Duration) {
	t := s.totals
	t.Sub(&s.point)
	s.point = s.totals
	all := &t.Phases[tcprt.Phases]
	p := Point{
		Time: now.UnixMilli(), Rate: float64(t.Requests) / step.Seconds(), Resent: float64(t.Retransmits) / step.Seconds(),
		P50: all.Quantile(0.5).Seconds(), P99: all.Quantile(0.99).Seconds(),
	}
	if t.Requests > 0 {
		p.Failed = float64(t.Failed()) / float64(t.Requests)
	}
	for i := range p.Phases {
		p.Phases[i] = t.Phases[i].Mean().Seconds()
	}
	for b, n := range all.Counts {
		if n > 0 {
			p.Heat = append(p.Heat, [2]uint32{uint32(b), uint32(n)})
		}
	}
	if len(s.points) == points {
		copy(s.points, s.points[1:])
		s.points = s.points[:points-1]
	}
	s.points = append(s.points, p)
}

// History gives a service's past, the oldest first; nil of one that is not known.
func (o *Observer) History(id string) []Point {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, s := range o.services {
		if key.String() == id {
			return append([]Point{}, s.points...)
		}
	}
	return nil
}
