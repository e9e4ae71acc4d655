package memory

// Want is one latency-sensitive group that asks for protection.
type Want struct {
	Hard  bool   // memory.min, which not even the OOM killer's threat breaks, rather than memory.low
	Used  uint64 // what is charged to it
	Limit uint64 // None without one
	Held  uint64 // the protection in force
}

// Budget bounds all protections of a node together: what is protected cannot be
// given to anybody else, and a node whose memory is all protected kills.
type Budget struct {
	Most uint64 // of both kinds
	Hard uint64 // of memory.min
}

// Protect sizes protections: each group's use and a margin to grow into, up to
// its limit, the hard ones first; what exceeds the budget is cut from the
// largest. Its whole use counts, cache too: a page that was mapped and touched
// stays on the kernel's inactive list until reclaim looks at it, so the lists
// do not tell what is worked with. What is in force stays while it fits, so
// that a steady load writes nothing.
func Protect(b Budget, wants []Want) []uint64 {
	hard := make([]uint64, len(wants))
	soft := make([]uint64, len(wants))
	for i, w := range wants {
		if w.Hard {
			hard[i] = w.size()
		} else {
			soft[i] = w.size()
		}
	}
	// A sixteenth is for what settle keeps above what was asked for.
	out := divide(min(b.Hard, b.Most)/16*15, hard)
	rest := divide(minus(b.Most/16*15, sum(out)), soft)
	for i, w := range wants {
		out[i] = settle(w.Held, (out[i]+rest[i])/grain*grain)
	}
	return out
}

// size is what the group should have: its use and an eighth.
func (w Want) size() uint64 {
	need := w.Used + w.Used/16
	if w.Held >= need && w.Held <= w.Used+w.Used/2+8*grain {
		return min(w.Held, w.Limit)
	}
	return min(roundUp(w.Used+w.Used/8), w.Limit)
}

// settle keeps what is held if less is wanted by a sixteenth at most.
func settle(held, want uint64) uint64 {
	if want <= held && held-want <= held/16 {
		return held
	}
	return want
}
