package memory

import (
	"cmp"
	"slices"
)

// divide splits total by max-min fairness: nobody gets more than he wants while
// another is short.
func divide(total uint64, wants []uint64) []uint64 {
	order := make([]int, len(wants))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wants[a], wants[b]) })
	out := make([]uint64, len(wants))
	for k, i := range order {
		out[i] = min(wants[i], total/uint64(len(order)-k))
		total -= out[i]
	}
	return out
}

// sum adds without wrapping.
func sum(of []uint64) (n uint64) {
	for _, v := range of {
		if n += v; n < v {
			return None
		}
	}
	return n
}

// grain is what all values written are a multiple of, so that the kernel, which
// rounds to pages, reads back what was written, and noise writes nothing.
const grain = MiB

func roundUp(n uint64) uint64 {
	if n > None-grain {
		return None
	}
	return (n + grain - 1) / grain * grain
}
