package sim

import (
	"time"

	"github.com/anole-os/anole/qos/memory"
)

// bytes is how large a hundredth of the largest machine's memory is taken to be:
// the evictor looks at ratios alone, and takes whole bytes.
const bytes = 1 << 32

// evict asks the agent's evictor whether a workload has to go, and lets the one
// go that the agent's order names first.
func (n *node) evict(now time.Time, tick int) {
	p := &n.w.policy.Memory
	if p.Evict == "off" {
		n.evictor = memory.Evictor{}
		return
	}
	available := max(0, n.memory-n.lsMemory-n.held)
	goes, _ := n.evictor.Step(now, uint64(available*bytes), uint64(n.memory*bytes), memory.EvictOptions{
		Below: p.Below, After: p.After.Std(), Pause: p.Pause.Std(),
	})
	if !goes || len(n.bundles) == 0 {
		return
	}
	all := make([]memory.Candidate, len(n.bundles))
	for i := range n.bundles {
		b := &n.bundles[i]
		all[i] = memory.Candidate{ID: b.m.ID, Used: uint64(b.mem * bytes), Age: time.Duration(tick-b.born) * n.w.o.Tick}
	}
	memory.Order(all)
	for i := range n.bundles {
		if n.bundles[i].m.ID == all[0].ID {
			n.free(i, evicted)
			return
		}
	}
}
