package qos

import (
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/memory"
)

// MemoryPolicy says how memory is isolated.
type MemoryPolicy struct {
	Protect   string          `yaml:"protect" json:"protect" doc:"Protect what LS workloads use from reclaim where the kernel can (cgroup v2): memory.min for LSE and LSR, memory.low for LS: auto or off."`
	Most      float64         `yaml:"protectMost" json:"protect_most" doc:"Share of the node's memory that all protections together may cover; memory.min may cover half of that."`
	Bound     string          `yaml:"bound" json:"bound" doc:"Hold best-effort workloads to what LS work leaves, by memory.high or, on cgroup v1, by stepping the limit down: auto or off."`
	Reclaim   string          `yaml:"reclaim" json:"reclaim" doc:"Reclaim from best-effort workloads in the background, by memory.reclaim (Linux 5.19), before they run into their bound or limit; and from those that have no process left: auto or off."`
	Rate      yamlx.Bytes     `yaml:"reclaimRate" json:"reclaim_rate" doc:"Most that is reclaimed in the background in a second."`
	Stall     float64         `yaml:"reclaimStall" json:"reclaim_stall" doc:"Share of time that tasks of a workload may wait for memory (PSI) before reclaim from it slows down; at three times that it stops for a while."`
	Watermark WatermarkPolicy `yaml:"watermark" json:"watermark" doc:"How much is kept free, and when reclaim begins and ends."`
	Floor     float64         `yaml:"floor" json:"floor" doc:"Share of the memory that best-effort work always gets."`
	OOMGroup  string          `yaml:"oomGroup" json:"oom_group" doc:"Let the kernel kill a best-effort workload as a whole (memory.oom.group, cgroup v2): auto or off."`
	OOMScore  string          `yaml:"oomScore" json:"oom_score" doc:"oom_score_adj by class: BE 900, LS -500, LSR and LSE -800. Values that somebody else set stay, but for best-effort processes between 0 and 900: auto or off."`
	Evict     string          `yaml:"evict" json:"evict" doc:"What to do when available memory stays below evictBelow: off, or kill best-effort workloads, one at a time."`
	Below     float64         `yaml:"evictBelow" json:"evict_below" doc:"Share of the node's memory."`
	After     yamlx.Duration  `yaml:"evictAfter" json:"evict_after" doc:"How long it must be below."`
	Pause     yamlx.Duration  `yaml:"evictPause" json:"evict_pause" doc:"Time between two evictions."`
}

// WatermarkPolicy says how much memory is kept free.
type WatermarkPolicy struct {
	Free float64 `yaml:"free" json:"free" doc:"Share of the memory (of the node, or of a limited cgroup that holds LS and BE work) that best-effort work leaves free; never less than twice the kernel's own watermarks."`
	High float64 `yaml:"high" json:"high" doc:"Share of what a best-effort workload may have at which background reclaim begins."`
	Low  float64 `yaml:"low" json:"low" doc:"Share at which it ends."`
}

func defaultMemory() MemoryPolicy {
	r := memory.DefaultReclaim()
	return MemoryPolicy{
		Protect: "auto", Most: 0.8, Bound: "auto", Reclaim: "auto", Rate: yamlx.Bytes(r.Rate), Stall: r.Stall,
		Watermark: WatermarkPolicy{Free: 0.05, High: 0.95, Low: 0.9}, Floor: 0.05, OOMGroup: "auto", OOMScore: "auto",
		Evict: "off", Below: 0.02, After: yamlx.Duration(10 * time.Second), Pause: yamlx.Duration(30 * time.Second),
	}
}

// leastRate is one piece of reclaim a second.
const leastRate = memory.MiB

func (m *MemoryPolicy) validate(say func(string, ...any), share func(string, float64, float64), oneOf func(string, string, ...string)) {
	for _, k := range []struct{ key, v string }{
		{"protect", m.Protect}, {"bound", m.Bound}, {"reclaim", m.Reclaim}, {"oomGroup", m.OOMGroup}, {"oomScore", m.OOMScore},
	} {
		oneOf("memory."+k.key, k.v, "auto", "off")
	}
	oneOf("memory.evict", m.Evict, "off", "kill")
	share("memory.protectMost", m.Most, 0)
	share("memory.reclaimStall", m.Stall, 0.001)
	share("memory.floor", m.Floor, 0)
	share("memory.evictBelow", m.Below, 0)
	share("memory.watermark.free", m.Watermark.Free, 0)
	share("memory.watermark.high", m.Watermark.High, 0.1)
	share("memory.watermark.low", m.Watermark.Low, 0.1)
	if m.Rate < leastRate {
		say("memory.reclaimRate: %v is less than %v", m.Rate, yamlx.Bytes(leastRate))
	}
	if m.Watermark.Low >= m.Watermark.High {
		say("memory.watermark.low: %v is not below memory.watermark.high %v", m.Watermark.Low, m.Watermark.High)
	}
	if m.Watermark.Free+m.Floor > 1 {
		say("memory.floor: %v and memory.watermark.free %v are more than the node has", m.Floor, m.Watermark.Free)
	}
	if d := m.After.Std(); d < time.Second {
		say("memory.evictAfter: %v is below 1s", d)
	}
	if d := m.Pause.Std(); d < time.Second {
		say("memory.evictPause: %v is below 1s", d)
	}
}

func (m *MemoryPolicy) reclaim() memory.ReclaimOptions {
	o := memory.DefaultReclaim()
	o.Rate, o.Stall, o.Breach = uint64(m.Rate), m.Stall, 3*m.Stall
	return o
}

func (m *MemoryPolicy) eviction() memory.EvictOptions {
	return memory.EvictOptions{Below: m.Below, After: m.After.Std(), Pause: m.Pause.Std()}
}
