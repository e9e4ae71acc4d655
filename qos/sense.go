package qos

import (
	"math"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/runq"
)

// idleEvery is how often groups are read that no controller watches.
const idleEvery = time.Second

// nodeSense reads the use of the whole node.
type nodeSense struct {
	stat *procfs.StatFile
	// usage is the CPU use of the root cgroup, where it is told finer than the
	// 10 ms of /proc/stat: cpuacct.usage in ns, or on v2 cpu.stat in µs.
	usage   *cgroup.File
	unified bool

	sampled time.Time
	total   time.Duration
	cpu     procfs.CPU
	steals  time.Time // when cpu was read for Steal
	busy    float64   // cores over the last interval, NaN when unknown
	steal   float64   // cores over about the last second
	buf     [4096]byte
}

func (n *nodeSense) open(root string, t *cgroup.Tree) (err error) {
	n.busy = math.NaN()
	if n.stat, err = procfs.OpenStat(root); err != nil {
		return err
	}
	if v, ok := t.Version("cpuacct"); ok && v == cgroup.V1 {
		d, err := cgroup.OpenDir(t.Path("cpuacct", "/"))
		if err != nil {
			return err
		}
		defer d.Close()
		n.usage, err = d.Open("cpuacct.usage")
		return err
	}
	if v, ok := t.Version("cpu"); ok && v == cgroup.V2 {
		return n.openUnified(t)
	}
	return nil
}

// openUnified opens the root's cpu.stat; kernels before 5.10 have none there.
func (n *nodeSense) openUnified(t *cgroup.Tree) error {
	d, err := cgroup.OpenDir(t.Path("cpu", "/"))
	if err != nil {
		return err
	}
	defer d.Close()
	if !d.Has("cpu.stat") {
		return nil
	}
	n.usage, err = d.Open("cpu.stat")
	n.unified = true
	return err
}

func (n *nodeSense) close() {
	if n.stat != nil {
		_ = n.stat.Close()
	}
	if n.usage != nil {
		_ = n.usage.Close()
	}
}

func (n *nodeSense) read(now time.Time) error {
	total, err := n.counter(now)
	if err != nil {
		n.busy = math.NaN()
		return err
	}
	dt := now.Sub(n.sampled)
	n.busy = math.NaN()
	if !n.sampled.IsZero() && dt > 0 && dt < 10*time.Second && total >= n.total {
		n.busy = (total - n.total).Seconds() / dt.Seconds()
	}
	n.sampled, n.total = now, total
	return nil
}

// counter gives the CPU time that the node used since boot.
func (n *nodeSense) counter(now time.Time) (time.Duration, error) {
	if n.usage == nil || now.Sub(n.steals) >= time.Second || n.steals.After(now) {
		cpu, err := n.stat.Read()
		if err != nil {
			return 0, err
		}
		if dt := now.Sub(n.steals); !n.steals.IsZero() && dt > 0 && dt < 10*time.Second && n.usage != nil {
			n.steal = max(0, cpu.Sub(n.cpu).Steal.Seconds()/dt.Seconds())
		}
		n.cpu, n.steals = cpu, now
	}
	if n.usage == nil {
		return n.cpu.Busy(), nil
	}
	b, err := n.usage.Read(n.buf[:])
	if err != nil {
		return 0, err
	}
	if n.unified {
		var s cgroup.CPUStat
		err := cgroup.ParseCPUStat(b, &s)
		return s.Usage, err
	}
	ns, err := cgroup.Uint(b)
	return time.Duration(min(ns, math.MaxInt64)), err
}

// runqSense measures how long threads of each class wait for a CPU.
type runqSense struct {
	t         *runq.Tracer
	now, prev runq.Snapshot
	delta     runq.Snapshot
	ok        bool
	opening   bool

	steerer *runq.Steerer // nil where tasks are not steered
	steered runq.SteerStats
	behind  runq.Hist // waits behind best-effort work, collected until they suffice for a p99
	since   time.Time
}

// openRunq loads the tracer beside the loop: the kernel takes some 100 ms to
// hand out and check what it needs, and the agent is ready before that.
func (e *Engine) openRunq() {
	if e.runq.t != nil || e.runq.opening {
		return
	}
	e.runq.opening = true
	e.background.Go(func() {
		t, err := runq.Open(runq.Options{Blame: uint8(class.BE), Steer: steered})
		e.mu.Lock()
		defer e.mu.Unlock()
		e.runq.opening = false
		switch {
		case err != nil:
			e.degrade("run queue", err)
		case e.closed || e.policy.Control.RunQueue == "off":
			_ = t.Close()
		default:
			e.runq.t = t
			e.steer()
			for _, g := range e.groups {
				e.runq.setClass(g, g.Class)
			}
		}
	})
}

