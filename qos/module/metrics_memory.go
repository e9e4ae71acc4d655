package module

import (
	"maps"
	"slices"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

var (
	nodeMemory = desc(core.Gauge, "node_memory_bytes", "Memory of the node: total, free, available, and what is to be kept free (target).", "kind")
	nodeStalls = desc(core.Counter, "node_memory_stall_seconds_total", "Time in which tasks of the node waited for memory since boot (PSI).", "kind")

	memoryUsed  = desc(core.Gauge, "memory_used_bytes", "Memory charged to the workloads of a class.", "class")
	protected   = desc(core.Gauge, "memory_protected_bytes", "Memory that the workloads of a class keep while others are reclaimed from; absent where none is protected.", "class")
	bound       = desc(core.Gauge, "memory_bound_bytes", "What those workloads of a class that are held to a bound may have together; absent while none is.", "class")
	majorFaults = desc(core.Counter, "memory_major_faults_total", "Page faults that waited for a disk.", "class")
	oomKills    = desc(core.Counter, "memory_oom_kills_total", "Processes that the kernel killed for lack of memory.", "class")
	reclaimed   = desc(core.Counter, "memory_reclaimed_bytes_total", "Memory taken back from best-effort workloads, by the control file that did it.", "mechanism")
	evictions   = desc(core.Counter, "memory_evictions_total", "Best-effort workloads killed because available memory stayed low.")
)

func memoryMetrics(n *qos.NodeMemory, t *qos.MemoryTotals, value func(*core.Desc, float64, ...string)) {
	if n == nil {
		return
	}
	value(nodeMemory, float64(n.Total), "total")
	value(nodeMemory, float64(n.Free), "free")
	value(nodeMemory, float64(n.Available), "available")
	value(nodeMemory, float64(n.Target), "target")
	value(nodeStalls, t.Pressure.Some.Seconds(), "some")
	value(nodeStalls, t.Pressure.Full.Seconds(), "full")
	for _, c := range class.All() {
		m := &t.Class[c]
		value(memoryUsed, float64(m.Used), c.String())
		value(majorFaults, float64(m.MajorFaults), c.String())
		value(oomKills, float64(m.OOMKills), c.String())
	}
	for _, by := range slices.Sorted(maps.Keys(t.Reclaimed)) {
		value(reclaimed, float64(t.Reclaimed[by]), by)
	}
	value(evictions, float64(t.Evictions))
}

// heldMetrics adds up, by class, what is protected and what is bound.
func heldMetrics(all []qos.WorkloadStatus, value func(*core.Desc, float64, ...string)) {
	var keep, most [class.Count]uint64
	for i := range all {
		m := all[i].Memory
		if m == nil {
			continue
		}
		keep[all[i].Class] += m.Protected
		if m.Bound != nil {
			most[all[i].Class] += *m.Bound
		}
	}
	for _, c := range class.All() {
		if keep[c] > 0 {
			value(protected, float64(keep[c]), c.String())
		}
		if most[c] > 0 {
			value(bound, float64(most[c]), c.String())
		}
	}
}
