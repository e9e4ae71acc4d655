package qos

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/memory"
)

// memoryPart isolates memory: protections for latency-sensitive groups, bounds
// and background reclaim for best-effort ones, oom_score_adj for both, and
// eviction.
type memoryPart struct {
	e       *Engine
	policy  MemoryPolicy
	on      bool // the node has the memory controller, and the host could be read
	unified bool
	host    *memory.Host
	worker  *memory.Worker // nil before the first job

	groups  []*memGroup // by path, but for those that have no memory cgroup
	stale   bool        // groups changed since domains were arranged
	node    domain
	limited []*domain // ancestors with a limit that hold both kinds
	looked  time.Time // at all of them
	fast    bool      // some bounded domain is near its target: look in each Step

	nodePSI     stallMeter
	turn        int   // whose reclaim is next
	scanTurn    int   // whose processes are looked at next
	favour      *bool // whether this process may lower an oom_score_adj; nil before it was asked
	evictor     memory.Evictor
	evictWhy    string
	protections []control.Intent
	intents     []control.Intent // all, by File
	buf         [8192]byte
}

// memGroup is one group with what the part knows and holds of it.
type memGroup struct {
	g           *group
	files       *memory.Files
	boundKey    string // of the knob; "" where the group can have no bound
	boundFile   string
	waitKey     string // "" where a bound kills nobody
	protectFile string // "" where it can have no protection
	hasOOMGroup bool
	reclaims    bool // it has memory.reclaim

	used    uint64
	grew    uint64 // between the last two looks
	limit   uint64 // its own, without us
	ceiling uint64 // the lower of that and its own memory.high
	stat    memory.Stat
	known   bool // stat was read
	usedAt  time.Time
	statAt  time.Time
	statOf  uint64 // what was used then
	ownAt   time.Time
	faults  uint64 // major ones since the Engine saw it first
	kills   uint64
	events  memory.Events
	seen    bool // events were read

	protected uint64 // in force
	bound     memory.Bound
	boundWant control.Intent
	waitWant  control.Intent
	wholeWant control.Intent // to be killed as a whole
	allow     uint64
	allowWhy  string
	short     bool // its domain is below its target
	reclaim   memory.Reclaimer
	psi       stallMeter

	nests   bool // there are groups below it
	scanned time.Time
	scans   int
	scored  bool // something of it was changed
	scoreTo int
	empty   int // looks in a row that found no process
	emptied bool
}

func newMemoryPart(e *Engine) *memoryPart { return &memoryPart{e: e} }

func (*memoryPart) name() string { return "memory" }

// Kinds of memory knobs, in the order of their keys: that of the wait sorts
// before that of the bound, so that killing is off before there is a bound, and
// is on again after it came off.
const (
	kindWait     = "memory.bound-wait"
	kindHigh     = "memory.high"
	kindLimit    = "memory.limit"
	kindLow      = "memory.low"
	kindMin      = "memory.min"
	kindOOMGroup = "memory.oom.group"
)

func (*memoryPart) kinds() []string {
	return []string{kindWait, kindHigh, kindLimit, kindLow, kindMin, kindOOMGroup}
}

func (p *memoryPart) install(policy *Policy) {
	p.policy = policy.Memory
	v, ok := p.e.tree.Version("memory")
	if !ok {
		p.e.degrade("memory", missing("memory isolation", "the memory controller", "boot with cgroup_enable=memory; on cgroup v2: echo +memory > /sys/fs/cgroup/cgroup.subtree_control"))
		return
	}
	p.unified = v == cgroup.V2
	if p.host == nil {
		h, err := memory.OpenHost(p.e.root)
		if err != nil {
			p.e.degrade("memory", err)
			return
		}
		p.host = h
	}
	p.on, p.favour = true, nil
	p.looked = time.Time{}
	for _, mg := range p.groups { // what is wanted may be something else
		mg.scanned, mg.ownAt = time.Time{}, time.Time{}
	}
}

