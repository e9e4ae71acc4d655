package tcprt

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"

	"github.com/anole-os/anole/tcprt/bpf"
)

// A service that has no connection and did nothing for so long gives its place to
// another; what its connections still held of it is waited for first.
const (
	idleService = 10 * time.Minute
	graceOfSlot = 10 * time.Second
)

// slots are the places that services have in the kernel's counts. Place 0 is shared
// by all that found none free.
type slots struct {
	services, places, counts, limits, owners *ebpf.Map
	each                                     []bpf.TcprtCount // of a CPU
	known                                    map[uint32]*slot
}

type slot struct {
	service Service
	totals  Totals
	last    bpf.TcprtCount // all CPUs together, each counter modulo its width
	changed time.Time
	retired time.Time // its key was taken away; zero is not
}

func (s *slots) open(coll *ebpf.Collection) error {
	s.services, s.places, s.counts = coll.Maps["services"], coll.Maps["places"], coll.Maps["counts"]
	s.limits, s.owners = coll.Maps["limits"], coll.Maps["owners"]
	s.known = map[uint32]*slot{0: {}}
	for i := uint32(1); i < s.counts.MaxEntries(); i++ {
		if err := s.places.Put(nil, i); err != nil {
			return fmt.Errorf("lay out the places of services: %w", err)
		}
	}
	return nil
}

// Owner is the process that had to do with a service last: that made its latest
// connection, or first read from it. The zero Owner is not known.
type Owner struct {
	PID     uint32
	Command Command
}

// Services gives f what each service has done since Open, and of the zero Service
// what those did for which there was no place: 255 can be counted at a time. f must
// not keep the pointer. A service that did nothing for ten minutes and has no
// connection left is forgotten.
func (c *Collector) Services(f func(Service, *Totals, Owner)) error {
	c.mu.Lock()
	closed := c.closed
	c.mu.Unlock()
	if closed {
		return fmt.Errorf("read the counts of services: %w", os.ErrClosed)
	}
	return c.slots.read(time.Now(), c.tick, f)
}

func (s *slots) read(now time.Time, tick time.Duration, f func(Service, *Totals, Owner)) error {
	var key bpf.TcprtService
	var at uint32
	it := s.services.Iterate()
	for it.Next(&key, &at) {
		if s.known[at] == nil {
			s.known[at] = &slot{service: Service{Role: Role(key.Role), Port: key.Port, NetNS: key.Netns, Cgroup: key.Cgroup}, changed: now}
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("list services: %w", err)
	}
	for at, e := range s.known {
		if err := s.counts.Lookup(at, &s.each); err != nil {
			return fmt.Errorf("read the counts of a service: %w", err)
		}
		if e.add(s.each, tick) {
			e.changed = now
		}
		// One that is being forgotten may have come again, in another place.
		if e.totals.Requests+e.totals.Opened > 0 && e.retired.IsZero() {
			f(e.service, &e.totals, s.owner(at))
		}
		if err := s.retire(at, e, now); err != nil {
			return err
		}
	}
	return nil
}

func (s *slots) owner(at uint32) (o Owner) {
	var k bpf.TcprtOwner
	if at == 0 || s.owners.Lookup(at, &k) != nil {
		return o
	}
	o.PID = k.Pid
	for i, b := range k.Comm {
		o.Command[i] = byte(b)
	}
	return o
}

// retire gives a place back in two steps: first no connection finds it any more,
// then, if none had it, it is free.
func (s *slots) retire(at uint32, e *slot, now time.Time) error {
	switch {
	case at == 0 || e.totals.Opened != e.totals.Closed:
		return nil
	case e.retired.IsZero():
		if now.Sub(e.changed) < idleService {
			return nil
		}
		e.retired = now
		err := s.services.Delete(bpf.TcprtService{Cgroup: e.service.Cgroup, Netns: e.service.NetNS, Port: e.service.Port, Role: uint8(e.service.Role)})
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget a service: %w", err)
		}
		return nil
	case now.Sub(e.retired) < graceOfSlot || now.Sub(e.changed) < graceOfSlot:
		return nil
	}
	if err := s.counts.Put(at, make([]bpf.TcprtCount, len(s.each))); err != nil {
		return fmt.Errorf("clear a service's counts: %w", err)
	}
	if err := s.limits.Put(at, uint64(0)); err != nil {
		return fmt.Errorf("clear a service's limit: %w", err)
	}
	if err := s.owners.Put(at, bpf.TcprtOwner{}); err != nil {
		return fmt.Errorf("clear a service's owner: %w", err)
	}
	if err := s.places.Put(nil, at); err != nil {
		return fmt.Errorf("give a service's place back: %w", err)
	}
	delete(s.known, at)
	return nil
}