// steered are the classes whose misplaced tasks are moved.
var steered = []uint8{uint8(class.LS), uint8(class.LSR), uint8(class.LSE)}

// steer starts or ends the moving of misplaced tasks, as the policy asks.
func (e *Engine) steer() {
	want := e.policy.LS.Steer != "off" && e.slip != ""
	switch {
	case e.runq.t == nil:
	case want && e.runq.steerer == nil:
		s, err := e.runq.t.Steer(e.slip)
		if err != nil {
			e.degrade("steering", err)
			return
		}
		delete(e.degraded, "steering")
		e.runq.steerer = s
	case !want:
		e.runq.unsteer()
	}
}

func (r *runqSense) unsteer() {
	if r.steerer != nil {
		_ = r.steerer.Close()
	}
	r.steerer = nil
}

func (r *runqSense) close() {
	r.unsteer()
	if r.t != nil {
		_ = r.t.Close()
	}
	r.t, r.ok = nil, false
}

// setClass counts a group's tasks in its class. A cgroup that went away
// meanwhile is no error.
func (r *runqSense) setClass(g *group, c class.Class) {
	if r.t == nil {
		return
	}
	if c == class.None {
		_ = r.t.Unset(g.cpu.CPU.Ino())
		return
	}
	_ = r.t.SetClass(g.cpu.CPU.Ino(), uint8(c))
}

func (r *runqSense) unset(g *group) {
	if r.t != nil {
		_ = r.t.Unset(g.cpu.CPU.Ino())
	}
}

func (r *runqSense) read() {
	if r.t == nil {
		return
	}
	r.prev, r.now = r.now, r.prev
	if err := r.t.Read(&r.now); err != nil {
		r.ok = false
		return
	}
	r.ok = !r.prev.Time.IsZero()
	r.delta = r.now.Delta(&r.prev)
	if r.steerer != nil {
		r.steered = r.steerer.Stats()
	}
}

// Waits are collected until there are enoughWaits of them, for a p99 that one
// slow wakeup does not decide, and for staleWaits at most.
const (
	enoughWaits = 100
	staleWaits  = 2 * time.Second
)

// waits gives the p99 of the time that latency-sensitive threads waited and
// then took the CPU from best-effort work; n is 0 while too few were seen.
// Waits for their own kind are not best-effort work's fault.
func (r *runqSense) waits(now time.Time) (p99 time.Duration, n uint64) {
	for _, c := range steered {
		r.behind.Merge(&r.delta.Class[c].Behind)
	}
	if n = r.behind.Count(); n >= enoughWaits {
		p99 = r.behind.Quantile(0.99)
	} else if age := now.Sub(r.since); age >= 0 && age < staleWaits {
		return 0, 0
	} else {
		n = 0
	}
	r.behind, r.since = runq.Hist{}, now
	return p99, n
}

// senseBy opens or closes the optional sensors as the policy asks.
func (e *Engine) senseBy(p Policy) {
	delete(e.degraded, "run queue")
	if p.Control.RunQueue == "off" {
		e.runq.close()
	} else {
		e.openRunq()
		e.steer()
	}
	delete(e.degraded, "pressure")
	if p.Control.PressureFrom == "off" {
		e.pressure.close()
	} else if err := e.pressure.open(e.root, e.tree, e.w); err != nil {
		e.degrade("pressure", err)
	}
}

// sense reads everything that is due. A group that went away is dropped by the
// next Refresh; one that cannot be read counts as missing.
func (e *Engine) sense(now time.Time, dt time.Duration) {
	if err := e.node.read(now); err != nil {
		e.degrade("node use", err)
	} else {
		delete(e.degraded, "node use")
	}
	for _, g := range e.order {
		if !g.watched() && len(e.taps) == 0 && now.Sub(g.sampled) < idleEvery && !g.sampled.After(now) {
			g.miss()
			continue
		}
		if err := g.read(now, e.node.buf[:]); err != nil {
			g.miss()
			if !cgroup.Gone(err) {
				e.degrade("workload "+g.w.ID, err)
			}
			continue
		}
		if len(e.degraded) > 0 {
			delete(e.degraded, "workload "+g.w.ID)
		}
		e.totals.add(g)
	}
	e.runq.read()
	if err := e.pressure.read(now, dt, e.groups); err != nil {
		e.degrade("pressure", err)
	} else if e.pressure.files != nil {
		delete(e.degraded, "pressure")
	}
	e.each(func(p part) { p.sense(now, dt) })
	e.totals.node(e, dt)
}

// watched says whether a controller needs the group in each interval.
func (g *group) watched() bool { return g.Class.Sensitive() || g.Class == class.BE || g.Bank != nil }
