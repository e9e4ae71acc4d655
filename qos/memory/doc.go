// Package memory isolates memory by class: what latency-sensitive groups work
// with stays where it is while best-effort ones fill what is left.
//
// Controllers are pure: they take signals and the time and say what they want
// and why. They are Protect (memory.min and memory.low), Allow and Bound (how
// much a best-effort group may have: memory.high, or the limit on cgroup v1),
// Reclaimer (when to take page cache back in the background, and how fast),
// Evictor and Order (who goes when nothing else helps) and Score (oom_score_adj).
// Files reads a group, Host the node; Worker does the reclaim, which blocks.
//
// Groups compete for memory in a Domain: the node, or a cgroup with a limit
// above them, such as Kubernetes' kubepods. The kernel reclaims from all groups
// of a domain when it is full, whatever their class; so each domain with
// latency-sensitive work in it is kept from becoming full, at the cost of
// best-effort work alone. All sizes are in bytes.
//
// Sources: Documentation/admin-guide/cgroup-v2.rst (memory.min to
// memory.reclaim), cgroup-v1/memory.rst and accounting/psi.rst of the Linux
// kernel; the background reclaim of the Anolis Cloud Kernel (memory.wmark_ratio)
// is the model of Reclaimer, in user space.
package memory

// None is a size without a bound, as cgroup.Uint gives it.
const None = ^uint64(0)

// MiB is 2^20 bytes.
const MiB = 1 << 20

func minus(a, b uint64) uint64 {
	if a < b {
		return 0
	}
	return a - b
}

// part gives a share of n.
func part(n uint64, share float64) uint64 { return uint64(float64(n) * share) }

// size writes bytes for people.
func size(n uint64) string {
	switch {
	case n == None:
		return "max"
	case n >= 10<<30:
		return itoa((n+1<<29)>>30) + " GiB"
	case n >= 10*MiB:
		return itoa((n+1<<19)>>20) + " MiB"
	}
	return itoa((n+1<<9)>>10) + " KiB"
}
