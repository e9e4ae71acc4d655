package cfs

import (
	"math/rand/v2"
	"slices"

	"golang.org/x/sys/unix"
)

// kernel is the bandwidth part of the scheduler, written from what
// tg_set_cfs_bandwidth and tg_cfs_schedulable_down do, in ns, and sharing
// nothing with the planner.
type kernel struct {
	unified, deep bool
	parent        []int // -1 below the root, which has no limit
	period, quota []uint64
	burst         []uint64
	hier          []uint64 // hierarchical_quota
	writes        int
}

const (
	runtimeInf = ^uint64(0)
	ms         = 1_000_000
)

func (k *kernel) limit(i int) Limit {
	l := Limit{Period: int64(k.period[i] / 1000), Quota: Unlimited, Burst: int64(k.burst[i] / 1000)}
	if k.quota[i] != runtimeInf {
		l.Quota = int64(k.quota[i] / 1000)
	}
	return l
}

func (k *kernel) add(parent int, l Limit) {
	k.parent = append(k.parent, parent)
	k.period, k.quota = append(k.period, uint64(l.Period)*1000), append(k.quota, runtimeInf)
	if l.Limited() {
		k.quota[len(k.quota)-1] = uint64(l.Quota) * 1000
	}
	k.burst, k.hier = append(k.burst, uint64(l.Burst)*1000), append(k.hier, 0)
}

// write is a write to one control file.
func (k *kernel) write(s Step) error {
	k.writes++
	i := s.Node
	period, quota, burst := k.period[i], k.quota[i], k.burst[i]
	q := runtimeInf
	if s.To.Quota >= 0 {
		q = uint64(s.To.Quota) * 1000
	}
	switch s.File {
	case Quota:
		quota = q
	case Period:
		period = uint64(s.To.Period) * 1000
	case Burst:
		burst = uint64(s.To.Burst) * 1000
	case Max:
		quota, period = q, uint64(s.To.Period)*1000
	}
	if k.unified != (s.File == Max) && s.File != Burst {
		return unix.ENOENT
	}
	return k.set(i, period, quota, burst)
}

func (k *kernel) set(i int, period, quota, burst uint64) error {
	const most = (1<<44 - 1) * 1000
	switch {
	case quota < ms || period < ms, period > 1000*ms, quota != runtimeInf && quota > most:
		return unix.EINVAL
	case quota != runtimeInf && (burst > quota && !k.deep || burst+quota > most):
		return unix.EINVAL
	}
	if !k.schedulable(i, period, quota) {
		return unix.EINVAL
	}
	k.period[i], k.quota[i], k.burst[i] = period, quota, burst
	return nil
}

// schedulable walks the tree from the root, with what one group would have.
func (k *kernel) schedulable(of int, period, quota uint64) bool {
	for i := range k.parent {
		p, q := k.period[i], k.quota[i]
		if i == of {
			p, q = period, quota
		}
		ratio := runtimeInf
		if q != runtimeInf {
			ratio = q / 1000 << 20 / (p / 1000)
		}
		up := runtimeInf
		if k.parent[i] >= 0 {
			up = k.hier[k.parent[i]]
		}
		switch {
		case k.unified:
			ratio = min(ratio, up)
		case ratio == runtimeInf:
			ratio = up
		case up != runtimeInf && ratio > up:
			return false
		}
		k.hier[i] = ratio
	}
	return true
}

// random makes trees and plans.
type random struct {
	*rand.Rand
	rules Rules
}

func (r random) pick(of ...int64) int64 { return of[r.IntN(len(of))] }

// limit makes one that the kernel takes below a group with that ratio.
func (r random) limit(bound int64) Limit {
	l := Limit{Period: r.pick(100_000, 100_000, 50_000, 500_000, 1_000_000, 1000, 1000+r.Int64N(999_001)), Quota: Unlimited}
	if r.IntN(5) == 0 {
		if r.IntN(2) == 0 && !r.rules.NoBurst {
			l.Burst = r.Int64N(1 << 30)
		}
		return l
	}
	most := l.Period * 8
	if r.IntN(50) == 0 {
		most = MaxRuntime
	}
	switch r.IntN(4) {
	case 0: // a round share
		l.Quota = l.Period * r.pick(1, 2, 5, 10, 20) / 10
	case 1: // the least
		l.Quota = MinQuota
	case 2:
		l.Quota = 1 + r.Int64N(most)
	default: // as much as there is
		l.Quota = most
	}
	l.Quota = max(MinQuota, l.Quota)
	if r.IntN(10) == 0 {
		l.Period = MaxPeriod
	}
	if !r.rules.Unified {
		l = l.within(bound)
	}
	if r.rules.NoBurst {
		return l
	}
	deepest := min(l.Quota, MaxRuntime-l.Quota)
	if r.rules.Deep {
		deepest = min(4*l.Quota, MaxRuntime-l.Quota)
	}
	l.Burst = r.pick(0, 0, deepest, r.Int64N(deepest+1))
	return l
}

// tree makes nodes that have and want something legal.
func (r random) tree() []Node {
	nodes := make([]Node, 1+r.IntN(9))
	now, want := make([]int64, len(nodes)), make([]int64, len(nodes))
	for i := range nodes {
		n := &nodes[i]
		n.Name, n.Parent = string(rune('a'+i)), r.IntN(i+1)-1
		up := [2]int64{infinite, infinite}
		if n.Parent >= 0 {
			up = [2]int64{now[n.Parent], want[n.Parent]}
		}
		n.Now, n.Want = r.limit(up[0]), r.limit(up[1])
		same := n.Now
		same.Burst = n.Want.Burst
		switch alike := r.IntN(4); {
		case alike == 0 && n.Now.legal(up[1]): // it stays
			n.Want = n.Now
		case alike == 1 && r.rules.Check(same) == nil && same.legal(up[1]): // only the burst
			n.Want = same
		}
		now[i], want[i] = min(n.Now.Ratio(), up[0]), min(n.Want.Ratio(), up[1])
	}
	return nodes
}

func (l Limit) legal(bound int64) bool { return !l.Limited() || l.Ratio() <= bound }

func (r random) kernel(nodes []Node) *kernel {
	k := &kernel{unified: r.rules.Unified, deep: r.rules.Deep}
	for _, n := range nodes {
		k.add(n.Parent, n.Now)
	}
	return k
}

func (k *kernel) limits() []Limit {
	out := make([]Limit, len(k.parent))
	for i := range out {
		out[i] = k.limit(i)
	}
	return out
}

func clone(nodes []Node) []Node { return slices.Clone(nodes) }
