package observer

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
	"github.com/anole-os/anole/tcprt/detect"
	"github.com/anole-os/anole/tcprt/host"
	"github.com/anole-os/anole/tcprt/locate"
	"github.com/anole-os/anole/workload"
)

const (
	keptEvents  = 256
	watched     = 32  // services whose host is looked at
	sampleSize  = 64  // records that a verdict is of
	quietWeight = 0.1 // of a second in what is usual of the host
)

// judge finds services that are not as they were, and says why.
type judge struct {
	monitor *detect.Monitor
	host    map[tcprt.Service]*pressure
	events  []*event // the newest last
	next    uint64
	causes  [blame.Causes]uint64 // of events that ended
	tell    *workload.Breaches   // nil is nobody
}

// event is an anomaly of a service and what is thought of it.
type event struct {
	id      uint64
	key     tcprt.Service
	name    string
	e       detect.Event
	verdict blame.Verdict
	where   []locate.Component
	samples []tcprt.Record
	p99     time.Duration // of all requests since it began
	usual   time.Duration // and of quiet times
}

// pressure is what holds up a service's cgroup.
type pressure struct {
	last       host.Counters
	now, usual blame.Pressure
	warm       bool
	gen        int
}

func newJudge(o *Options) judge {
	return judge{monitor: detect.NewMonitor(detect.MonitorOptions{Detector: o.Detect}), tell: o.Breaches, host: map[tcprt.Service]*pressure{}}
}

// observe takes a service's second; the lock is held.
func (o *Observer) observe(s *service, w *tcprt.Totals, now time.Time) {
	if s.key == (tcprt.Service{}) {
		return
	}
	j := &o.judge
	window := &o.seconds
	window.Service, window.Start, window.Length, window.Totals = s.key, now.Add(-tick), tick, *w
	e, changed := j.monitor.Observe(window, 0)
	switch {
	case changed && e.Ongoing():
		j.next++
		ev := &event{id: j.next, key: s.key, name: s.names.String(), e: e}
		if len(j.events) == keptEvents {
			j.events = j.events[1:]
		}
		j.events = append(j.events, ev)
		o.explain(ev)
		o.log.Warn("service is slower than usual", "service", ev.name, "port", s.key.Port, "role", s.key.Role.String(), "signal", e.Signal.String(), "cause", ev.verdict.Cause.String())
	case changed:
		for _, ev := range j.events {
			if ev.key == s.key && ev.e.Ongoing() {
				ev.e = e
				j.causes[ev.verdict.Cause]++
			}
		}
	}
}

// review looks again at what goes on: with each second there is more to see.
func (o *Observer) review() {
	for _, ev := range o.judge.events {
		if !ev.e.Ongoing() {
			continue
		}
		e, ok := o.judge.monitor.Ongoing(ev.key)
		if !ok {
			ev.e.End = o.now // forgotten
			continue
		}
		ev.e = e
		o.explain(ev)
	}
}

// explain asks why.
func (o *Observer) explain(ev *event) {
	j := &o.judge
	var now, usual tcprt.Totals
	if !j.monitor.Totals(ev.key, &now, &usual) {
		return
	}
	ev.p99, ev.usual = now.Phases[tcprt.Phases].Quantile(0.99), usual.Phases[tcprt.Phases].Quantile(0.99)
	if u, ok := j.monitor.Usual(ev.key, detect.TotalP99); ok {
		ev.usual = time.Duration(u * float64(time.Second)) // the first anomalous second may be among the totals
	}
	c := blame.Case{Service: ev.key, Name: ev.name, Now: &now, Baseline: &usual}
	ev.samples = o.latest(ev.key, ev.e.Start.Add(-tick), ev.samples[:0])
	c.Samples = ev.samples
	for _, d := range o.asks(ev.key) {
		p := blame.Pair{Now: new(tcprt.Totals), Baseline: new(tcprt.Totals)}
		if s := o.services[d]; s != nil {
			p.Name = s.names.String()
		}
		if j.monitor.Totals(d, p.Now, p.Baseline) {
			c.Downstream = append(c.Downstream, p)
		}
	}
	if p := j.host[ev.key]; p != nil && p.warm {
		c.Host = &blame.Host{Now: p.now, Baseline: p.usual}
	}
	ev.verdict = blame.Explain(&c)
	tally := locate.NewTally("peer_subnet", 256)
	limit := 2 * usual.Phases[tcprt.Phases].Quantile(0.9)
	tally.Records(ev.samples, locate.Subnet, func(r *tcprt.Record) bool { return r.Failed() || r.Total() > limit })
	ev.where = tally.Find(locate.Options{})
}

// asks are the services that one's process asks: those of its cgroup on a node where
// sockets have one, or else of its process.
func (o *Observer) asks(key tcprt.Service) []tcprt.Service {
	if key.Role != tcprt.Server {
		return nil
	}
	if key.Cgroup > 1 && !o.attr.Shared(key) {
		return slices.DeleteFunc(o.judge.monitor.Asks(key, nil), func(d tcprt.Service) bool { return itself(key, d) })
	}
	pid := o.attr.PID(key)
	var out []tcprt.Service
	for d := range o.services {
		if pid != 0 && d.Role == tcprt.Client && o.attr.PID(d) == pid && !itself(key, d) {
			out = append(out, d)
		}
	}
	return out
}

// itself says whether what is asked is the service that asks.
func itself(key, asked tcprt.Service) bool {
	return asked.Port == key.Port && asked.NetNS == key.NetNS
}

// latest gives records of a service that are kept, since a time.
func (o *Observer) latest(key tcprt.Service, since time.Time, out []tcprt.Record) []tcprt.Record {
	from := time.Duration(since.UnixNano()) - o.offset
	for i := range o.ring {
		r := &o.ring[(o.next+len(o.ring)-1-i)%len(o.ring)]
		if r.End < from || len(out) == sampleSize {
			break
		}
		if r.Service() == key {
			out = append(out, *r)
		}
	}
	return out
}

