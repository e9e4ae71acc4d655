package module

import (
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/qos/runq"
)

// descs lists all metrics of the room.
var descs []*core.Desc

func desc(kind core.Kind, name, help string, labels ...string) *core.Desc {
	d := &core.Desc{Name: "anole_qos_" + name, Help: help, Kind: kind, Labels: labels}
	descs = append(descs, d)
	return d
}

// Metrics implements core.Describer.
func (m *Module) Metrics() []*core.Desc { return descs }

var (
	capacity  = desc(core.Gauge, "node_cpu_capacity_cores", "CPUs of the node.")
	nodeUsed  = desc(core.Gauge, "node_cpu_used_cores", "CPU use of the whole node over about a second.")
	nodeSteal = desc(core.Gauge, "node_cpu_steal_cores", "CPU time taken by the hypervisor over about a second.")
	beCap     = desc(core.Gauge, "be_cap_cores", "CPU that best-effort work may use; the node's capacity when no cap is in force.")
	workloads = desc(core.Gauge, "workloads", "Workloads on the node.", "class")

	usage         = desc(core.Counter, "cpu_usage_seconds_total", "CPU time used.", "class")
	periods       = desc(core.Counter, "cpu_periods_total", "Enforcement periods of groups with a CPU limit.", "class")
	throttled     = desc(core.Counter, "cpu_throttled_periods_total", "Periods that ran out of quota.", "class")
	throttledTime = desc(core.Counter, "cpu_throttled_seconds_total", "Time throttled, summed over CPUs.", "class")
	bursts        = desc(core.Counter, "cpu_bursts_total", "Periods that used banked quota.", "class")
	burstTime     = desc(core.Counter, "cpu_burst_seconds_total", "Banked CPU time used.", "class")
	runQueue      = desc(core.Histogram, "runqueue_latency_seconds", "Time from runnable to running.", "class")
	behindBE      = desc(core.Histogram, "runqueue_behind_be_seconds", "Time from runnable to running of waits that ended by taking the CPU from best-effort work.", "class")
	cpiOf         = desc(core.Gauge, "cpi", "Cycles per instruction over about a second, where they are counted.", "class")
	llc           = desc(core.Gauge, "llc_occupancy_bytes", "Last-level cache that the class fills, where resctrl tells it; LS is all latency-sensitive classes.", "class")
	traffic       = desc(core.Counter, "memory_bandwidth_bytes_total", "Bytes that the class moved from and to memory, where resctrl tells it; LS is all latency-sensitive classes.", "class")
	pressure      = desc(core.Counter, "pressure_stall_seconds_total", "Time in which tasks waited (PSI).", "class", "resource", "kind")

	slow = desc(core.Gauge, "feedback_slow_services", "Latency-sensitive services whose slow requests hold best-effort work back.")
	room = desc(core.Gauge, "feedback_room_ratio", "What slow requests leave of the room of best-effort work; 1 is all of it.")
	cuts = desc(core.Counter, "feedback_cuts_total", "Times that slow requests cut the room of best-effort work.")

	writes    = desc(core.Counter, "knob_writes_total", "Writes to kernel control files.", "knob", "result")
	loopTime  = desc(core.Histogram, "control_loop_duration_seconds", "Time one pass of the control loop took.")
	late      = desc(core.Counter, "control_loop_late_total", "Passes that began more than half an interval late.")
	grants    = desc(core.Counter, "credit_grants_total", "Quotas of credit given by the agent.")
	rtThreads = desc(core.Gauge, "rt_threads", "Threads in the real-time lane.")
	steered   = desc(core.Counter, "steered_total", "Waking latency-sensitive threads moved from behind another to a CPU that ran best-effort work.")
	demotions = desc(core.Counter, "rt_demotions_total", "Workloads taken out of the real-time lane for using too much.")
	refusals  = desc(core.Counter, "labels_refused_total", "Labels and annotations of workloads that were not followed.", "reason")
	admitted  = desc(core.Counter, "admissions_total", "Looks at the node for a container whose program was about to run.")
	degraded  = desc(core.Gauge, "degraded", "Parts that do not work on this node.", "feature", "reason")

	ioBytes  = desc(core.Counter, "io_bytes_total", "Bytes read and written on the disks that are controlled.", "class", "direction")
	ioOps    = desc(core.Counter, "io_requests_total", "Requests to the disks that are controlled.", "class", "direction")
	ioDisk   = desc(core.Gauge, "io_disk_info", "By what means best-effort IO is held on a disk, the first 32 by name; always 1.", "disk", "mechanism")
	ioLimit  = desc(core.Gauge, "io_be_limit_bytes_per_second", "What best-effort IO may do on a disk; absent when it is not limited there.", "disk", "direction")
	ioLimits = desc(core.Gauge, "io_be_limit_requests_per_second", "Requests that best-effort IO may make on a disk; absent when it is not limited there.", "disk", "direction")
	ioRatio  = desc(core.Gauge, "io_ls_latency_ratio", "How long latency-sensitive requests take on a disk, as a share of the objective; absent while that is not known.", "disk")
)

// Collect implements core.Collector.
func (m *Module) Collect(emit func(core.Metric)) {
	e := m.running()
	if e == nil {
		return
	}
	s, t := e.Status(), e.Totals()
	collect(&s, &t, &m.busiest, emit)
}

