package node

import (
	"context"
	"fmt"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/anole-os/anole/feature"
)

// probing is the asking of probes, which touch the node: once it is closed
// nothing is asked any more. The zero value is open.
type probing struct {
	turn sync.Mutex // the background asks one set at a time, so that the newest answers stay
	busy sync.WaitGroup

	mu     sync.Mutex
	closed bool
}

// probeLabel stands for a module's name in the profiler label of goroutines
// that ask probes.
const probeLabel = "probes"

// begin says whether something may be asked; if so, busy.Done ends it.
func (p *probing) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.busy.Add(1)
	}
	return !p.closed
}

func (p *probing) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// ask gives the answers of all probes of units; ok is false when ctx ended or
// it was closed before the last of them.
func (p *probing) ask(ctx context.Context, units []*unit) (out []feature.Result, ok bool) {
	if !p.begin() {
		return nil, false
	}
	defer p.busy.Done()
	pprof.Do(ctx, pprof.Labels(labelKey, probeLabel), func(ctx context.Context) {
		out, ok = askUntil(units, func() bool { return ctx.Err() != nil || p.isClosed() })
	})
	return out, ok
}

// close lets no further probe be asked.
func (p *probing) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
}

// wait waits for the probe that is being asked, which cannot be broken off, at
// most for limit. It comes after close.
func (p *probing) wait(limit time.Duration) error {
	done := make(chan struct{})
	go func() {
		p.busy.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-time.After(limit):
		return fmt.Errorf("ask probes: %w", errHung)
	}
}

// askUntil asks until stop says so; ok is false if it did.
func askUntil(units []*unit, stop func() bool) (out []feature.Result, ok bool) {
	out = []feature.Result{}
	for _, u := range units {
		for _, p := range u.probes {
			if stop() {
				return out, false
			}
			out = append(out, p.Result())
		}
	}
	return out, true
}

func askAll(units []*unit) []feature.Result {
	out, _ := askUntil(units, func() bool { return false })
	return out
}

// probe asks all probes beside the main loop, for the metrics.
func (n *Node) probe() {
	if !n.probing.begin() {
		return
	}
	go func() {
		defer n.probing.busy.Done()
		n.probing.turn.Lock()
		defer n.probing.turn.Unlock()
		r, ok := n.probing.ask(context.Background(), n.units())
		if !ok {
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		n.probed = r
	}()
}

// endProbes waits for the probe that is being asked and reports one that
// hangs.
func (n *Node) endProbes() error {
	err := n.probing.wait(n.opt.StopTimeout)
	if err != nil {
		n.log.Error("a probe does not end", "after", n.opt.StopTimeout, "stacks", stacksOf(probeLabel))
	}
	return err
}
