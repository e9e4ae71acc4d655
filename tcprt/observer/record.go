package observer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/jsonl"
)

// Record is one request, as the API has it.
type Record = jsonl.Record

// view makes a Record for the API; the lock is held.
func (o *Observer) view(r *tcprt.Record) Record {
	var n tcprt.Names
	if s := o.services[r.Service()]; s != nil {
		n = s.names
	}
	return jsonl.Of(r, &n, o.offset)
}

// keep puts a record into the ring and tells those who listen; the lock is held.
func (o *Observer) keep(r *tcprt.Record) {
	o.told++
	o.kinds.add(r)
	for t := range o.taps {
		t.add(r)
	}
	if len(o.ring) < o.cfg.Keep {
		o.ring = append(o.ring, *r)
	} else {
		o.ring[o.next] = *r
	}
	if o.next++; o.next == o.cfg.Keep {
		o.next = 0
	}
	s := o.services[r.Service()]
	if s == nil { // the kernel's counts are read later
		s = &service{key: r.Service()}
		o.services[s.key] = s
	}
	s.compare(r, o.now)
	for l := range o.listeners {
		if l.filter.match(o, r) {
			select {
			case l.c <- o.view(r):
			default:
				l.lost++
			}
		}
	}
}

// Filter chooses records. The zero value takes all.
type Filter struct {
	Service string        // an ID, all when empty
	Name    string        // of a container, pod, unit or command; all when empty
	Role    tcprt.Role    // both when 0
	AtLeast time.Duration // in all
	Failed  bool          // aborted ones only
	Resent  bool          // with segments sent again only
	Remote  netip.Prefix  // all when not valid
	Since   time.Time     // begun since then
}

func (f *Filter) match(o *Observer, r *tcprt.Record) bool {
	switch {
	case f.Role != 0 && r.Role != f.Role,
		f.AtLeast > 0 && r.Total() < f.AtLeast,
		f.Failed && !r.Failed(),
		f.Resent && r.Retransmits == 0,
		f.Remote.IsValid() && !f.Remote.Contains(r.Remote.Addr()),
		!f.Since.IsZero() && time.Unix(0, int64(r.T0+o.offset)).Before(f.Since),
		f.Service != "" && r.Service().String() != f.Service:
		return false
	}
	return f.Name == "" || o.named(r, f.Name)
}

// named says whether any of a record's names is this one.
func (o *Observer) named(r *tcprt.Record, name string) bool {
	if r.Command.String() == name {
		return true
	}
	s := o.services[r.Service()]
	if s == nil {
		return false
	}
	n := &s.names
	return name == n.Pod || name == n.Container || name == n.Unit || name == n.Command || name == n.String()
}

// Slow gives the slowest of the records that are kept, most of them at most.
func (o *Observer) Slow(f Filter, most int) []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	var at []int
	for i := range o.ring {
		if f.match(o, &o.ring[i]) {
			at = append(at, i)
		}
	}
	slices.SortFunc(at, func(a, b int) int { return cmp.Compare(o.ring[b].Total(), o.ring[a].Total()) })
	out := make([]Record, 0, min(most, len(at)))
	for _, i := range at[:min(most, len(at))] {
		out = append(out, o.view(&o.ring[i]))
	}
	return out
}

// Inflight gives the requests under way, the oldest first, most of them at most, and
// how many there are.
func (o *Observer) Inflight(f Filter, most int) (out []Record, all int, err error) {
	// Not under the Observer's lock: whoever holds that asks the kernel too.
	var found []tcprt.Pending
	if err := o.c.Pending(func(p *tcprt.Pending) {
		if p.Age() >= f.AtLeast {
			found = append(found, *p)
		}
	}); err != nil {
		return nil, 0, err
	}
	f.AtLeast = 0 // which is of their age
	o.mu.Lock()
	defer o.mu.Unlock()
	found = slices.DeleteFunc(found, func(p tcprt.Pending) bool { return !f.match(o, &p.Record) })
	slices.SortFunc(found, func(a, b tcprt.Pending) int { return cmp.Compare(b.Age(), a.Age()) })
	for i := range found[:min(most, len(found))] {
		p := &found[i]
		v := o.view(&p.Record)
		v.Age = p.Age().Seconds()
		v.State = "waiting"
		if p.T2 != 0 {
			v.State = "answering"
		}
		out = append(out, v)
	}
	return out, len(found), nil
}

// Listener gets records as they come.
type Listener struct {
	c      chan Record
	filter Filter
	lost   uint64
}

// C gives the records; it is not closed.
func (l *Listener) C() <-chan Record { return l.c }

// Listen gives the records that come from now on, as far as they are taken: those
// for which there is no room are dropped. The caller must Leave.
func (o *Observer) Listen(f Filter) *Listener {
	l := &Listener{c: make(chan Record, 1024), filter: f}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listeners[l] = true
	return l
}

// Leave ends it, and gives how many records were dropped.
func (o *Observer) Leave(l *Listener) uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.listeners, l)
	return l.lost
}
