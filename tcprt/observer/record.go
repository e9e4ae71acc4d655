package observer

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
)

// Record is one request, as the API has it. Times are seconds.
type Record struct {
	Time        time.Time          `json:"time"` // when it began
	Service     string             `json:"service"`
	Name        string             `json:"name"`
	Role        string             `json:"role"`
	Number      uint32             `json:"number"`
	Local       netip.AddrPort     `json:"local"`
	Remote      netip.AddrPort     `json:"remote"`
	PID         uint32             `json:"pid,omitempty"`
	Command     string             `json:"command,omitempty"`
	Total       float64            `json:"total_seconds"`
	Phases      map[string]float64 `json:"phases_seconds"`
	Age         float64            `json:"age_seconds,omitempty"` // of one that is under way
	State       string             `json:"state,omitempty"`       // likewise: receiving, waiting, answering
	Request     uint32             `json:"request_bytes"`
	Answer      uint32             `json:"answer_bytes"`
	Unacked     uint32             `json:"unacked_bytes,omitempty"`
	Retransmits uint32             `json:"retransmits,omitempty"`
	OutOfOrder  uint32             `json:"out_of_order,omitempty"`
	ZeroWindows uint32             `json:"zero_windows,omitempty"`
	Busy        float64            `json:"busy_seconds,omitempty"`
	Window      float64            `json:"window_limited_seconds,omitempty"`
	Buffer      float64            `json:"buffer_limited_seconds,omitempty"`
	RTT         float64            `json:"rtt_seconds"`
	MinRTT      float64            `json:"min_rtt_seconds"`
	Flags       string             `json:"flags,omitempty"`
}

// view makes a Record for the API; the lock is held.
func (o *Observer) view(r *tcprt.Record) Record {
	key := r.Service()
	v := Record{
		Time: time.Unix(0, int64(r.T0+o.offset)), Service: ID(key), Role: r.Role.String(), Number: r.Number, Local: r.Local, Remote: r.Remote,
		PID: r.PID, Command: term.Clean(r.Command.String()), Total: r.Total().Seconds(), Phases: map[string]float64{},
		Request: r.RequestBytes, Answer: r.AnswerBytes, Unacked: r.Unacked, Retransmits: r.Retransmits, OutOfOrder: r.OutOfOrder, ZeroWindows: r.ZeroWindows,
		Busy: r.Busy.Seconds(), Window: r.WindowLimited.Seconds(), Buffer: r.BufferLimited.Seconds(),
		RTT: r.RTT.Seconds(), MinRTT: r.MinRTT.Seconds(), Flags: r.Flags.String(),
	}
	if s := o.services[key]; s != nil {
		v.Name = s.names.String()
	}
	if v.Name == "" || v.Name == "-" {
		v.Name = cmp.Or(v.Command, "-")
	}
	for p := range tcprt.Phases {
		if p == tcprt.Queue && r.Read == 0 || p == tcprt.Send && r.Last == 0 {
			continue
		}
		v.Phases[p.String()] = r.Phase(p).Seconds()
	}
	return v
}

// keep puts a record into the ring and tells those who listen; the lock is held.
func (o *Observer) keep(r *tcprt.Record) {
	o.told++
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
		f.Failed && r.Complete(),
		f.Resent && r.Retransmits == 0,
		f.Remote.IsValid() && !f.Remote.Contains(r.Remote.Addr()),
		!f.Since.IsZero() && time.Unix(0, int64(r.T0+o.offset)).Before(f.Since),
		f.Service != "" && ID(r.Service()) != f.Service:
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
	var found []tcprt.Pending
	err = o.c.Pending(func(p *tcprt.Pending) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if f.AtLeast > 0 && p.Age() < f.AtLeast {
			return
		}
		g := f
		g.AtLeast = 0
		if g.match(o, &p.Record) {
			found = append(found, *p)
		}
	})
	if err != nil {
		return nil, 0, err
	}
	slices.SortFunc(found, func(a, b tcprt.Pending) int { return cmp.Compare(b.Age(), a.Age()) })
	o.mu.Lock()
	defer o.mu.Unlock()
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
