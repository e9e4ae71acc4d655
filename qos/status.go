package qos

import (
	"fmt"
	"maps"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/workload"
)

// Status is the Engine's picture of the node, in the shape of GET
// /api/v1/qos/status.
type Status struct {
	Time       int64            `json:"time"` // ms since the epoch
	Node       NodeStatus       `json:"node"`
	Mechanisms []Mechanism      `json:"mechanisms"`
	Cap        *float64         `json:"be_cap_cores"` // nil when no cap is in force
	CapWhy     string           `json:"be_cap_why"`
	Classes    []ClassStatus    `json:"classes"`
	Workloads  []WorkloadStatus `json:"workloads"`
	IO         []IOStatus       `json:"io"`
	Decisions  []Decision       `json:"decisions"`
	Degraded   []Degradation    `json:"degraded"`
	Network    []LinkStatus     `json:"network,omitempty"` // interfaces that the policy names
}

// NodeStatus is the node itself.
type NodeStatus struct {
	Name   string      `json:"name"`
	Kernel string      `json:"kernel"`
	CPUs   float64     `json:"cpus"`
	Cgroup string      `json:"cgroup"` // v1, v2 or hybrid
	Busy   float64     `json:"busy_cores"`
	Steal  float64     `json:"steal_cores"`
	Target float64     `json:"target"`
	Memory *NodeMemory `json:"memory,omitempty"`
}

// Mechanism says by what means a part works here, and why by that.
type Mechanism struct {
	Name  string `json:"name"`
	Using string `json:"using"`
	Why   string `json:"why"`
}

// ClassStatus is one class over about the last second.
type ClassStatus struct {
	Class     class.Class `json:"class"`
	Workloads int         `json:"workloads"`
	Used      float64     `json:"used_cores"`
	Throttled float64     `json:"throttled_ratio"` // of periods since the start
	BurstTime float64     `json:"burst_seconds"`   // since the start
	RunqP50   float64     `json:"runq_p50_us"`     // since the start
	RunqP99   float64     `json:"runq_p99_us"`
	PSI       float64     `json:"psi_cpu"` // share of the last interval
	// What the hardware counts, absent where it does not: cycles per instruction
	// over about a second, and of the memory system, where LS is all
	// latency-sensitive classes.
	CPI       *float64 `json:"cpi,omitempty"`
	Occupancy *uint64  `json:"llc_occupancy_bytes,omitempty"`
	Traffic   *uint64  `json:"memory_bandwidth_bytes,omitempty"` // since the start
}

// WorkloadStatus is one workload.
type WorkloadStatus struct {
	ID        string        `json:"id"`
	Name      string        `json:"name"`
	Class     class.Class   `json:"class"`
	Rule      string        `json:"rule"`
	Source    string        `json:"source"`
	Cgroup    string        `json:"cgroup"`
	Used      float64       `json:"used_cores"`
	Usage     float64       `json:"usage_seconds"`
	Limit     *float64      `json:"limit_cores"`
	Share     *float64      `json:"cap_cores"`       // its part of the best-effort cap
	Throttled float64       `json:"throttled_ratio"` // of periods since the start
	Periods   uint64        `json:"throttled_periods"`
	Burst     *BurstStatus  `json:"burst"`
	RTThreads int           `json:"rt_threads"`
	Memory    *MemoryStatus `json:"memory,omitempty"` // nil without the memory controller
	// IO is what it does on the disks that are controlled, over the last reading;
	// nil while that is nothing.
	IO *IORates `json:"io,omitempty"`
	// Network is how its packets count on the interfaces that are shared; "" while
	// the network is left alone.
	Network string `json:"network,omitempty"`
	// Labels are those that rules match by, nil without.
	Labels map[string]string `json:"labels,omitempty"`
	// LabelsFrom names who told of each of them, and of each key in Refused.
	LabelsFrom map[string]string `json:"labels_from,omitempty"`
	Pod        string            `json:"pod,omitempty"` // namespace/name
	Image      string            `json:"image,omitempty"`
	// Sources lists who told of the workload, the most trusted first.
	Sources []string `json:"sources,omitempty"`
	// Refused are labels and annotations that were not followed, Conflicts what
	// the sources disagree about.
	Refused   []dialect.Refusal   `json:"refused,omitempty"`
	Conflicts []workload.Conflict `json:"conflicts,omitempty"`
	// Slow are its services whose requests take longer than usual, for a cause that
	// other work on the node can be.
	Slow []SlowStatus `json:"slow,omitempty"`
}

// BurstStatus is the plan in force for one workload.
type BurstStatus struct {
	Mode    string       `json:"mode"`
	Kernel  string       `json:"kernel"`
	Period  burst.Micros `json:"period_us"`
	Quota   burst.Micros `json:"quota_us"`
	Burst   burst.Micros `json:"burst_us"`
	Credits int          `json:"credits"`
	Reason  string       `json:"reason,omitempty"`
}

