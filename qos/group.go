package qos

import (
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/workload"
)

// group is one workload with what the Engine knows and holds of it.
type group struct {
	w          *workload.Workload
	class      class.Class
	rule       string
	classedGen int // policy generation of the last assign; 0 is never
	top        string
	mode       BurstMode
	wantLane   bool

	cpu   *actuate.Group
	usage *cgroup.File
	stat  *cgroup.File // nil where the kernel counts no bandwidth

	sampled time.Time
	total   time.Duration // CPU time since the cgroup was made
	used    float64       // cores over the last interval
	delta   time.Duration // CPU time over the last interval
	fresh   bool          // delta is of the last interval
	now     cgroup.CPUStat
	was     cgroup.CPUStat

	share    float64 // its part of the cap, in cores; 0 before the first split
	checked  time.Time
	bank     *bank // nil without a limit or with burst off
	lane     *control.Lane
	inLane   bool
	laneScan time.Time
	threads  int
	idle     bool // its threads were given SCHED_IDLE

	smooth           float64 // cores over about a second, for people
	periods          uint64  // since the Engine saw it first
	throttledPeriods uint64
	bursts           time.Duration
}

func openGroup(t *cgroup.Tree, w *workload.Workload) (*group, error) {
	cpu, err := actuate.OpenGroup(t, w.Path)
	if err != nil {
		return nil, err
	}
	g := &group{w: w, cpu: cpu}
	if err := g.openFiles(t); err != nil {
		g.close()
		return nil, err
	}
	return g, nil
}

func (g *group) openFiles(t *cgroup.Tree) (err error) {
	if g.cpu.CPU.Has("cpu.stat") {
		if g.stat, err = g.cpu.CPU.Open("cpu.stat"); err != nil {
			return err
		}
	}
	if t.Usage() == "cpu" {
		return nil
	}
	d, err := cgroup.OpenDir(t.Path(t.Usage(), g.w.Path))
	if err != nil {
		return err
	}
	defer d.Close()
	g.usage, err = d.Open("cpuacct.usage")
	return err
}

func (g *group) close() {
	if g.usage != nil {
		_ = g.usage.Close()
	}
	if g.stat != nil {
		_ = g.stat.Close()
	}
	_ = g.cpu.Close()
}

// read brings the counters up to now.
func (g *group) read(now time.Time, buf []byte) error {
	total := g.total
	if g.stat != nil {
		b, err := g.stat.Read(buf)
		if err != nil {
			return err
		}
		g.was = g.now
		if err := cgroup.ParseCPUStat(b, &g.now); err != nil {
			return err
		}
		total = g.now.Usage
	}
	if g.usage != nil {
		b, err := g.usage.Read(buf)
		if err != nil {
			return err
		}
		n, err := cgroup.Uint(b)
		if err != nil {
			return err
		}
		total = time.Duration(n)
	}
	g.advance(now, total)
	return nil
}

// advance turns a counter into a rate. The first reading gives none, nor does
// a clock that stood still or jumped.
func (g *group) advance(now time.Time, total time.Duration) {
	dt := now.Sub(g.sampled)
	g.fresh = !g.sampled.IsZero() && dt > 0 && dt < 10*time.Second && total >= g.total
	if g.sampled.IsZero() {
		g.was = g.now
	}
	g.delta, g.used = 0, 0
	if g.fresh {
		g.delta = total - g.total
		g.used = g.delta.Seconds() / dt.Seconds()
	}
	g.sampled, g.total = now, total
}

// throttled gives the periods and the throttled ones of the last interval.
func (g *group) throttled() (periods, throttled uint64) {
	return since(g.now.Periods, g.was.Periods), since(g.now.Throttled, g.was.Throttled)
}

func since(now, was uint64) uint64 {
	if now < was {
		return 0
	}
	return now - was
}
