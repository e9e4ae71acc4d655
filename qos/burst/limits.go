package burst

import "fmt"

// Bandwidth is one group's kernel setting.
type Bandwidth struct {
	Period Micros `json:"period_us"`
	Quota  Micros `json:"quota_us"` // Unlimited for none
	Burst  Micros `json:"burst_us"`
}

// Depth is the most run time the pool can hold, Q + B.
func (b Bandwidth) Depth() Micros { return b.Quota + b.Burst }

// Rate is the long-run limit in CPUs, Q / P. It is meaningless for an unlimited group.
func (b Bandwidth) Rate() float64 { return float64(b.Quota) / float64(b.Period) }

// ratio is the kernel's fixed-point quota/period with 20 fractional bits (to_ratio in kernel/sched/core.c).
func (b Bandwidth) ratio() Micros { return mulDiv(b.Quota, 1<<20, b.Period) }

// Limits are the rules by which a kernel accepts a [Bandwidth] (tg_set_cfs_bandwidth in kernel/sched/core.c). The zero value means [Mainline].
type Limits struct {
	MinPeriod           Micros `json:"min_period_us"`      // min_cfs_quota_period, 1 ms
	MaxPeriod           Micros `json:"max_period_us"`      // max_cfs_quota_period, 1 s
	MinQuota            Micros `json:"min_quota_us"`       // min_cfs_quota_period again, 1 ms
	MaxRuntime          Micros `json:"max_runtime_us"`     // max_cfs_runtime: bounds quota + burst, 2^44-1 us
	HasBurst            bool   `json:"has_burst"`          // cpu.cfs_burst_us or cpu.max.burst exists (Linux 5.14)
	BurstMayExceedQuota bool   `json:"burst_exceed_quota"` // ANCK
	Unified             bool   `json:"unified"`            // cgroup v2: a child above its parent is cut, not refused
}

// Mainline returns the rules of a stock kernel since 5.14. They were confirmed on 6.18: period 999 us and 1000001 us, quota 999 us, burst above quota
// and quota + burst of 2^44 us are each refused with EINVAL.
func Mainline() Limits {
	return Limits{MinPeriod: 1000, MaxPeriod: 1_000_000, MinQuota: 1000, MaxRuntime: 1<<44 - 1, HasBurst: true}
}

// ANCK returns the rules of the Anolis Cloud Kernel, whose burst may be deeper than the quota.
func ANCK() Limits {
	l := Mainline()
	l.BurstMayExceedQuota = true
	return l
}

// NoBurst returns the rules of a kernel without the burst file.
func NoBurst() Limits {
	l := Mainline()
	l.HasBurst = false
	return l
}

// orMainline replaces the zero value.
func (l Limits) orMainline() Limits {
	if l == (Limits{}) {
		return Mainline()
	}
	return l
}

// Check reports why the kernel would refuse b, as a *FieldError, or nil. It does not see the parent; [CheckParent] does.
func (l Limits) Check(b Bandwidth) error {
	l = l.orMainline()
	switch {
	case b.Period < l.MinPeriod || b.Period > l.MaxPeriod:
		return field("period", b.Period, fmt.Sprintf("must be between %v and %v", l.MinPeriod, l.MaxPeriod))
	case b.Burst < 0:
		return field("burst", b.Burst, "must not be negative")
	case b.Burst > 0 && !l.HasBurst:
		return field("burst", b.Burst, "this kernel has no burst file")
	case b.Quota == Unlimited:
		return nil
	case b.Quota < l.MinQuota:
		return field("quota", b.Quota, fmt.Sprintf("must be at least %v", l.MinQuota))
	case b.Quota > l.MaxRuntime:
		return field("quota", b.Quota, fmt.Sprintf("must be at most %v", l.MaxRuntime))
	case b.Burst > b.Quota && !l.BurstMayExceedQuota:
		return field("burst", b.Burst, fmt.Sprintf("must not exceed the quota %v on this kernel", b.Quota))
	case b.Burst > l.MaxRuntime-b.Quota:
		return field("burst", b.Burst, fmt.Sprintf("quota and burst together must be at most %v", l.MaxRuntime))
	}
	return nil
}

// CheckParent reports why a cgroup v1 kernel would refuse child below parent (tg_cfs_schedulable_down): its quota/period ratio, rounded to 2^-20,
// may not exceed the parent's. On v2 (Unified) the kernel takes the smaller of the two and never refuses.
func (l Limits) CheckParent(child, parent Bandwidth) error {
	if l.Unified || parent.Quota == Unlimited || child.Quota == Unlimited || child.ratio() <= parent.ratio() {
		return nil
	}
	return field("quota", child.Quota, fmt.Sprintf("%.6g CPUs is above the parent's %.6g, which cgroup v1 refuses", child.Rate(), parent.Rate()))
}
