package burst

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// DefaultMinPeriod is where the planner starts: the kernel's default period. A shorter one makes more refills for no deeper bucket, so it is taken
// only when Spec.MaxStall asks for it.
const DefaultMinPeriod Micros = 100_000

// grid is the step of planned periods, so that they read well.
const grid Micros = 1000

// Plan is a kernel setting and what it means. Build it with [NewPlan].
type Plan struct {
	Limit       float64  `json:"limit_cpus"`
	Bandwidth            // P, Q, B
	Depth       Micros   `json:"depth_us"`       // D = Q + B
	Wanted      Micros   `json:"wanted_us"`      // b
	Shortfall   Micros   `json:"shortfall_us"`   // b - D, at least 0
	Edge        Micros   `json:"edge_us"`        // refill-edge term: any window T uses <= r*T + D + Edge
	Stall       Micros   `json:"worst_stall_us"` // parent's stall included
	MaxStall    Micros   `json:"max_stall_us"`   // as asked, 0 = no demand
	CPUs        int      `json:"cpus"`           // N, 0 = unknown
	Met         bool     `json:"met"`            // D >= b
	StallMet    bool     `json:"stall_met"`
	NeedsCredit bool     `json:"needs_credit"` // the kernel cannot bank b alone: see Credit
	Notes       []string `json:"notes,omitempty"`
}

// NewPlan picks the shortest period from Spec.MinPeriod up to the kernel's longest whose bucket is as deep as the burst asked for, within the stall
// allowed; if none is, the longest allowed, and NeedsCredit. Quotas round down, so the long-run rate never exceeds the limit. Errors are
// *FieldError: an unusable field, a limit too small for the kernel, or one above the parent's on cgroup v1.
func NewPlan(s Spec) (Plan, error) {
	if err := s.Validate(); err != nil {
		return Plan{}, err
	}
	pl := planner{Spec: s, nano: nanoCPUs(s.Limit), wanted: ceilMicros(s.Burst)}
	pl.Limits = s.Limits.orMainline()
	low, high, err := pl.periods()
	if err != nil {
		return Plan{}, err
	}
	b := pl.bandwidth(pl.choose(low, high))
	if err := pl.fitParent(&b); err != nil {
		return Plan{}, err
	}
	if err := pl.Limits.Check(b); err != nil {
		return Plan{}, fmt.Errorf("plan for %g CPUs: %w", s.Limit, err)
	}
	return pl.finish(b), nil
}

// nanoCPUs keeps what a decimal limit says and rounds anything finer down. It is 0 below one nano-CPU.
func nanoCPUs(r float64) Micros { return Micros(math.Floor(r*1e9 + 1e-3)) }

func ceilMicros(d time.Duration) Micros { return MicrosOf(d + time.Microsecond - 1) }

type planner struct {
	Spec
	nano   Micros // limit in 1e-9 CPUs
	wanted Micros
	notes  []string
}

func (p *planner) quota(period Micros) Micros { return mulDiv(p.nano, period, 1_000_000_000) }

// periods returns the range of periods allowed by the kernel, the smallest quota and the stall.
func (p *planner) periods() (low, high Micros, err error) {
	l := p.Limits
	if p.quota(l.MaxPeriod) < l.MinQuota {
		return 0, 0, field("limit", p.Limit, fmt.Sprintf("the kernel needs at least %v of quota per %v", l.MinQuota, l.MaxPeriod))
	}
	// The shortest period whose quota, rounded down, is not below the smallest the kernel takes.
	floor := max(l.MinPeriod, (l.MinQuota*1_000_000_000+p.nano-1)/p.nano)
	low, high = DefaultMinPeriod, l.MaxPeriod
	if p.MinPeriod != 0 {
		low = p.MinPeriod
	}
	low = min(max(low, floor), high)
	if p.MaxStall > 0 {
		high = max(floor, min(high, p.longestFor(MicrosOf(p.MaxStall))))
		low = min(low, high)
	}
	return low, high, nil
}

// longestFor is the longest period whose worst stall P*(1 - r/N) is within stall.
func (p *planner) longestFor(stall Micros) Micros {
	stall = max(0, stall-p.parentStall())
	if p.CPUs == 0 {
		return stall
	}
	free := Micros(p.CPUs)*1_000_000_000 - p.nano
	if free <= 0 {
		return p.Limits.MaxPeriod // the limit never binds
	}
	longest := min(p.Limits.MaxPeriod, mulDiv(stall, Micros(p.CPUs)*1_000_000_000, free))
	for longest > 0 && p.bandwidth(longest).WorstStall(p.CPUs) > stall { // rounding of the quota
		longest--
	}
	return longest
}

