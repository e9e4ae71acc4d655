package observer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/attr"
)

const (
	tick   = time.Second
	drain  = 100 * time.Millisecond
	settle = 2 * time.Second // requests are told of so long after their connection fell silent
	enough = 200             // requests that make a percentile worth having
	// betweenMoments is from one measurement of the kernel's programs to the next.
	betweenMoments = 10 * time.Second
)

// Observer is running. All methods but Run are safe for concurrent use.
type Observer struct {
	cfg  Config
	log  *slog.Logger
	c    source
	attr *attr.Resolver
	best tcprt.Tier
	root string

	mu        sync.Mutex // guards what follows
	services  map[tcprt.Service]*service
	ring      []tcprt.Record
	next      int
	told      uint64
	listeners map[*Listener]bool
	taps      map[*Tap]bool
	offset    time.Duration // of the wall clock to the monotonic one
	now       time.Time
	status    Status
	budget    budget
	judge     judge
	kinds     kinds

	// of Run alone
	window             tcprt.Totals
	seconds            tcprt.Window
	ticks              int
	costAt             time.Time
	threadWas          time.Duration
	meter              meter
	settled, stepBegan time.Time
}

// Status is an Observer's condition.
type Status struct {
	Tier     tcprt.Tier `json:"tier"`
	Short    string     `json:"short,omitempty"`    // why there is no higher one
	NoHints  string     `json:"no_hints,omitempty"` // why requests do not tell what they are, though l7 is on
	Level    string     `json:"level"`              // how far the budget lets it go
	Skip     uint32     `json:"one_connection_of"`
	Cost     float64    `json:"cpu"`        // share of a CPU: the agent's own part and the kernel's
	Kernel   float64    `json:"cpu_kernel"` // the kernel's
	Services int        `json:"services"`
	Kept     int        `json:"records_kept"`
	Records  uint64     `json:"records"`
	Dropped  uint64     `json:"records_dropped"`
	Missed   uint64     `json:"segments_missed"`
	Unopened uint64     `json:"connections_unopened"`
	SYNACKs  uint64     `json:"synack_retransmits"`
	Strays   uint64     `json:"stray_retransmits"`
	Problem  string     `json:"problem,omitempty"`
}

// Open begins to measure; the caller must Run and Close. The error wraps a
// *feature.UnsupportedError where the node cannot have the tier that is asked for;
// with auto it can always have sockdiag.
func Open(o Options) (*Observer, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	c, hints, err := openSource(&o)
	if err != nil {
		return nil, err
	}
	v := newObserver(&o, c)
	if hints != nil {
		v.status.NoHints = hints.Error()
	}
	return v, nil
}

// newObserver makes an Observer of a source.
func newObserver(o *Options, c source) *Observer {
	v := &Observer{
		cfg: o.Config, log: o.Log, c: c, attr: attr.New(o.Root, o.Records), best: c.Tier(), root: o.Root, judge: newJudge(o), services: map[tcprt.Service]*service{},
		listeners: map[*Listener]bool{}, taps: map[*Tap]bool{}, budget: budget{limit: o.CPU / 100}, meter: meter{c: c},
	}
	if err := c.Short(); err != nil {
		v.status.Short = err.Error()
	}
	v.clock(time.Now())
	return v
}

// Close ends the measurement. Run must have returned.
func (o *Observer) Close() error { return errors.Join(o.meter.stop(), o.c.Close(), o.attr.Close()) }

// Run works until ctx ends or the kernel gives no more.
func (o *Observer) Run(ctx context.Context) error {
	runtime.LockOSThread() // whose CPU time is the cost
	defer runtime.UnlockOSThread()
	next := time.Now().Add(tick)
	for ctx.Err() == nil {
		if err := o.c.Drain(drain, o.take); err != nil {
			return err
		}
		o.flush()
		now := time.Now()
		if now.Before(next) {
			continue
		}
		if err := o.step(now); err != nil {
			return err
		}
		if next = next.Add(tick); next.Before(now) {
			next = now.Add(tick)
		}
	}
	return o.c.Drain(0, o.take)
}

func (o *Observer) take(r *tcprt.Record) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keep(r)
}

// flush gives the taps what they have not got yet.
func (o *Observer) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for t := range o.taps {
		t.flush()
	}
}

// clock notes how the wall clock stands to the kernel's times.
func (o *Observer) clock(now time.Time) {
	if offset, err := tcprt.ClockOffset(); err == nil {
		o.offset = offset
	}
	o.now = now
}

