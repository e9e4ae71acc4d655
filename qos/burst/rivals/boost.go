package rivals

import (
	"fmt"
	"math"
	"time"

	"github.com/anole-os/anole/qos/burst"
)

// BoostOptions are the documented parameters. The zero value of all but Base is the documented default.
type BoostOptions struct {
	Base       burst.Bandwidth // the group's own limit
	Up, Down   float64         // factors of one step; 0 = 1.2 and 0.8
	Ceiling    float64         // cfsQuotaBurstPercent / 100: most quota as a factor of Base; 0 = 3
	Threshold  float64         // sharePoolThresholdPercent / 100; 0 = 0.50
	Cooling    float64         // part of Threshold from which nothing is scaled up; 0 = 0.90, so 45 % of the pool
	Every      time.Duration   // 0 = 1 s
	BurstLimit time.Duration   // cfsQuotaBurstPeriodSeconds: how long a group may stay at the ceiling; 0 = without limit (-1 in the document)
}

// Boost scales one group's quota. It is a pure state machine; the caller writes the quota when Step says that it changed.
type Boost struct {
	opts   BoostOptions
	quota  burst.Micros
	last   time.Duration
	begun  bool
	tokens float64 // ns of CPU time above the base that may still be used
}

// BoostSample is what the policy looks at.
type BoostSample struct {
	At        time.Duration // any monotonic clock
	Throttled bool          // the group was throttled since the last step
	PoolUse   float64       // CPU use of the node's share pool, 0..1
	Used      time.Duration // CPU time the group used since the last step
}

// NewBoost returns the policy at the base quota. The error wraps burst.ErrInvalid.
func NewBoost(o BoostOptions) (*Boost, error) {
	if err := burst.Mainline().Check(o.Base); err != nil {
		return nil, fmt.Errorf("boost base: %w", err)
	}
	if o.Base.Quota == burst.Unlimited {
		return nil, fmt.Errorf("boost base: an unlimited group cannot be scaled: %w", burst.ErrInvalid)
	}
	set := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	set(&o.Up, 1.2)
	set(&o.Down, 0.8)
	set(&o.Ceiling, 3)
	set(&o.Threshold, 0.5)
	set(&o.Cooling, 0.9)
	if o.Every == 0 {
		o.Every = time.Second
	}
	if !(o.Up > 1 && o.Down > 0 && o.Down < 1 && o.Ceiling >= 1 && !math.IsInf(o.Up+o.Ceiling, 0)) || o.Every < 0 || o.BurstLimit < 0 {
		return nil, fmt.Errorf("boost factors up %g, down %g, ceiling %g: %w", o.Up, o.Down, o.Ceiling, burst.ErrInvalid)
	}
	b := &Boost{opts: o, quota: o.Base.Quota}
	b.tokens = b.capacity()
	return b, nil
}

// Quota is the quota now.
func (b *Boost) Quota() burst.Micros { return b.quota }

// Step takes one sample and returns the quota to set and whether it differs from the one before. Samples closer than Every are ignored.
func (b *Boost) Step(s BoostSample) (burst.Micros, bool) {
	if b.begun && s.At-b.last < b.opts.Every {
		return b.quota, false
	}
	dt := b.opts.Every
	if b.begun {
		dt = s.At - b.last
	}
	b.begun, b.last = true, s.At
	b.refill(dt, s.Used)
	was := b.quota
	switch {
	case s.PoolUse >= b.opts.Threshold || b.spent():
		b.scale(b.opts.Down)
	case !s.Throttled || s.PoolUse >= b.opts.Threshold*b.opts.Cooling:
	default:
		b.scale(b.opts.Up)
	}
	return b.quota, b.quota != was
}

// capacity is the bucket of extra CPU time: BurstLimit spent at the ceiling.
func (b *Boost) capacity() float64 {
	return (b.opts.Ceiling - 1) * b.opts.Base.Rate() * float64(b.opts.BurstLimit)
}

func (b *Boost) refill(dt, used time.Duration) {
	b.tokens = min(b.capacity(), b.tokens+b.opts.Base.Rate()*float64(dt)-float64(used))
}

func (b *Boost) spent() bool { return b.opts.BurstLimit > 0 && b.tokens <= 0 }

func (b *Boost) scale(factor float64) {
	base := float64(b.opts.Base.Quota)
	b.quota = burst.Micros(min(max(float64(b.quota)*factor, base), base*b.opts.Ceiling))
}