// collect turns the engine's figures into samples. How many there are does not
// grow with the workloads, disks and interfaces of the node.
func collect(s *qos.Status, t *qos.Totals, busiest *slots, emit func(core.Metric)) {
	value := func(d *core.Desc, v float64, labels ...string) {
		emit(core.Metric{Desc: d, Values: labels, Value: v})
	}
	value(capacity, s.Node.CPUs)
	value(nodeUsed, s.Node.Busy)
	value(nodeSteal, s.Node.Steal)
	limit := s.Node.CPUs
	if s.Cap != nil {
		limit = min(limit, *s.Cap)
	}
	value(beCap, limit)
	for _, c := range class.All() {
		classMetrics(c, &t.Class[c], emit)
	}
	value(pressure, t.Pressure.Some.Seconds(), "LS", "cpu", "some")
	value(pressure, t.Pressure.Full.Seconds(), "LS", "cpu", "full")
	for k, n := range t.Writes {
		value(writes, float64(n), k.Knob, k.Result)
	}
	emit(core.Metric{Desc: loopTime, Hist: loopHist(t)})
	value(late, float64(t.Late))
	for _, r := range dialect.Reasons() {
		value(refusals, float64(t.Refused[r]), string(r))
	}
	value(admitted, float64(t.Admitted))
	netMetrics(&t.Net, value)
	value(slow, float64(t.Slow))
	value(room, t.Room)
	value(cuts, float64(t.Cuts))
	value(grants, float64(t.Grants))
	value(demotions, float64(t.Demotions))
	value(steered, float64(t.Steered))
	for _, d := range features(s.Degraded) {
		value(degraded, 1, d.Feature, d.Reason)
	}
	ioMetrics(s, t, value)
	memoryMetrics(s.Node.Memory, &t.Memory, value)
	heldMetrics(s.Workloads, value)
	workloadMetrics(s.Workloads, busiest, value)
}

// maxDisks bounds the series of single disks.
const maxDisks = 32

func ioMetrics(s *qos.Status, t *qos.Totals, value func(*core.Desc, float64, ...string)) {
	for _, c := range class.All() {
		f := &t.IO[c]
		if f.Ops() == 0 {
			continue
		}
		value(ioBytes, float64(f.ReadBytes), c.String(), "read")
		value(ioBytes, float64(f.WriteBytes), c.String(), "write")
		value(ioOps, float64(f.ReadOps), c.String(), "read")
		value(ioOps, float64(f.WriteOps), c.String(), "write")
	}
	for _, d := range s.IO[:min(len(s.IO), maxDisks)] {
		value(ioDisk, 1, d.Disk, d.Mechanism)
		if d.Limit != nil {
			value(ioLimit, d.Limit.ReadBytes, d.Disk, "read")
			value(ioLimit, d.Limit.WriteBytes, d.Disk, "write")
			value(ioLimits, d.Limit.ReadOps, d.Disk, "read")
			value(ioLimits, d.Limit.WriteOps, d.Disk, "write")
		}
		if d.Latency > 0 {
			value(ioRatio, d.Latency, d.Disk)
		}
	}
}

// features drops what names single workloads from the label, which would have
// no bound.
func features(all []qos.Degradation) []qos.Degradation {
	seen := map[qos.Degradation]bool{}
	var out []qos.Degradation
	for _, d := range all {
		k := qos.Degradation{Feature: d.Kind(), Reason: d.Reason}
		if !seen[k] {
			seen[k] = true
			out = append(out, k)
		}
	}
	return out
}

func classMetrics(c class.Class, t *qos.ClassTotals, emit func(core.Metric)) {
	label := []string{c.String()}
	for _, v := range []struct {
		d *core.Desc
		v float64
	}{
		{workloads, float64(t.Groups)},
		{usage, t.Usage.Seconds()},
		{periods, float64(t.Periods)},
		{throttled, float64(t.Throttled)},
		{throttledTime, t.ThrottledTime.Seconds()},
		{bursts, float64(t.Bursts)},
		{burstTime, t.BurstTime.Seconds()},
	} {
		emit(core.Metric{Desc: v.d, Values: label, Value: v.v})
	}
	if t.CPI > 0 {
		emit(core.Metric{Desc: cpiOf, Values: label, Value: t.CPI})
	}
	if t.Cache.Occupied {
		emit(core.Metric{Desc: llc, Values: label, Value: float64(t.Cache.Occupancy)})
	}
	if t.Cache.Counted {
		emit(core.Metric{Desc: traffic, Values: label, Value: float64(t.Cache.Traffic)})
	}
	if t.RunQueue.Count() > 0 {
		emit(core.Metric{Desc: runQueue, Values: label, Hist: queueHist(&t.RunQueue)})
	}
	if c.Sensitive() && t.BehindBE.Count() > 0 {
		emit(core.Metric{Desc: behindBE, Values: label, Hist: queueHist(&t.BehindBE)})
	}
}

// queueBounds are powers of four from about a microsecond to a second, at
// bounds that the kernel side's buckets have too, so that no count is a guess.
var queueBounds = []time.Duration{
	1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18, 1 << 19, 1 << 20, 1 << 21, 1 << 22, 1 << 23, 1 << 24, 1 << 26, 1 << 28, 1 << 30,
}

func queueHist(h *runq.Hist) *core.Hist {
	out := &core.Hist{Count: h.Count(), Sum: float64(h.SumNS) / 1e9}
	for _, b := range queueBounds {
		out.Bounds = append(out.Bounds, b.Seconds())
		out.Counts = append(out.Counts, h.Below(b))
	}
	return out
}

func loopHist(t *qos.Totals) *core.Hist {
	out := &core.Hist{Bounds: qos.LoopBounds(), Count: t.Loops, Sum: t.LoopTime.Seconds()}
	var n uint64
	for i := range out.Bounds {
		n += t.LoopHist[i]
		out.Counts = append(out.Counts, n)
	}
	return out
}
