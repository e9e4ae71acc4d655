package observer

import (
	"cmp"
	"slices"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// recently is how much of the past the figures of a Service are of: the last turn
// that is whole, and what there is of this one.
const recently = 10 * time.Second

// service is what is known of one.
type service struct {
	key     tcprt.Service
	names   tcprt.Names
	totals  tcprt.Totals // since the beginning, settled ones too
	kernel  tcprt.Totals // what the kernel counted until the last time
	settled tcprt.Totals // since the last time, that the kernel does not count
	before  tcprt.Totals // totals at the beginning of the turn
	older   tcprt.Totals // and of the one before that
	beganAt time.Time    // of older
	turned  time.Time
	limit   time.Duration // slow from here on
	rate    float64       // requests of the last second
	points  []Point
	point   tcprt.Totals // totals at the last Point
	worst   tcprt.Record // the slowest of the last minute
	worstAt time.Time
	waiting int           // requests under way, at the last look
	oldest  time.Duration // of those
	seen    bool
}

// take brings the kernel's counts in and gives what came since the last time.
func (s *service) take(t *tcprt.Totals, now time.Time, window *tcprt.Totals) {
	if t.Requests < s.kernel.Requests || t.Opened < s.kernel.Opened { // it was forgotten, and came again
		s.kernel = tcprt.Totals{}
	}
	*window = *t
	window.Sub(&s.kernel)
	s.kernel = *t
	window.Merge(&s.settled)
	s.settled = tcprt.Totals{}
	s.totals.Merge(window)
	s.rate = float64(window.Requests)
	s.seen = true
	if s.turned.IsZero() {
		s.beganAt, s.turned = now, now
	}
	if now.Sub(s.turned) >= recently {
		s.older, s.before = s.before, s.totals
		s.beganAt, s.turned = s.turned, now
	}
}

// recent is what the service did lately, and in how long.
func (s *service) recent(now time.Time) (t tcprt.Totals, span time.Duration) {
	t = s.totals
	t.Sub(&s.older)
	return t, max(time.Second, now.Sub(s.beganAt))
}

// Service is a service's present, as the API has it. Times are seconds.
type Service struct {
	ID         string             `json:"id"` // server:80@4026531840, for the API
	Name       string             `json:"name"`
	Role       string             `json:"role"`
	Port       uint16             `json:"port"`
	NetNS      uint32             `json:"netns"`
	Names      tcprt.Names        `json:"names"`
	Requests   uint64             `json:"requests"`    // since the agent came
	Rate       float64            `json:"rate"`        // requests a second; this and all below lately
	Failed     float64            `json:"failed"`      // share that was not answered whole
	P50        float64            `json:"p50_seconds"` // of complete ones, all phases
	P90        float64            `json:"p90_seconds"`
	P99        float64            `json:"p99_seconds"`
	Phases     map[string]float64 `json:"phase_mean_seconds"`
	PhasesP99  map[string]float64 `json:"phase_p99_seconds"`
	RTT        float64            `json:"rtt_seconds"` // median
	Retransmit float64            `json:"retransmits_per_second"`
	In         float64            `json:"request_bytes_per_second"`
	Out        float64            `json:"answer_bytes_per_second"`
	Open       uint64             `json:"connections"`
	Inflight   int                `json:"inflight"`
	Oldest     float64            `json:"inflight_oldest_seconds"`
	Slow       float64            `json:"slow_seconds"` // from here on a request is slow; 0 is not known yet
	Overlap    float64            `json:"overlap"`      // share that is of more than one request
}

func (s *service) view(now time.Time) Service {
	t, span := s.recent(now)
	v := Figures(s.key, &s.names, &t, span)
	v.Requests = s.totals.Requests
	v.Open, v.Inflight, v.Oldest, v.Slow = s.totals.Opened-s.totals.Closed, s.waiting, s.oldest.Seconds(), s.limit.Seconds()
	return v
}

// Figures makes a Service of what one did in a span of time.
func Figures(key tcprt.Service, n *tcprt.Names, t *tcprt.Totals, span time.Duration) Service {
	all := &t.Phases[tcprt.Phases]
	v := Service{
		ID: key.String(), Name: n.String(), Role: key.Role.String(), Port: key.Port, NetNS: key.NetNS, Names: *n,
		Requests: t.Requests, Rate: float64(t.Requests) / span.Seconds(),
		P50: all.Quantile(0.5).Seconds(), P90: all.Quantile(0.9).Seconds(), P99: all.Quantile(0.99).Seconds(),
		Phases: map[string]float64{}, PhasesP99: map[string]float64{}, RTT: t.RTT.Quantile(0.5).Seconds(),
		Retransmit: float64(t.Retransmits) / span.Seconds(), In: float64(t.RequestBytes) / span.Seconds(), Out: float64(t.AnswerBytes) / span.Seconds(),
	}
	if key == (tcprt.Service{}) {
		v.Name, v.Role = "other services", "both"
	}
	if t.Requests > 0 {
		v.Failed = float64(t.Failed()) / float64(t.Requests)
		v.Overlap = float64(t.Overlaps) / float64(t.Requests)
	}
	for p := range tcprt.Phases {
		h := &t.Phases[p]
		if h.Count() == 0 {
			continue
		}
		v.Phases[p.String()] = h.Mean().Seconds()
		v.PhasesP99[p.String()] = h.Quantile(0.99).Seconds()
	}
	return v
}

// Services gives all that did anything, the busiest first.
func (o *Observer) Services() []Service {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Service, 0, len(o.services))
	for _, s := range o.services {
		out = append(out, s.view(o.now))
	}
	slices.SortFunc(out, func(a, b Service) int {
		return cmp.Or(cmp.Compare(b.Rate, a.Rate), cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.ID, b.ID))
	})
	return out
}

// Told is what metrics are made of.
type Told struct {
	Service  tcprt.Service
	Names    *tcprt.Names
	Totals   *tcprt.Totals // since the beginning
	Worst    *Record       // the slowest request of the last minute, nil if there is no record of any
	Inflight int
	Oldest   time.Duration // of those under way
}

// Totals gives f each service. f must keep no pointer, and must not call the
// Observer.
func (o *Observer) Totals(f func(*Told)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for key, s := range o.services {
		t := Told{Service: key, Names: &s.names, Totals: &s.totals, Inflight: s.waiting, Oldest: s.oldest}
		if s.worst.T0 != 0 && o.now.Sub(s.worstAt) < worstOf {
			v := o.view(&s.worst)
			t.Worst = &v
		}
		f(&t)
	}
}

// worstOf is how long the slowest request of a service is that.
const worstOf = time.Minute

// compare notes a request if it is the slowest of its service.
func (s *service) compare(r *tcprt.Record, now time.Time) {
	if r.Total() > s.worst.Total() || now.Sub(s.worstAt) >= worstOf {
		s.worst, s.worstAt = *r, now
	}
}
