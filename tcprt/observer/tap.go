package observer

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/trt"
)

// ErrBusy is of too many Taps.
var ErrBusy = errors.New("four recordings are made already")

const (
	mostTaps   = 5    // with that of the agent's exporters
	tapBatch   = 1024 // a receiver is woken for each
	tapBatches = 32   // some 13 MB
)

// Tap gives records as the kernel told of them.
type Tap struct {
	o     *Observer
	all   bool
	c     chan []tcprt.Record
	free  chan []tcprt.Record // batches to fill again
	batch []tcprt.Record      // the Observer's lock guards it
	lost  atomic.Uint64
}

// Tap begins one. With all the kernel tells of every request meanwhile, as far as the
// budget allows. The caller must Close.
func (o *Observer) Tap(all bool) (*Tap, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.taps) >= mostTaps {
		return nil, ErrBusy
	}
	t := &Tap{o: o, all: all, c: make(chan []tcprt.Record, tapBatches), free: make(chan []tcprt.Record, 4)}
	o.taps[t] = true
	return t, o.apply(o.budget.at)
}

// C gives them in batches, which are the receiver's; it is not closed.
func (t *Tap) C() <-chan []tcprt.Record { return t.c }

// Done gives a batch back, so that it is filled again; it need not be called.
func (t *Tap) Done(batch []tcprt.Record) {
	select {
	case t.free <- batch[:0]:
	default:
	}
}

// Lost is how many records were dropped because C was not read.
func (t *Tap) Lost() uint64 { return t.lost.Load() }

// Close ends it. What it was given until then is in C.
func (t *Tap) Close() error {
	t.o.mu.Lock()
	defer t.o.mu.Unlock()
	if !t.o.taps[t] {
		return nil
	}
	t.flush()
	delete(t.o.taps, t)
	return t.o.apply(t.o.budget.at)
}

// add takes a record; the Observer's lock is held.
func (t *Tap) add(r *tcprt.Record) {
	t.batch = append(t.batch, *r)
	if len(t.batch) == tapBatch {
		t.flush()
	}
}

func (t *Tap) flush() {
	if len(t.batch) == 0 {
		return
	}
	select {
	case t.c <- t.batch:
		select {
		case t.batch = <-t.free:
		default:
			t.batch = make([]tcprt.Record, 0, tapBatch)
		}
	default:
		t.lost.Add(uint64(len(t.batch)))
		t.batch = t.batch[:0]
	}
}

// wantAll says whether somebody records every request.
func (o *Observer) wantAll() bool {
	for t := range o.taps {
		if t.all {
			return true
		}
	}
	return false
}

// Header is that of a recording of now.
func (o *Observer) Header() trt.Header {
	o.mu.Lock()
	defer o.mu.Unlock()
	return trt.Header{Created: time.Now().UTC(), Tier: o.c.Tier().String(), Offset: o.offset}
}

// Named lists the services by name, for a recording.
func (o *Observer) Named() []trt.Named {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := make([]trt.Named, 0, len(o.services))
	for key, s := range o.services {
		out = append(out, trt.Named{Role: key.Role.String(), Port: key.Port, NetNS: key.NetNS, Cgroup: key.Cgroup, Names: s.names})
	}
	return out
}
