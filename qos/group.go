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
	mode       BurstMode
	wantLane   bool

	cpu      *actuate.Group
	limitKey string // of the knob that holds its limit
	usage    *cgroup.File
	stat     *cgroup.File // nil where the kernel counts no bandwidth

	sampled time.Time
	counted time.Time     // when cpu.stat was last read
	total   time.Duration // CPU time since the cgroup was made
	used    float64       // cores over the last interval
	delta   time.Duration // CPU time over the last interval
	fresh   bool          // delta is of the last interval
	now     cgroup.CPUStat
	was     cgroup.CPUStat

	share     float64        // its part of the cap, in cores; 0 before the first split
	capIntent control.Intent // for share
	setIntent control.Intent // for the cap as a CPU set

	above     float64 // the lowest CPU limit above it, 0 while unknown; see boundAbove
	aboveAt   time.Time
	short     bool // it ran out of quota since the last split
	checked   time.Time
	unlimited bool  // it had no quota when last looked at
	bank      *bank // nil without a limit or with burst off
	lane      *control.Lane
	looked    time.Time     // when its threads' CPU time was last read
	spins     control.Spins // of its threads while it wants the lane
	spinner   int           // a thread that spins, 0 if none
	spinUse   float64       // its share of a CPU
	inLane    bool
	left      time.Time // when its threads could not be given back what they had
	scanned   time.Time // when threads were last looked for
	threads   int
	idle      bool // its threads were given SCHED_IDLE

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
	g := &group{w: w, cpu: cpu, limitKey: "limit " + w.Path}
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
	g.was = g.now
	if g.statDue(now, total) {
		b, err := g.stat.Read(buf)
		if err != nil {
			return err
		}
		if err := cgroup.ParseCPUStat(b, &g.now); err != nil {
			return err
		}
		if g.usage == nil {
			total = g.now.Usage
		}
		g.counted = now
	}
	g.advance(now, total)
	if _, throttled := g.throttled(); throttled > 0 {
		g.short = true
	}
	return nil
}

// statEvery is how often cpu.stat of a group is read that only the split of
// the cap needs.
const statEvery = 500 * time.Millisecond

// statDue says whether cpu.stat is worth a reading: it is half of what a look
// at a group costs. Its counters stand still for a group without a limit and
// for one that did not run; what they counted in between is in the next
// reading.
func (g *group) statDue(now time.Time, total time.Duration) bool {
	switch {
	case g.stat == nil:
		return false
	case g.usage == nil || g.sampled.IsZero():
		return true
	case g.unlimited || total == g.total:
		return false
	}
	return g.class != class.BE || now.Sub(g.counted) >= statEvery || g.counted.After(now)
}

// advance turns a counter into a rate. The first reading gives none, nor does
// a clock that stood still or jumped.
func (g *group) advance(now time.Time, total time.Duration) {
	dt := now.Sub(g.sampled)
	g.fresh = !g.sampled.IsZero() && dt > 0 && dt < 10*time.Second && total >= g.total
	if g.sampled.IsZero() {
		g.was = g.now
	}
	g.delta = 0 // used stays: what is missing changes nothing
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