func (p *planner) parentStall() Micros {
	if p.Parent == nil {
		return 0
	}
	return p.Parent.WorstStall(p.CPUs)
}

// choose returns the shortest period in [low, high] with a deep enough bucket, or high.
func (p *planner) choose(low, high Micros) Micros {
	if p.bandwidth(low).Depth() >= p.wanted {
		return low
	}
	// Depth grows with the period, so binary search on the grid, then high itself, which may lie between grid points.
	a, b := low/grid+1, high/grid
	for a < b {
		mid := (a + b) / 2
		if p.bandwidth(mid*grid).Depth() >= p.wanted {
			b = mid
		} else {
			a = mid + 1
		}
	}
	if at := a * grid; at >= low && at <= high && p.bandwidth(at).Depth() >= p.wanted {
		return at
	}
	return high
}

// bandwidth is the setting for a period: the burst is what is missing from the wanted depth, up to what the kernel takes.
func (p *planner) bandwidth(period Micros) Bandwidth {
	b := Bandwidth{Period: period, Quota: p.quota(period)}
	if p.Limits.HasBurst {
		b.Burst = max(0, p.wanted-b.Quota)
		if !p.Limits.BurstMayExceedQuota {
			b.Burst = min(b.Burst, b.Quota)
		}
		b.Burst = max(0, min(b.Burst, p.Limits.MaxRuntime-b.Quota))
	}
	return b
}

// fitParent refuses a limit above the parent's on v1, after giving way to rounding, and notes what a parent takes away.
func (p *planner) fitParent(b *Bandwidth) error {
	if p.Parent == nil || p.Parent.Quota == Unlimited {
		return nil
	}
	const rounding = 2 // microseconds that two floors can differ by
	for range rounding {
		if p.Limits.CheckParent(*b, *p.Parent) != nil {
			b.Quota--
			b.Burst = min(b.Burst, p.burstCap(b.Quota))
		}
	}
	if err := p.Limits.CheckParent(*b, *p.Parent); err != nil {
		return field("limit", p.Limit, fmt.Sprintf("is above the parent's %.6g CPUs, which cgroup v1 refuses", p.Parent.Rate()))
	}
	if b.ratio() > p.Parent.ratio() {
		p.notes = append(p.notes, fmt.Sprintf("the parent's limit of %.6g CPUs is lower and is what holds in the long run", p.Parent.Rate()))
	}
	if p.Parent.Depth() < b.Depth() {
		p.notes = append(p.notes, fmt.Sprintf("the parent banks only %v: give it the same period and burst, or bursts above that stall there", p.Parent.Depth()))
	}
	return nil
}

func (p *planner) burstCap(quota Micros) Micros {
	if p.Limits.BurstMayExceedQuota {
		return p.Limits.MaxRuntime - quota
	}
	return quota
}

func (p *planner) finish(b Bandwidth) Plan {
	out := Plan{
		Limit: p.Limit, Bandwidth: b, Depth: b.Depth(), Wanted: p.wanted, CPUs: p.CPUs, MaxStall: MicrosOf(p.MaxStall),
		Edge: b.EdgeUse(p.CPUs), Stall: b.WorstStall(p.CPUs) + p.parentStall(),
	}
	out.Shortfall = max(0, out.Wanted-out.Depth)
	// A note, not an error: a shallow parent leaves the plan valid but the burst unmet.
	if p.Parent != nil && p.Parent.Quota != Unlimited {
		out.Shortfall = max(0, out.Wanted-min(out.Depth, p.Parent.Depth()))
	}
	out.Met = out.Shortfall == 0
	out.NeedsCredit = out.Wanted > out.Depth
	out.StallMet = p.MaxStall == 0 || out.Stall <= out.MaxStall
	out.Notes = slices.Concat(p.notes, p.remarks(out))
	return out
}

func (p *planner) remarks(out Plan) []string {
	var notes []string
	if p.CPUs > 0 && p.nano >= Micros(p.CPUs)*1_000_000_000 {
		notes = append(notes, fmt.Sprintf("the limit is not below the %d CPUs the group can use, so it never binds", p.CPUs))
	}
	if !p.Limits.HasBurst && p.wanted > out.Quota {
		notes = append(notes, "this kernel has no burst: unused quota is lost at each refill")
	}
	if !out.StallMet {
		notes = append(notes, "the shortest period that the kernel's smallest quota allows still stalls longer than asked")
	}
	return notes
}

// MaxUse bounds the CPU time used in any window of length t; see [Bandwidth.MaxUse] for the proof.
func (p Plan) MaxUse(t time.Duration) time.Duration { return p.Bandwidth.MaxUse(t, p.CPUs) }
