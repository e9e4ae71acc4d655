package sim

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Run simulates a fleet under the policies and the baselines. It ends early
// with ctx's error, and with a *ConservationError if the model is at fault.
func Run(ctx context.Context, f *Fleet, o Options) (*Report, error) {
	o = o.defaults()
	if err := f.Validate(); err != nil {
		return nil, fmt.Errorf("simulate: %w", err)
	}
	if err := o.validate(f); err != nil {
		return nil, err
	}
	r := newRunner(f, o)
	defer r.stop()
	ticks := int(time.Duration(f.Seconds) * time.Second / o.Tick)
	batch, perBin := int(o.Schedule/o.Tick), int(o.Bin/o.Tick)
	inBin := 0
	for t := 0; t < ticks; t += batch {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("simulate: stopped at %v of %v: %w", time.Duration(t)*o.Tick, time.Duration(ticks)*o.Tick, err)
		}
		r.schedule(t)
		r.advance(t, batch)
		for _, w := range r.worlds {
			if err := w.check(t + batch - 1); err != nil {
				return nil, err
			}
		}
		if inBin += batch; inBin >= perBin || t+batch >= ticks {
			for _, w := range r.worlds {
				w.close(inBin)
			}
			inBin = 0
			if o.Progress != nil {
				o.Progress(t+batch, ticks)
			}
		}
	}
	r.schedule(ticks) // settles what the last ticks brought
	return r.report(), nil
}

// runner steps all worlds, in parallel over nodes.
type runner struct {
	fleet  *Fleet
	o      Options
	loads  []load
	worlds []*world
	next   atomic.Int64
	from   int // ticks of this round
	to     int
	count  int
	start  chan struct{}
	done   sync.WaitGroup
}

func newRunner(f *Fleet, o Options) *runner {
	r := &runner{fleet: f, o: o, loads: make([]load, len(f.Machines)), worlds: worlds(f, o), start: make(chan struct{})}
	for _, w := range r.worlds {
		w.nodes = make([]node, len(f.Machines))
	}
	d := demand{noise: o.Noise, every: o.BurstEvery.Seconds(), factor: o.BurstFactor}
	at := 0
	for i := range f.Machines {
		end := at
		for end < len(f.Services) && f.Services[end].Machine == i {
			end++
		}
		r.loads[i] = newLoad(f.Services[at:end], d, o.Seed, f.Machines[i].ID, o.Tick.Seconds(), f.Sample, int(o.Schedule/o.Tick))
		for _, w := range r.worlds {
			w.nodes[i].init(w, &f.Machines[i], &r.loads[i])
		}
		at = end
	}
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	for range min(workers, len(f.Machines)) {
		go r.work()
		r.count++
	}
	return r
}

func (r *runner) stop() { close(r.start) }

// schedule lets the batch schedulers of all worlds work; they share nothing.
func (r *runner) schedule(tick int) {
	var all sync.WaitGroup
	for _, w := range r.worlds {
		switch {
		case !w.batch:
		case r.count == 1:
			w.schedule(tick)
		default:
			all.Go(func() { w.schedule(tick) })
		}
	}
	all.Wait()
}

// grain is how many nodes a worker takes at a time.
const grain = 8

// advance moves all nodes by a number of ticks.
func (r *runner) advance(from, ticks int) {
	r.from, r.to = from, from+ticks
	r.next.Store(0)
	r.done.Add(r.count)
	for range r.count {
		r.start <- struct{}{}
	}
	r.done.Wait()
}

func (r *runner) work() {
	for range r.start {
		for {
			at := int(r.next.Add(grain)) - grain
			if at >= len(r.loads) {
				break
			}
			for i := at; i < min(at+grain, len(r.loads)); i++ {
				r.node(i)
			}
		}
		r.done.Done()
	}
}

// node moves one node in all worlds: what is in the processor's caches of its
// load is used by each.
func (r *runner) node(i int) {
	l := &r.loads[i]
	l.run(r.from, r.to)
	for _, w := range r.worlds {
		w.nodes[i].run(l, r.from, r.to)
	}
}
