package sim

import (
	"math"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
)

// world is the fleet under one policy, or none.
type world struct {
	name  string
	about string
	fleet *Fleet
	o     Options
	nodes []node
	sched sched

	batch    bool        // best-effort work is taken at all
	policy   *qos.Policy // nil in a baseline
	runQueue bool
	burst    burst.Mode
	dt       float64 // s a tick
	every    int     // ticks between two steps of the controllers
	service  float64 // s
	timeout  float64 // s
	starve   float64 // s
	least    float64 // cores that a waiting service is taken to get, to tell how long
	weight   float64 // of BE against LS for the same request; 0 is: LS goes first
	leave    float64 // mean wait for BE to leave the CPU, s
	crowd    float64 // by how much that grows with each BE task that waits on a CPU
	series   []mark
}

// Names of the baselines.
const (
	Alone       = "no co-location"
	Unprotected = "unprotected"
)

// worlds makes the baselines and one world for each policy.
func worlds(f *Fleet, o Options) []*world {
	after := dependents(f)
	var all []*world
	add := func(w *world) {
		w.fleet, w.o, w.dt, w.service = f, o, o.Tick.Seconds(), o.Service.Seconds()
		w.timeout, w.starve, w.least = o.Timeout.Seconds(), o.Starve.Seconds(), 0.01
		w.every = max(1, w.every)
		w.sched.init(f, after)
		all = append(all, w)
	}
	if !o.NoBaselines {
		add(&world{name: Alone, about: "services only; batch work runs elsewhere"})
		add(&world{
			name: Unprotected, about: "batch work as ordinary containers: CPU by request, no cap, no priority, no burst", batch: true,
			weight: 1, leave: o.Slice.Seconds(), crowd: 1,
		})
	}
	for i := range o.Policies {
		add(newContender(&o.Policies[i], o))
	}
	return all
}

func newContender(c *Contender, o Options) *world {
	p := &c.Policy
	w := &world{name: c.Name, about: "anole's controllers under this policy", batch: true, policy: p, burst: p.LS.Burst}
	w.every = int(math.Round(float64(p.Control.Interval.Std()) / float64(o.Tick)))
	w.runQueue = p.Control.RunQueue != "off"
	switch mechanism(p) {
	case "":
		w.weight, w.leave, w.crowd = 1, o.Slice.Seconds(), 1
	case actuate.Weight:
		// The least weight against one in proportion to requests; a task of a
		// waking heavy group still waits for the tick in which a light one runs.
		w.weight, w.leave = 2./1024, o.Slice.Seconds()/4
	default:
		w.leave = o.Yield.Seconds()
	}
	return w
}

// mark is one point of the report's series: sums over nodes and ticks.
type mark struct{ ls, be, violated, services float64 }

// bin sums what goes into the series.
type bin struct{ ls, be, violated, services float64 }

// tally sums a node's run.
type tally struct {
	ticks               uint64
	use                 [101]uint32 // ticks by percent of CPU used, rounded down
	ls, be              float64     // core-s
	reclaimable         float64     // core-s
	memory              float64     // share-ticks
	violated, serviced  uint64      // service-ticks
	throttled, enforced float64     // periods of limited services
	grants              uint64
	capped              uint64 // ticks with a cap that holds somebody
}

// count books a tick.
func (n *node) count(dt float64) {
	t := &n.tally
	use := (n.ls + n.be) / n.cpus
	t.ticks++
	t.use[min(100, int(use*100))]++
	t.ls += n.ls * dt
	t.be += n.be * dt
	t.reclaimable += max(0, n.cpus-n.ls) * dt
	t.memory += (n.lsMemory + n.held) / n.memory
	t.violated += uint64(n.violated)
	t.serviced += uint64(len(n.services))
	t.enforced += n.enforced * dt
	if n.capped {
		t.capped++
	}
	b := &n.bin
	b.ls += n.ls
	b.be += n.be
	b.violated += float64(n.violated)
	b.services += float64(len(n.services))
}

// close ends a bin of the series.
func (w *world) close(ticks int) {
	var p mark
	for i := range w.nodes {
		b := &w.nodes[i].bin
		p.ls += b.ls
		p.be += b.be
		p.violated += b.violated
		p.services += b.services
		*b = bin{}
	}
	p.ls /= float64(ticks)
	p.be /= float64(ticks)
	w.series = append(w.series, p)
}
