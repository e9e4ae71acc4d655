package control

import (
	"fmt"
	"math"
	"time"
)

// Span is the least and the most of something.
type Span struct{ Min, Max float64 }

// CacheOptions tunes a Cache. Shares are of the node's last-level cache and
// memory bandwidth.
type CacheOptions struct {
	// HasCache and HasBandwidth say what can be shared out at all.
	HasCache, HasBandwidth bool
	Cache, Bandwidth       Span
	// Saturation is the share of the memory's peak bandwidth from which on it
	// counts as full; 0 switches that off.
	Saturation float64
	Cut        float64       // what a breach leaves of a share, in one step
	Hold       time.Duration // between two cuts: what was done takes a while to show
	// Sample is Hold for CPI and Misses, which are known anew only that often.
	Sample time.Duration
	Settle time.Duration // how long all must be well before a share grows, and between two steps
	Step   float64       // by which it grows
}

// DefaultCache gives the options that a node runs with unless told otherwise.
// Both by Koordinator's resctrl defaults, which leave best-effort work 30 % of
// the cache and all of the bandwidth.
func DefaultCache() CacheOptions {
	return CacheOptions{
		Cache: Span{0.1, 0.3}, Bandwidth: Span{0.1, 1}, Saturation: 0.8,
		Cut: 0.6, Hold: 2 * time.Second, Sample: DefaultOutlier().Every, Settle: 10 * time.Second, Step: 0.05,
	}
}

// CacheSignals is what the memory system looked like. What is missing is NaN
// and decides nothing.
type CacheSignals struct {
	Now        time.Time
	Sensitives int // latency-sensitive workloads
	// CPI and Misses are the factors by which the cycles per instruction of a
	// latency-sensitive workload, and the memory traffic of their class for
	// each second of CPU, exceed what is usual: Verdict.Factor.
	CPI, Misses float64
	// Saturation is the node's memory traffic as a share of its peak.
	Saturation float64
}

// Shares is what best-effort work may have.
type Shares struct {
	Cache     float64 `json:"cache"`
	Bandwidth float64 `json:"bandwidth"`
}

// Cache decides how much of the cache and of the memory bandwidth best-effort
// work may have: all while nobody is sensitive, Max otherwise, less at once when
// latency-sensitive work suffers, and back in small steps. What suffers from a
// full memory bus is helped by bandwidth, all else first by cache. It is a pure
// state machine; the shape is that of Heracles (Lo et al., ISCA 2015), whose
// top-level controller likewise reacts to the memory's saturation before all.
type Cache struct {
	o    CacheOptions
	now  Shares
	cut  time.Time // the last one
	calm time.Time // since when all is well, or the last growth
	was  int
}

// NewCache makes a Cache that holds nobody to anything.
func NewCache(o CacheOptions) *Cache { return &Cache{o: o, now: Shares{1, 1}} }

// SetOptions changes the tuning; the shares come into the new spans with the
// next Step.
func (c *Cache) SetOptions(o CacheOptions) { c.o = o }

// Options gives those in force.
func (c *Cache) Options() CacheOptions { return c.o }

// Shares gives those in force.
func (c *Cache) Shares() Shares { return c.now }

// Step takes one look and gives the shares to hold from now on; why is set when
// they changed.
func (c *Cache) Step(in CacheSignals) (s Shares, why string) {
	c.rewind(in.Now)
	was := c.was
	c.was = in.Sensitives
	if in.Sensitives == 0 {
		c.calm, c.cut = time.Time{}, time.Time{}
		return c.set(Shares{1, 1}, "no latency-sensitive workload on the node")
	}
	if was == 0 {
		c.calm = in.Now
		return c.set(Shares{c.o.Cache.Max, c.o.Bandwidth.Max}, "latency-sensitive work came")
	}
	c.now = Shares{c.o.Cache.hold(c.now.Cache), c.o.Bandwidth.hold(c.now.Bandwidth)}
	full, why, breach := c.breach(in)
	switch {
	case breach:
		return c.down(in.Now, full, why)
	case bad(in.CPI) && bad(in.Misses) && (bad(in.Saturation) || c.o.Saturation == 0):
		c.calm = in.Now // nothing says that all is well
		return c.now, ""
	}
	return c.up(in.Now)
}

// rewind forgets times that are in the future of a clock that went back.
func (c *Cache) rewind(now time.Time) {
	if c.calm.After(now) {
		c.calm = now
	}
	if c.cut.After(now) {
		c.cut = now
	}
}

// breach finds the dominant signal; full says that it is the memory bus.
func (c *Cache) breach(in CacheSignals) (full bool, why string, over bool) {
	worst := 1.0
	if !bad(in.CPI) && in.CPI > worst {
		worst, why = in.CPI, fmt.Sprintf("LS cycles per instruction %.2f times the most that is usual", in.CPI)
	}
	if !bad(in.Misses) && in.Misses > worst {
		worst, why = in.Misses, fmt.Sprintf("LS memory traffic %.2f times the most that is usual", in.Misses)
	}
	if !bad(in.Saturation) && c.o.Saturation > 0 && in.Saturation/c.o.Saturation > worst {
		worst, full = in.Saturation/c.o.Saturation, true
		why = fmt.Sprintf("memory bandwidth %.0f %% of its peak > %.0f %%", in.Saturation*100, c.o.Saturation*100)
	}
	return full, why, worst > 1
}

// down takes from the resource that helps most, or from the other one where
// that has nothing left to give.
func (c *Cache) down(now time.Time, full bool, why string) (Shares, string) {
	c.calm = now
	hold := c.o.Sample
	if full {
		hold = c.o.Hold
	}
	if !c.cut.IsZero() && now.Sub(c.cut) < hold {
		return c.now, ""
	}
	c.cut = now
	next := c.now
	cache := c.o.HasCache && c.now.Cache > c.o.Cache.Min
	bandwidth := c.o.HasBandwidth && c.now.Bandwidth > c.o.Bandwidth.Min
	switch {
	case bandwidth && (full || !cache):
		next.Bandwidth = max(c.o.Bandwidth.Min, c.now.Bandwidth*c.o.Cut)
	case cache:
		next.Cache = max(c.o.Cache.Min, c.now.Cache*c.o.Cut)
	}
	return c.set(next, why)
}

// up gives back one step of each after a while of calm.
func (c *Cache) up(now time.Time) (Shares, string) {
	if c.calm.IsZero() {
		c.calm = now
	}
	if now.Sub(c.calm) < c.o.Settle {
		return c.now, ""
	}
	c.calm = now
	next := Shares{c.o.Cache.hold(c.now.Cache + c.o.Step), c.o.Bandwidth.hold(c.now.Bandwidth + c.o.Step)}
	return c.set(next, "latency-sensitive work is well")
}

func (c *Cache) set(s Shares, why string) (Shares, string) {
	if s == c.now {
		return s, ""
	}
	c.now = s
	return s, why
}

// hold brings v into the span.
func (s Span) hold(v float64) float64 {
	if math.IsNaN(v) {
		return s.Max
	}
	return min(max(v, s.Min), s.Max)
}