// Explanation says what was done to one workload and why.
type Explanation struct {
	Workload  WorkloadStatus `json:"workload"`
	Files     []FileState    `json:"files"`
	Decisions []Decision     `json:"decisions"`
}

// Status gives the picture of the node after the last Step.
func (e *Engine) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	cores, why := e.ctl.Cap()
	s := Status{
		Time: e.last.UnixMilli(), Node: e.nodeStatus(), Mechanisms: e.mechanisms(), CapWhy: why.String(),
		Classes: e.classes(), Workloads: []WorkloadStatus{}, IO: e.ioStatus(), Decisions: e.history.newest(nil), Degraded: []Degradation{},
	}
	if !math.IsInf(cores, 1) {
		s.Cap = &cores
	}
	for _, p := range e.parts {
		if p, ok := p.(interface{ links() []LinkStatus }); ok {
			s.Network = p.links()
		}
	}
	for _, g := range e.groups {
		s.Workloads = append(s.Workloads, e.workloadStatus(g))
	}
	slices.SortFunc(s.Workloads, func(a, b WorkloadStatus) int { return strings.Compare(a.ID, b.ID) })
	for _, d := range e.degraded {
		s.Degraded = append(s.Degraded, d)
	}
	slices.SortFunc(s.Degraded, func(a, b Degradation) int { return strings.Compare(a.Feature, b.Feature) })
	return s
}

// Totals gives a copy of the counters.
func (e *Engine) Totals() Totals {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := e.totals.clone()
	t.Demotions = e.ctl.Demotions
	t.Room, t.Cuts = e.ctl.Feedback()
	t.Slow = e.feedback.heeded(e)
	for _, p := range e.parts {
		if p, ok := p.(*netPart); ok {
			t.Net.Links = p.netLinks()
		}
	}
	return t
}

func (e *Engine) nodeStatus() NodeStatus {
	n := NodeStatus{CPUs: e.cpus, Busy: round3(e.totals.Busy), Steal: round3(e.node.steal), Target: e.policy.Control.Target, Cgroup: "v2"}
	n.Name, _ = os.Hostname()
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		n.Kernel = unix.ByteSliceToString(u.Release[:]) + " " + runtime.GOARCH
	}
	if v, _ := e.tree.Version("cpu"); v == cgroup.V1 {
		n.Cgroup = "v1"
		if e.tree.Mount(cgroup.Unified) != "" {
			n.Cgroup = "hybrid (controllers on v1)"
		}
	}
	for _, p := range e.parts {
		if p, ok := p.(interface{ nodeStatus(*NodeStatus) }); ok {
			p.nodeStatus(&n)
		}
	}
	return n
}

func (e *Engine) mechanisms() []Mechanism {
	prio := Mechanism{"priority", string(e.mechanism), e.because}
	if prio.Using == "" {
		prio.Using = "off"
	}
	bank := Mechanism{"burst", "kernel burst + period planner", "the burst may not exceed the quota here, so a longer period deepens the bank"}
	switch {
	case !e.limits.HasBurst:
		bank = Mechanism{"burst", "agent credit", "the kernel has no CPU Burst (Linux 5.14)"}
	case e.limits.BurstMayExceedQuota:
		bank = Mechanism{"burst", "kernel burst", "this kernel (ANCK) takes a burst above the quota"}
	}
	psi, psiWhy := e.pressure.using()
	queue := Mechanism{"run queue", "off", "not measured"}
	if e.runq.t != nil {
		queue = Mechanism{"run queue", "eBPF", "scheduler trace points, waits from " + e.runq.t.Source().String()}
	} else if d, ok := e.degraded["run queue"]; ok {
		queue.Why = d.Detail
	}
	place := Mechanism{"placement", "kernel", "ls.steer is off, or eBPF is not to be had"}
	if s := e.runq.steerer; s != nil {
		place = Mechanism{"placement", "steered", fmt.Sprintf("%d waking LS threads moved from behind another to a CPU with best-effort work", e.runq.steered.Moved)}
		if e.runq.steered.Fair {
			place.Why += "; the moving thread is not a real-time one (no CAP_SYS_NICE) and may come late"
		}
	}
	lane := Mechanism{"rt lane", "off", "opt-in: ls.rtLane.enabled, or rtLane in a rule"}
	for _, g := range e.groups {
		if g.InLane {
			lane.Using, lane.Why = "SCHED_RR", "asked for by the policy, bounded and watched"
		}
	}
	out := []Mechanism{prio, {"suppression", e.policy.BE.Suppress, "be.suppress"}, bank, {"pressure", psi, psiWhy}, queue, e.feedback.mechanism(e), place, lane}
	e.each(func(p part) { out = append(out, p.mechanisms()...) })
	return out
}

