// Package cfs knows the kernel's rules of CPU bandwidth control and orders the
// changes of a whole tree of cgroups so that the kernel takes each write and no
// group has more on the way than before or after. It is pure: it reads and
// writes nothing.
//
// Source: kernel/sched/core.c of Linux 5.14 to 6.18, tg_set_cfs_bandwidth (the
// range of each value, burst ≤ quota), to_ratio (quota/period in fixed point
// with 20 bits after the point) and tg_cfs_schedulable_down: on cgroup v1 a
// group with a limit may not have a higher ratio than the nearest group above
// it that has one, on v2 the lower one holds and nothing is refused. On v2 one
// write of cpu.max changes quota and period together, on v1 each has a file.
package cfs

import (
	"fmt"
	"math"
	"math/bits"
)

// Unlimited is the quota of a group without a limit.
const Unlimited = -1

// Bounds of the values, in µs.
const (
	MinPeriod  = 1000
	MaxPeriod  = 1_000_000
	MinQuota   = 1000
	MaxRuntime = 1<<44 - 1 // of quota and burst together
)

// Limit is the CPU bandwidth of one group, in µs.
type Limit struct{ Period, Quota, Burst int64 }

// Limited says whether there is a quota.
func (l Limit) Limited() bool { return l.Quota >= 0 }

const (
	shift    = 20
	infinite = math.MaxInt64
)

// Ratio is quota/period as the kernel compares it, with 20 bits after the
// point; without a limit it is the largest number.
func (l Limit) Ratio() int64 {
	if !l.Limited() || l.Period <= 0 {
		return infinite
	}
	hi, lo := bits.Mul64(uint64(l.Quota), 1<<shift)
	if hi >= uint64(l.Period) {
		return infinite
	}
	q, _ := bits.Div64(hi, lo, uint64(l.Period))
	return int64(min(q, infinite))
}

// Depth is the most run time that can be saved up: quota and burst.
func (l Limit) Depth() int64 {
	if !l.Limited() {
		return infinite
	}
	return l.Quota + l.Burst
}

// String gives the limit in words.
func (l Limit) String() string {
	if !l.Limited() {
		return fmt.Sprintf("no quota, period %d µs, burst %d µs", l.Period, l.Burst)
	}
	return fmt.Sprintf("quota %d µs, period %d µs, burst %d µs", l.Quota, l.Period, l.Burst)
}

// Rules are those in which kernels and cgroup versions differ. The zero value
// is mainline with cgroup v1.
type Rules struct {
	Unified bool // cgroup v2
	Deep    bool // a burst may exceed the quota (Anolis)
	NoBurst bool // there is no burst file (before Linux 5.14)
}

// Check says why the kernel would refuse l for a group without others.
func (r Rules) Check(l Limit) error {
	switch {
	case l.Period < MinPeriod || l.Period > MaxPeriod:
		return fmt.Errorf("period %d µs: want %d to %d", l.Period, MinPeriod, MaxPeriod)
	case l.Burst < 0 || l.Burst > 0 && r.NoBurst:
		return fmt.Errorf("burst %d µs: this kernel takes none such", l.Burst)
	case !l.Limited():
		return nil
	case l.Quota < MinQuota || l.Quota > MaxRuntime:
		return fmt.Errorf("quota %d µs: want %d to %d", l.Quota, MinQuota, MaxRuntime)
	case l.Burst > l.Quota && !r.Deep || l.Burst > MaxRuntime-l.Quota:
		return fmt.Errorf("burst %d µs is above the quota of %d µs", l.Burst, l.Quota)
	}
	return nil
}

// AboveError says that a group would have more than a group above it, which
// cgroup v1 refuses.
type AboveError struct {
	Group, Above string
	Want, Has    Limit
}

func (e *AboveError) Error() string {
	return fmt.Sprintf("limit %s to %s: %s above it has %s, and cgroup v1 takes no group with more than that", e.Group, e.Want, e.Above, e.Has)
}