func (p *memoryPart) assign(g *group) {
	if !p.on {
		return
	}
	if mg := g.memory; mg != nil && mg.files.Dir.Alive() {
		p.interrupt(mg)
		mg.scanned, mg.protected, p.stale = time.Time{}, 0, true
		mg.protectFile = mg.protectBy()
		mg.bound.Reset()
		return
	}
	p.lose(g)
	p.open(g)
}

// open begins to look after a group. One without the memory controller is left
// alone; a runtime may make it later, hierarchy by hierarchy, so it is tried
// again.
func (p *memoryPart) open(g *group) {
	at := p.e.tree.Path("memory", g.w.Path)
	if p.busy(at) {
		return // what began before it was let go is not over
	}
	p.collect()
	f, err := memory.OpenFiles(at)
	if err != nil {
		if !cgroup.Gone(err) {
			p.e.degrade("memory of "+g.w.ID, err)
		}
		return
	}
	delete(p.e.degraded, "memory of "+g.w.ID)
	mg := &memGroup{g: g, files: f, limit: memory.None, ceiling: memory.None, allow: memory.None}
	mg.protectFile = mg.protectBy()
	mg.reclaims, mg.hasOOMGroup = f.Dir.Has(memory.FileReclaim), f.Dir.Has(memory.FileOOMGroup)
	switch {
	case f.Dir.Has(memory.FileHigh):
		mg.boundFile, mg.boundKey = memory.FileHigh, kindHigh+" "+g.w.Path
	case f.Dir.Has(memory.FileLimitV1):
		mg.boundFile, mg.boundKey = memory.FileLimitV1, kindLimit+" "+g.w.Path
		mg.waitKey = kindWait + " " + g.w.Path
	}
	g.memory = mg
	p.groups = append(p.groups, mg)
	p.stale = true
}

func (p *memoryPart) drop(g *group) {
	mg := g.memory
	if mg == nil {
		return
	}
	p.interrupt(mg)
	p.unscore(mg)
	p.lose(g)
}

// interrupt ends what the worker does to a group, so that its files can be put
// back. What is not over at once is settled when it is, see underWay.
func (p *memoryPart) interrupt(mg *memGroup) {
	if p.worker != nil {
		p.worker.Cancel(mg.files.Dir.Path())
	}
	p.collect()
}

// lose closes what is held of a group.
func (p *memoryPart) lose(g *group) {
	mg := g.memory
	if mg == nil {
		return
	}
	_ = mg.files.Close()
	g.memory = nil
	p.groups = slices.DeleteFunc(p.groups, func(x *memGroup) bool { return x == mg })
	p.stale = true
}

// work gives the worker, started when first needed.
func (p *memoryPart) work() *memory.Worker {
	if p.worker == nil {
		p.worker = memory.NewWorker(p.e.w)
	}
	return p.worker
}

// busy says whether the worker is reclaiming from the group at path.
func (p *memoryPart) busy(path string) bool { return p.worker != nil && p.worker.Busy(path) }

func (p *memoryPart) close() error {
	var err error
	if p.worker != nil {
		if err = p.worker.Close(); err == nil {
			p.worker = nil // else it is asked what is under way
		}
	}
	for _, mg := range p.groups {
		_ = mg.files.Close()
		mg.g.memory = nil
	}
	p.groups = nil
	for _, d := range p.limited {
		_ = d.files.Close()
	}
	p.limited = nil
	if p.host != nil {
		_ = p.host.Close()
		p.host = nil
	}
	p.on = false
	return err
}