// feel looks at what holds up the busiest services' processes.
func (o *Observer) feel(now time.Time) {
	j := &o.judge
	var all []*service
	for key, s := range o.services {
		if key.Role == tcprt.Server && s.rate > 0 && (o.attr.PID(key) != 0 || o.attr.Cgroup(key) != "") {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b *service) int { return cmp.Compare(b.rate, a.rate) })
	for _, s := range all[:min(len(all), watched)] {
		p := j.host[s.key]
		if p == nil {
			p = &pressure{}
			j.host[s.key] = p
		}
		p.gen = o.ticks
		at := host.Read(o.root, o.attr.Cgroup(s.key), o.attr.PID(s.key), now)
		if !p.last.At.IsZero() {
			_, amiss := j.monitor.Ongoing(s.key)
			p.take(at.Since(&p.last), amiss)
		}
		p.last = at
	}
	for key, p := range j.host {
		if o.ticks-p.gen > 60 {
			delete(j.host, key)
		}
	}
}

// take mixes a second in: what is usual is learnt while all is well. Now is of the
// last seconds, for one alone says little.
func (p *pressure) take(x blame.Pressure, amiss bool) {
	if !p.warm {
		p.now, p.usual, p.warm = x, x, true
		return
	}
	mix(&p.now, &x, 0.5)
	if !amiss {
		mix(&p.usual, &x, quietWeight)
	}
}

func mix(to, x *blame.Pressure, w float64) {
	from := x.Fields()
	for i, f := range to.Fields() {
		*f += w * (*from[i] - *f)
	}
}

// Anomaly is a time in which a service was not as it was, as the API has it.
type Anomaly struct {
	ID        uint64             `json:"id"`
	Service   string             `json:"service"`
	Name      string             `json:"name"`
	Role      string             `json:"role"`
	Port      uint16             `json:"port"`
	Start     time.Time          `json:"start"`
	End       *time.Time         `json:"end,omitempty"` // not while it goes on
	Signal    string             `json:"signal"`
	Usual     float64            `json:"usual"` // of the signal: seconds, or a share
	Now       float64            `json:"now"`
	Score     float64            `json:"score"`
	Cause     string             `json:"cause"`
	Component string             `json:"component"`
	Sure      float64            `json:"sure"`
	Shares    map[string]float64 `json:"shares"`
	Excess    map[string]float64 `json:"excess_seconds"`
	Evidence  []string           `json:"evidence"`
	Where     []string           `json:"where,omitempty"`
	Adopted   bool               `json:"adopted,omitempty"`
	Slowest   []Record           `json:"slowest,omitempty"`
}

// Anomalies gives those that are kept, the newest first.
func (o *Observer) Anomalies() []Anomaly {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]Anomaly, 0, len(o.judge.events))
	for _, ev := range slices.Backward(o.judge.events) {
		out = append(out, o.anomaly(ev))
	}
	return out
}

func (o *Observer) anomaly(ev *event) Anomaly {
	a := AnomalyOf(&ev.e, &ev.verdict, ev.name)
	a.ID = ev.id
	for i := range ev.where {
		a.Where = append(a.Where, ev.where[i].String())
	}
	slowest := slices.Clone(ev.samples)
	slices.SortFunc(slowest, func(a, b tcprt.Record) int { return cmp.Compare(b.Total(), a.Total()) })
	for i := range slowest[:min(5, len(slowest))] {
		a.Slowest = append(a.Slowest, o.view(&slowest[i]))
	}
	return a
}

// AnomalyOf makes one of an event and its verdict.
func AnomalyOf(e *detect.Event, v *blame.Verdict, name string) Anomaly {
	a := Anomaly{
		Service: e.Service.String(), Name: name, Role: e.Service.Role.String(), Port: e.Service.Port, Start: e.Start, Signal: e.Signal.String(),
		Usual: e.Baseline, Now: e.Now, Score: e.Score, Cause: v.Cause.String(), Component: v.Component, Sure: v.Score,
		Shares: map[string]float64{}, Excess: map[string]float64{}, Evidence: v.Evidence, Adopted: e.Adopted,
	}
	if !e.Ongoing() {
		end := e.End
		a.End = &end
	}
	for c := range blame.Causes {
		if share := v.Shares[c]; share > 0.005 {
			a.Shares[c.String()] = share
		}
	}
	for p := range v.Excess {
		if d := v.Excess[p]; d != 0 {
			a.Excess[tcprt.Phase(p).String()] = d.Seconds()
		}
	}
	return a
}

// Suspects gives f the services in which an anomaly goes on, with its cause. f must
// not keep the pointer, and must not call the Observer.
func (o *Observer) Suspects(f func(tcprt.Service, *tcprt.Names, blame.Cause, float64)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	seen := map[string]bool{} // services of the same names are one
	for _, ev := range o.judge.events {
		s := o.services[ev.key]
		if !ev.e.Ongoing() || s == nil {
			continue
		}
		id := fmt.Sprint(ev.key.Role, ev.key.Port, s.names, ev.verdict.Cause)
		if !seen[id] {
			seen[id] = true
			f(ev.key, &s.names, ev.verdict.Cause, ev.e.Score)
		}
	}
}

// Causes counts the anomalies that there were, by the cause that was thought of
// last.
func (o *Observer) Causes() (n [blame.Causes]uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	n = o.judge.causes
	for _, ev := range o.judge.events {
		if !ev.e.Ongoing() {
			continue // counted at its end
		}
		n[ev.verdict.Cause]++
	}
	return n
}