// add takes what all CPUs counted since the last time, and says whether that was
// anything.
func (e *slot) add(each []bpf.TcprtCount, tick time.Duration) bool {
	var sum bpf.TcprtCount
	for i := range each {
		merge(&sum, &each[i])
	}
	if sum == e.last {
		return false
	}
	t, l := &e.totals, &e.last
	t.Requests += sum.Requests - l.Requests
	t.AbortedRequests += sum.AbortedRequests - l.AbortedRequests
	t.AbortedAnswers += sum.AbortedAnswers - l.AbortedAnswers
	t.OneWay += sum.OneWay - l.OneWay
	t.Overlaps += sum.Overlaps - l.Overlaps
	t.Piggybacks += sum.Piggybacks - l.Piggybacks
	t.RequestBytes += sum.RequestBytes - l.RequestBytes
	t.AnswerBytes += sum.AnswerBytes - l.AnswerBytes
	t.Retransmits += sum.Retrans - l.Retrans
	t.OutOfOrder += sum.Reorder - l.Reorder
	t.ZeroWindows += sum.ZeroWindows - l.ZeroWindows
	t.Opened += sum.Opened - l.Opened
	t.Closed += sum.Closed - l.Closed
	t.Unconnected += sum.Unconnected - l.Unconnected
	for i := range sum.Chrono {
		t.Busy += time.Duration(sum.Chrono[i]-l.Chrono[i]) * tick
	}
	t.WindowLimited += time.Duration(sum.Chrono[1]-l.Chrono[1]) * tick
	t.BufferLimited += time.Duration(sum.Chrono[2]-l.Chrono[2]) * tick
	for p := range t.Phases {
		histogram(&t.Phases[p], &sum, l, p)
	}
	histogram(&t.RTT, &sum, l, int(bpf.TcprtShapeRTT))
	e.last = sum
	return true
}

func histogram(h *Histogram, now, before *bpf.TcprtCount, p int) {
	h.Sum += time.Duration(now.Sum[p] - before.Sum[p])
	h.Counts[0] += uint64(now.Zeros[p] - before.Zeros[p]) // modulo 2³², as all
	for i := range h.Counts {
		h.Counts[i] += uint64(now.Buckets[p][i] - before.Buckets[p][i])
	}
}

func merge(to, from *bpf.TcprtCount) {
	to.Requests += from.Requests
	to.AbortedRequests += from.AbortedRequests
	to.AbortedAnswers += from.AbortedAnswers
	to.OneWay += from.OneWay
	to.Overlaps += from.Overlaps
	to.Piggybacks += from.Piggybacks
	to.RequestBytes += from.RequestBytes
	to.AnswerBytes += from.AnswerBytes
	to.Retrans += from.Retrans
	to.Reorder += from.Reorder
	to.ZeroWindows += from.ZeroWindows
	to.Opened += from.Opened
	to.Closed += from.Closed
	to.Unconnected += from.Unconnected
	for i := range to.Chrono {
		to.Chrono[i] += from.Chrono[i]
	}
	for p := range to.Sum {
		to.Sum[p] += from.Sum[p]
		to.Zeros[p] += from.Zeros[p]
		for i := range to.Buckets[p] {
			to.Buckets[p][i] += from.Buckets[p][i]
		}
	}
}

// SetLimit makes a service's requests slow from d on, for EmitSlow; 0 makes none.
// It does nothing for one that Services did not give.
func (c *Collector) SetLimit(of Service, d time.Duration) error {
	for at, e := range c.slots.known {
		if e.service != of || !e.retired.IsZero() {
			continue
		}
		if err := c.slots.limits.Put(at, uint64(max(0, d))); err != nil {
			return fmt.Errorf("limit a service's requests: %w", err)
		}
	}
	return nil
}