// mechanisms says what is used for each thing.
func (p *memoryPart) mechanisms() []Mechanism {
	if !p.on {
		return []Mechanism{{"memory", "off", p.e.degraded["memory"].Detail}}
	}
	m, v1 := &p.policy, "cgroup v1 has none"
	pick := func(name, key, policy, unified, old, oldWhy string) Mechanism {
		switch {
		case policy == "off":
			return Mechanism{name, "off", "switched off by memory." + key}
		case p.unified:
			return Mechanism{name, unified, "cgroup v2 has it"}
		}
		return Mechanism{name, old, oldWhy}
	}
	out := []Mechanism{
		pick("memory protection", "protect", m.Protect, "memory.min, memory.low", "free memory", v1+": best-effort work is bounded so that the kernel need not reclaim"),
		pick("memory bound", "bound", m.Bound, memory.FileHigh, memory.FileLimitV1, "stepped: cgroup v1 has no memory.high"),
		pick("memory reclaim", "reclaim", m.Reclaim, memory.FileReclaim, memory.FileEmptyV1, "for groups whose processes have ended; for others the steps of the bound reclaim"),
		{"oom score", "oom_score_adj", "by class, where nobody else set it"},
		{"memory eviction", m.Evict, "memory.evict"},
	}
	if m.OOMScore == "off" {
		out[3].Using, out[3].Why = "off", "switched off by memory.oomScore"
	} else if p.favour != nil && !*p.favour {
		out[3].Why = "best-effort processes only: to favour LS ones takes CAP_SYS_RESOURCE"
	}
	if m.Reclaim != "off" && p.unified && !p.reclaims() {
		out[2].Using, out[2].Why = "off", "memory.reclaim came with Linux 5.19; memory.high serves without it"
	}
	if p.evictWhy != "" {
		out[4].Why = p.evictWhy
	}
	return out
}

// reclaims says whether groups have memory.reclaim; true while there is none.
func (p *memoryPart) reclaims() bool {
	return len(p.groups) == 0 || p.groups[0].reclaims
}

// MemoryStatus is the memory of one workload, in bytes.
type MemoryStatus struct {
	Used        uint64  `json:"used_bytes"`
	Limit       *uint64 `json:"limit_bytes"` // its own; nil without one
	Cache       uint64  `json:"cache_bytes"` // page cache in it, as of the last ten seconds
	Protected   uint64  `json:"protected_bytes"`
	Bound       *uint64 `json:"bound_bytes"` // what best-effort work is held to; nil without
	MajorFaults uint64  `json:"major_faults"`
	OOMKills    uint64  `json:"oom_kills"`
	Note        string  `json:"note,omitempty"` // why reclaim waits
}

func (mg *memGroup) status() *MemoryStatus {
	if mg == nil {
		return nil
	}
	s := &MemoryStatus{Used: mg.used, Cache: mg.stat.Cache, Protected: mg.protected, MajorFaults: mg.faults, OOMKills: mg.kills, Note: mg.reclaim.Stopped()}
	if mg.limit != memory.None {
		s.Limit = new(mg.limit)
	}
	if b := mg.bound.Value(); b != memory.None && mg.boundWant.File != "" {
		s.Bound = &b
	}
	return s
}

// NodeMemory is the node's memory in bytes.
type NodeMemory struct {
	Total     uint64 `json:"total_bytes"`
	Free      uint64 `json:"free_bytes"`
	Available uint64 `json:"available_bytes"`
	Target    uint64 `json:"target_free_bytes"`
}

// nodeStatus adds the node's memory once it is known.
func (p *memoryPart) nodeStatus(n *NodeStatus) {
	if p.on && p.host.Total > 0 {
		n.Memory = &NodeMemory{p.host.Total, p.host.Free, p.host.Available, p.node.Target}
	}
}

// pinned is what reclaim cannot take from the group, as of the last reading of
// its memory.stat; everything before the first.
func (mg *memGroup) pinned() uint64 {
	if !mg.known {
		return mg.used
	}
	return min(mg.used, mg.statOf-min(mg.statOf, mg.stat.Cache))
}

func (mg *memGroup) bestEffort() bool { return mg.g.Class == class.BE }

func byGroupPath(a, b *memGroup) int { return strings.Compare(a.g.w.Path, b.g.w.Path) }

func number(n uint64) string { return strconv.FormatUint(n, 10) }

// path gives the whole path of one of the group's files.
func (mg *memGroup) path(file string) string { return filepath.Join(mg.files.Dir.Path(), file) }
