package qos

import (
	"maps"
	"path/filepath"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/qos/runq"
)

// ClassTotals counts what the groups of one class did while the Engine ran.
type ClassTotals struct {
	Groups        int
	Usage         time.Duration
	Periods       uint64
	Throttled     uint64
	ThrottledTime time.Duration
	Bursts        uint64
	BurstTime     time.Duration
	RunQueue      runq.Hist
	BehindBE      runq.Hist // waits that ended by taking the CPU from best-effort work
	Used          float64   // cores, smoothed over about a second
	// CPI is cycles per instruction over the last second, 0 while unknown.
	CPI   float64
	Cache CacheTotals
}

// CacheTotals is what a class does to the memory system, where the node tells it.
type CacheTotals struct {
	Occupied  bool   // Occupancy is known
	Occupancy uint64 // bytes of the last-level cache
	Counted   bool   // Traffic is known
	Traffic   uint64 // bytes from and to memory
}

// Totals are the Engine's counters since Open.
type Totals struct {
	Class     [class.Count]ClassTotals
	IO        [class.Count]blkio.Flow // on the disks that are controlled
	Pressure  cgroup.Pressure         // of the latency-sensitive class
	Writes    map[WriteKey]uint64
	Refused   map[dialect.Reason]uint64 // labels and annotations that were not followed
	Admitted  uint64                    // looks at workloads before their programs ran, see Admit
	Grants    uint64
	Demotions uint64
	Steered   uint64 // latency-sensitive tasks moved from behind another to a CPU with best-effort work
	Loops     uint64
	Late      uint64
	LoopTime  time.Duration
	LoopHist  [len(loopBounds) + 1]uint64
	Busy      float64 // cores, smoothed
	Memory    MemoryTotals
	Net       NetTotals
	Slow      int     // services that are slow and hold best-effort work back
	Room      float64 // what slow services leave of best-effort work's room, a share
	Cuts      uint64  // how often they cut it
}

// MemoryTotals counts what was done about memory, in bytes.
type MemoryTotals struct {
	Class     [class.Count]ClassMemory
	Reclaimed map[string]uint64 // by the file that was written
	Evictions uint64
	Pressure  cgroup.Pressure // of the node, since boot
}

// ClassMemory is the memory of the groups of one class.
type ClassMemory struct {
	Used        uint64 // charged now
	MajorFaults uint64 // since each group was seen first, as is OOMKills
	OOMKills    uint64
}

// WriteKey says what was written and how it ended.
type WriteKey struct{ Knob, Result string }

// loopBounds are the upper bounds of Totals.LoopHist in seconds.
var loopBounds = [...]float64{0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1}

// LoopBounds gives the upper bounds of Totals.LoopHist, in seconds.
func LoopBounds() []float64 { return loopBounds[:] }

func (t *Totals) init() {
	t.Writes, t.Refused = map[WriteKey]uint64{}, map[dialect.Reason]uint64{}
	t.Memory.Reclaimed = map[string]uint64{}
}

// use sums what groups have.
func (t *MemoryTotals) use(all []*memGroup) {
	for c := range t.Class {
		t.Class[c].Used = 0
	}
	for _, mg := range all {
		t.Class[mg.g.Class].Used += mg.used
	}
}

// move counts a group in its new class.
func (t *Totals) move(g *group, to class.Class) {
	if g.classedGen != 0 {
		t.Class[g.Class].Groups--
	}
	t.Class[to].Groups++
}

func (t *Totals) leave(g *group) {
	if g.classedGen != 0 {
		t.Class[g.Class].Groups--
	}
}

// add counts what a group did over the last interval.
func (t *Totals) add(g *group) {
	if !g.Fresh {
		return
	}
	c := &t.Class[g.Class]
	c.Usage += g.Delta
	c.Periods += g.Periods
	c.Throttled += g.Throttled
	c.ThrottledTime += g.Stalled
	c.Bursts += since(g.now.Bursts, g.was.Bursts)
	c.BurstTime += max(0, g.now.BurstTime-g.was.BurstTime)
	g.periods += g.Periods
	g.throttledPeriods += g.Throttled
	g.bursts += max(0, g.now.BurstTime-g.was.BurstTime)
}

// node takes the rest after all groups were added.
func (t *Totals) node(e *Engine, dt time.Duration) {
	t.Pressure = e.pressure.total
	t.Steered = e.runq.steered.Moved
	a := min(1, dt.Seconds())
	if a <= 0 {
		return
	}
	if !bad(e.node.busy) {
		t.Busy += (e.node.busy - t.Busy) * a
	}
	var used [class.Count]float64
	for _, g := range e.order {
		used[g.Class] += g.Used
		g.smooth += (g.Used - g.smooth) * a
	}
	for c := range t.Class {
		t.Class[c].Used += (used[c] - t.Class[c].Used) * a
		if e.runq.ok {
			t.Class[c].RunQueue.Merge(&e.runq.delta.Class[c].Wait)
			t.Class[c].BehindBE.Merge(&e.runq.delta.Class[c].Behind)
		}
	}
}

func (t *Totals) wrote(file, result string) {
	if strings.HasPrefix(result, "error") {
		result = "error"
	}
	t.Writes[WriteKey{knobName(file), result}]++
}

// knobName is the label of what was written: a file's name, or the kind of knob
// ("limit") where no file was reached. It never names a workload.
func knobName(file string) string {
	if strings.HasPrefix(file, "/") {
		base, _, _ := strings.Cut(filepath.Base(file), " ") // without the key of a line
		return base
	}
	kind, _, _ := strings.Cut(file, " ")
	return kind
}

func (t *Totals) loop(d time.Duration) {
	t.Loops++
	t.LoopTime += d
	i := 0
	for i < len(loopBounds) && d.Seconds() > loopBounds[i] {
		i++
	}
	t.LoopHist[i]++
}

// clone copies what a reader may keep.
func (t *Totals) clone() Totals {
	out := *t
	out.Writes = make(map[WriteKey]uint64, len(t.Writes))
	for k, v := range t.Writes {
		out.Writes[k] = v
	}
	out.Refused = maps.Clone(t.Refused)
	out.Memory.Reclaimed = maps.Clone(t.Memory.Reclaimed)
	return out
}

// Decision is one write, or one that was refused, with its reason.
type Decision struct {
	Time       int64  `json:"time"` // ms since the epoch
	Controller string `json:"controller"`
	Workload   string `json:"workload"`
	File       string `json:"file"`
	Old        string `json:"old"`
	New        string `json:"new"`
	Why        string `json:"why"`
	Result     string `json:"result"` // ok, adopted, gone, or error: …
}

// keepDecisions is how many the Engine remembers.
const keepDecisions = 200

// decisions is a ring of the last ones.
type decisions struct {
	ring [keepDecisions]Decision
	n    int // ever added
}

func (d *decisions) add(x Decision) {
	d.ring[d.n%keepDecisions] = x
	d.n++
}

// newest lists them, newest first, that keep selects.
func (d *decisions) newest(keep func(*Decision) bool) []Decision {
	out := []Decision{}
	for i := d.n - 1; i >= 0 && i >= d.n-keepDecisions; i-- {
		if x := &d.ring[i%keepDecisions]; keep == nil || keep(x) {
			out = append(out, *x)
		}
	}
	return out
}
