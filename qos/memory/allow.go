package memory

import "fmt"

// Domain is memory that groups compete for: the node's, or that below a limit.
type Domain struct {
	Total uint64
	Free  uint64 // charged to nobody
	// Loose is page cache of groups that are neither latency-sensitive nor best
	// effort, where the kernel takes that before the protected: with memory.low.
	// On cgroup v1 it takes from all alike, so there nothing but what is free
	// counts.
	Loose  uint64
	Target uint64 // to be kept free
	Floor  uint64 // best-effort work always gets that much in all
}

// Claim is one best-effort group in a Domain.
type Claim struct {
	Used   uint64
	Pinned uint64 // the part of Used that no reclaim can take
	Limit  uint64 // its own, None without one
}

// A domain is ample, and bounds nobody, once ampleAt of it is free, and until
// tightAt is not.
const (
	ampleAt = 0.6
	tightAt = 0.5
)

// Ample says whether best-effort work needs no bound; bounded is whether it has
// one.
func (d Domain) Ample(bounded bool) bool {
	at := tightAt
	if bounded {
		at = ampleAt
	}
	return d.Free+d.Loose > part(d.Total, at)
}

// Short says by how much what is free is below the target.
func (d Domain) Short() uint64 { return minus(d.Target, d.Free+d.Loose) }

// Room is what best-effort work may have in all: what it has and what is free
// above the target.
func (d Domain) Room(used uint64) uint64 {
	return max(d.Floor, minus(used+d.Free+d.Loose, d.Target))
}

// Allow splits the room: everybody gets what cannot be taken from it and a
// margin, the rest goes by use (half as much again as each has, by max-min
// fairness) and what is left evenly. Together the groups may exceed the room by
// those margins alone.
func (d Domain) Allow(claims []Claim) []uint64 {
	used, firm := make([]uint64, len(claims)), make([]uint64, len(claims))
	grow, most := make([]uint64, len(claims)), make([]uint64, len(claims))
	for i, c := range claims {
		used[i] = c.Used
		firm[i] = min(c.Limit, c.Pinned+Margin(c.Pinned))
		grow[i] = minus(min(c.Limit, c.Used+c.Used/2), firm[i])
		most[i] = minus(c.Limit, firm[i])
	}
	left := minus(d.Room(sum(used)), sum(firm))
	first := divide(left, grow)
	left = minus(left, sum(first))
	for i := range most {
		most[i] = minus(most[i], first[i])
	}
	rest := divide(left, most)
	for i := range rest {
		rest[i] += firm[i] + first[i]
	}
	return rest
}

// Why tells people what the room follows from.
func (d Domain) Why() string {
	if d.Loose > 0 {
		return fmt.Sprintf("%s and %s of cache free of %s, %s to be kept", size(d.Free), size(d.Loose), size(d.Total), size(d.Target))
	}
	return fmt.Sprintf("%s free of %s, %s to be kept", size(d.Free), size(d.Total), size(d.Target))
}

// Margin is what a group may have above what cannot be taken from it: there
// must be room for it to grow until the next look, or the kernel kills.
func Margin(pinned uint64) uint64 { return max(16*MiB, pinned/8) }
