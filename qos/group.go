package qos

import (
	"math"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/workload"
)

// group is one workload with what the Engine knows and holds of it.
type group struct {
	control.Member
	w          *workload.Workload
	rule       string
	refused    []dialect.Refusal // of its labels
	classedGen int               // policy generation of the last assign; 0 is never

	cpu      *actuate.Group
	limitKey string // of the knob that holds its limit
	usage    *cgroup.File
	stat     *cgroup.File // nil where the kernel counts no bandwidth

	sampled time.Time
	counted time.Time     // when cpu.stat was last read
	total   time.Duration // CPU time since the cgroup was made
	now     cgroup.CPUStat
	was     cgroup.CPUStat

	capIntent  control.Intent // for Share
	setIntent  control.Intent // for the cap as a CPU set
	bankIntent control.Intent // for Bank.Plan
	setTried   time.Time      // when it was found to have none
	shareGen   uint64         // of capIntent
	bankGen    uint64         // of bankIntent

	checked   time.Time
	own       float64       // its own limit in cores, 0 without, NaN before it was looked at
	unlimited bool          // it had no quota when last looked at
	looked    time.Time     // when its threads' CPU time was last read
	spins     control.Spins // of its threads while it wants the lane
	left      time.Time     // when its threads could not be given back what they had
	scanned   time.Time     // when threads were last looked for
	threads   int
	idle      bool // its threads were given SCHED_IDLE

	memory *memGroup // nil without the memory controller

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
	g := &group{Member: control.Member{ID: w.ID}, w: w, cpu: cpu, limitKey: "limit " + w.Path, own: math.NaN()}
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
	g.Periods, g.Throttled = since(g.now.Periods, g.was.Periods), since(g.now.Throttled, g.was.Throttled)
	g.Stalled = max(0, g.now.ThrottledTime-g.was.ThrottledTime)
	return nil
}

// miss says that the last interval is unknown.
func (g *group) miss() { g.Fresh, g.Periods, g.Throttled, g.Stalled = false, 0, 0, 0 }

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
	return g.Class != class.BE || now.Sub(g.counted) >= statEvery || g.counted.After(now)
}

// advance turns a counter into a rate. The first reading gives none, nor does
// a clock that stood still or jumped.
func (g *group) advance(now time.Time, total time.Duration) {
	dt := now.Sub(g.sampled)
	g.Fresh = !g.sampled.IsZero() && dt > 0 && dt < 10*time.Second && total >= g.total
	if g.sampled.IsZero() {
		g.was = g.now
	}
	g.Delta = 0 // used stays: what is missing changes nothing
	if g.Fresh {
		g.Delta = total - g.total
		g.Used = g.Delta.Seconds() / dt.Seconds()
	}
	g.sampled, g.total = now, total
}

func since(now, was uint64) uint64 {
	if now < was {
		return 0
	}
	return now - was
}