// step is what is done each second.
func (o *Observer) step(now time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.clock(now)
	o.ticks++
	if err := o.count(now); err != nil {
		return err
	}
	o.feel(now)
	o.review()
	o.report(now)
	if now.Sub(o.settled) >= settle {
		o.settled = now
		if err := o.c.Settle(settle, o.settle); err != nil {
			return err
		}
		if err := o.wait(); err != nil {
			return err
		}
	}
	if now.Sub(o.stepBegan) >= stepOf {
		if !o.stepBegan.IsZero() {
			for _, s := range o.services {
				s.note(now, now.Sub(o.stepBegan))
			}
		}
		o.stepBegan = now
	}
	return o.account(now)
}

// count reads the kernel's counts and names the services.
func (o *Observer) count(now time.Time) error {
	for _, s := range o.services {
		s.seen = false
	}
	err := o.c.Services(func(key tcprt.Service, t *tcprt.Totals, owner tcprt.Owner) {
		o.attr.Saw(key, owner, now)
		s := o.services[key]
		if s == nil {
			s = &service{key: key}
			o.services[key] = s
		}
		s.take(t, now, &o.window)
		o.observe(s, &o.window, now)
	})
	if err != nil {
		return err
	}
	for key, s := range o.services {
		if !s.seen && key != (tcprt.Service{}) {
			delete(o.services, key)
			o.judge.monitor.Forget(key)
			continue
		}
		if key != (tcprt.Service{}) {
			s.names = o.attr.Names(key, now)
		}
		if err := o.limit(s, now); err != nil {
			return err
		}
	}
	there := func(s tcprt.Service) bool { return o.services[s] != nil }
	o.attr.Forget(there)
	o.kinds.forget(there)
	return nil
}

// limit makes the slowest hundredth of a service's requests slow.
func (o *Observer) limit(s *service, now time.Time) error {
	t, _ := s.recent(now)
	all := &t.Phases[tcprt.Phases]
	if o.cfg.Records != Tail || all.Count() < enough {
		return nil
	}
	d := all.Quantile(0.99)
	if d == s.limit {
		return nil
	}
	s.limit = d
	return o.c.SetLimit(s.key, d)
}

// settle takes a request that was over long ago: the kernel has not counted it.
func (o *Observer) settle(r *tcprt.Record) {
	if s := o.services[r.Service()]; s != nil {
		s.settled.Add(r)
	}
	if o.cfg.Records != None || o.wantAll() {
		o.keep(r)
	}
}

// wait counts the requests that are under way.
func (o *Observer) wait() error {
	for _, s := range o.services {
		s.waiting, s.oldest = 0, 0
	}
	return o.c.Pending(func(p *tcprt.Pending) {
		if s := o.services[p.Service()]; s != nil {
			s.waiting++
			s.oldest = max(s.oldest, p.Age())
		}
	})
}

// account adds up the cost and holds it below the budget.
func (o *Observer) account(now time.Time) error {
	var thread unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &thread); err != nil {
		return fmt.Errorf("read the cost: %w", err)
	}
	if o.best == tcprt.SockDiag {
		// There is no program to measure.
	} else if err := o.meter.step(now); err != nil && o.status.Problem == "" {
		o.status.Problem = err.Error()
	}
	share := o.costOf(now, time.Duration(thread.Nano())) + o.meter.share
	o.status.Cost, o.status.Kernel = share, o.meter.share
	if !o.budget.step(share) {
		return nil
	}
	o.log.Warn("request timing keeps within its budget", "level", o.budget.at.String(), "cpu", share, "limit", o.budget.limit)
	return o.apply(o.budget.at)
}

// Dropped is how many records the kernel had no room for.
func (o *Observer) Dropped() (uint64, error) {
	s, err := o.c.Stats()
	return s.Dropped, err
}

// Status tells the condition.
func (o *Observer) Status() Status {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.status
	s.Tier, s.Level, s.Skip = o.c.Tier(), o.budget.at.String(), o.budget.at.skip()
	s.Services, s.Kept = len(o.services), len(o.ring)
	if k, err := o.c.Stats(); err != nil {
		s.Problem = err.Error()
	} else {
		s.Records, s.Dropped, s.Missed, s.SYNACKs, s.Strays = k.Records, k.Dropped, k.Missed, k.SYNACKs, k.Strays
		s.Unopened = k.Unopened
	}
	return s
}
