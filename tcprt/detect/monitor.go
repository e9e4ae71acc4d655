package detect

import (
	"math"

	"github.com/anole-os/anole/tcprt"
)

// MonitorOptions of a Monitor. The zero value works.
type MonitorOptions struct {
	// Detector is of all detectors; its Rule, Ratio and Least of those of times only.
	Detector Options
	Cauchy   bool // NewCauchy for the times, not NewRobust
	// Services is how many are known at a time; the one that was seen least lately
	// is forgotten. 512, of 40 KB each.
	Services int
}

// Monitor watches all signals of many services.
type Monitor struct {
	o     MonitorOptions
	known map[tcprt.Service]*service
	// head's next is the one seen last.
	head service
	lost uint64
}

// NewMonitor gives one that knows no service yet.
func NewMonitor(o MonitorOptions) *Monitor {
	set(&o.Services, 512)
	m := &Monitor{o: o}
	m.clear()
	return m
}

func (m *Monitor) clear() {
	m.known, m.lost = map[tcprt.Service]*service{}, 0
	m.head.prev, m.head.next = &m.head, &m.head
}

// Observe takes a service's next window, and how many of its requests were
// answered with an error where somebody knows. It gives an Event, and true, when
// one begins or ends.
func (m *Monitor) Observe(w *tcprt.Window, errors uint64) (Event, bool) {
	return m.service(w.Service).observe(w, errors)
}

// Ongoing gives the event that a service is in.
func (m *Monitor) Ongoing(key tcprt.Service) (Event, bool) {
	if v := m.known[key]; v != nil && v.s.Event.Signals != 0 {
		return v.s.Event.event(key), true
	}
	return Event{}, false
}

// Totals gives what a service does since its event looks like one, or did in its
// last window, and what is usual: of five to ten minutes of quiet windows. Both are
// the caller's.
func (m *Monitor) Totals(key tcprt.Service, now, usual *tcprt.Totals) bool {
	v := m.known[key]
	if v == nil {
		return false
	}
	*now, *usual = v.s.Lately, v.s.Usual[0]
	usual.Merge(&v.s.Usual[1])
	return true
}

// Usual gives what a signal of times usually is of a service, in the median of quiet
// windows, in seconds: some windows that were not do not change it. It is not known
// before enough windows were seen.
func (m *Monitor) Usual(key tcprt.Service, s Signal) (seconds float64, ok bool) {
	v := m.known[key]
	if v == nil || int(s) >= levels {
		return 0, false
	}
	l := &v.levels[s]
	if int(l.base.Count) < l.o.Warm {
		return 0, false
	}
	return math.Exp(l.base.quantile(0.5)), true
}

// Asks adds the services that one's cgroup asks, as a client, to a list: the one
// that was seen last first. A service whose cgroup is not known asks none.
func (m *Monitor) Asks(key tcprt.Service, out []tcprt.Service) []tcprt.Service {
	if key.Cgroup == 0 {
		return out
	}
	for v := m.head.next; v != &m.head; v = v.next {
		if v.key.Role == tcprt.Client && v.key.Cgroup == key.Cgroup && v.key != key {
			out = append(out, v.key)
		}
	}
	return out
}

// Known is how many services are, and Forgotten how many were for want of room.
func (m *Monitor) Known() int { return len(m.known) }

// Forgotten counts.
func (m *Monitor) Forgotten() uint64 { return m.lost }

// Forget drops a service, as one that ended.
func (m *Monitor) Forget(key tcprt.Service) {
	if v := m.known[key]; v != nil {
		v.unlink()
		delete(m.known, key)
	}
}

// service finds one, and makes it the one seen last.
func (m *Monitor) service(key tcprt.Service) *service {
	v := m.known[key]
	switch {
	case v != nil:
		v.unlink()
	case len(m.known) >= m.o.Services:
		v = m.head.prev
		v.unlink()
		delete(m.known, v.key)
		m.lost++
		v.reset(key, &m.o)
		m.known[key] = v
	default:
		v = new(service)
		v.reset(key, &m.o)
		m.known[key] = v
	}
	v.prev, v.next = &m.head, m.head.next
	v.prev.next, v.next.prev = v, v
	return v
}

func (v *service) unlink() { v.prev.next, v.next.prev = v.next, v.prev }