func (e *Engine) classes() []ClassStatus {
	out := []ClassStatus{}
	for _, c := range class.All() {
		t := &e.totals.Class[c]
		if t.Groups == 0 && t.Usage == 0 {
			continue
		}
		s := ClassStatus{
			Class: c, Workloads: t.Groups, Used: round3(t.Used), BurstTime: t.BurstTime.Seconds(),
			RunqP50: micros(t.RunQueue.Quantile(0.5)), RunqP99: micros(t.RunQueue.Quantile(0.99)),
		}
		if t.Periods > 0 {
			s.Throttled = round3(float64(t.Throttled) / float64(t.Periods))
		}
		s.hardware(t)
		if c == class.LS && !math.IsNaN(e.pressure.share) {
			s.PSI = round3(e.pressure.share)
		}
		out = append(out, s)
	}
	return out
}

// hardware adds what only some nodes count.
func (s *ClassStatus) hardware(t *ClassTotals) {
	if t.CPI > 0 {
		v := round3(t.CPI)
		s.CPI = &v
	}
	if c := t.Cache; c.Occupied {
		s.Occupancy = &c.Occupancy
	}
	if c := t.Cache; c.Counted {
		s.Traffic = &c.Traffic
	}
}

// workloadStatus is the group's status with what parts know of it.
func (e *Engine) workloadStatus(g *group) WorkloadStatus {
	s := g.status()
	s.Slow = e.feedback.of(e, g)
	for _, p := range e.parts {
		if p, ok := p.(interface{ describe(*group, *WorkloadStatus) }); ok {
			p.describe(g, &s)
		}
	}
	return s
}

func (g *group) status() WorkloadStatus {
	s := WorkloadStatus{
		ID: g.w.ID, Name: g.w.Name, Class: g.Class, Rule: g.rule, Source: string(g.w.Source), Cgroup: g.w.Path,
		Used: round3(g.smooth), Usage: g.total.Seconds(), Periods: g.throttledPeriods, RTThreads: g.threads,
		Labels: maps.Clone(g.w.Labels), Pod: podOf(g.w), Image: g.w.Image, Sources: sources(g.w), Refused: slices.Clone(g.refused),
		Memory: g.memory.status(),
	}
	s.LabelsFrom = toldBy(g.w, g.refused)
	if g.w.Told != nil {
		s.Conflicts = slices.Clone(g.w.Told.Conflicts)
	}
	if g.periods > 0 {
		s.Throttled = round3(float64(g.throttledPeriods) / float64(g.periods))
	}
	if g.Share > 0 {
		c := round3(g.Share)
		s.Share = &c
	}
	if b := g.Bank; b != nil {
		l := b.Limit
		s.Limit, s.Burst = &l, bankStatus(b, g.Mode)
	}
	return s
}

// bankStatus shows a bank to people.
func bankStatus(b *control.Bank, mode BurstMode) *BurstStatus {
	s := &BurstStatus{Mode: mode.String(), Reason: b.Refused, Kernel: "none"}
	if b.Refused != "" {
		return s
	}
	w := b.Plan.Bandwidth
	s.Period, s.Quota, s.Burst = w.Period, w.Quota, w.Burst
	var parts []string
	if w.Burst > 0 {
		parts = append(parts, "burst")
	}
	if w.Period != burst.DefaultMinPeriod {
		parts = append(parts, "period")
	}
	if b.Credit != nil {
		parts = append(parts, "credit")
		s.Credits = b.Credit.Stats().Grants
	}
	if len(parts) > 0 {
		s.Kernel = strings.Join(parts, " + ")
	}
	return s
}

// Explain says what was done to the workload with the given ID and why.
func (e *Engine) Explain(id string) (Explanation, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
		if g.w.ID != id && g.w.Path != id {
			continue
		}
		x := Explanation{Workload: e.workloadStatus(g), Files: []FileState{}}
		for _, k := range e.knobs {
			if h := k.common(); k.holding() != "" && inTree(g.w.Path, h.g.Rel) {
				x.Files = append(x.Files, k.state()...)
			}
		}
		for _, p := range e.parts {
			if p, ok := p.(interface{ explain(*group) []FileState }); ok {
				x.Files = append(x.Files, p.explain(g)...)
			}
		}
		slices.SortFunc(x.Files, func(a, b FileState) int { return strings.Compare(a.File, b.File) })
		ofClass := "class " + g.Class.String()
		x.Decisions = e.history.newest(func(d *Decision) bool {
			return d.Workload == g.w.ID || d.Workload == ofClass || inTree(g.w.Path, d.Workload)
		})
		return x, nil
	}
	return Explanation{}, fmt.Errorf("explain %q: no such workload: see anole qos status", id)
}

func round3(v float64) float64 { return math.Round(v*1000) / 1000 }

func micros(d time.Duration) float64 { return float64(d) / 1000 }

func bad(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }
