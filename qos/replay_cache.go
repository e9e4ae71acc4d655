package qos

import (
	"cmp"
	"time"

	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/record"
)

// cacheLook is what the cache's controller looked at, as it stands in a
// recording. What was not known is absent.
type cacheLook struct {
	HasCache     bool     `json:"has_cache"`
	HasBandwidth bool     `json:"has_bandwidth"`
	Sensitives   int      `json:"ls"`
	CPI          *float64 `json:"cpi,omitempty"`
	Misses       *float64 `json:"misses,omitempty"`
	Saturation   *float64 `json:"saturation,omitempty"`
}

func lookOf(in control.CacheSignals, cache, bandwidth bool) cacheLook {
	return cacheLook{cache, bandwidth, in.Sensitives, known(in.CPI), known(in.Misses), known(in.Saturation)}
}

// ReplayCache is what best-effort work might have of the cache and the memory
// bandwidth on both sides, as means of shares.
type ReplayCache struct {
	Then control.Shares `json:"recorded"`
	Now  control.Shares `json:"replayed"`
	Same float64        `json:"identical"` // share of looks with the very same shares

	ctl         *control.Cache
	looks, same int
}

func (p *replayer) lookCache(now time.Time, l *record.Look) error {
	var in cacheLook
	var then control.Shares
	if err := cmp.Or(read(l, l.In, &in), read(l, l.Out, &then)); err != nil {
		return err
	}
	c := p.cache
	if c == nil {
		c = &ReplayCache{ctl: control.NewCache(p.policy.Cache.options(in.HasCache, in.HasBandwidth))}
		p.cache = c
	}
	got := control.Shares{Cache: 1, Bandwidth: 1}
	if p.policy.Cache.Mode != "off" {
		c.ctl.SetOptions(p.policy.Cache.options(in.HasCache, in.HasBandwidth))
		got, _ = c.ctl.Step(control.CacheSignals{
			Now: now, Sensitives: in.Sensitives, CPI: orNaN(in.CPI), Misses: orNaN(in.Misses), Saturation: orNaN(in.Saturation),
		})
	}
	c.looks++
	if got == then {
		c.same++
	}
	c.Then.Cache, c.Then.Bandwidth = c.Then.Cache+then.Cache, c.Then.Bandwidth+then.Bandwidth
	c.Now.Cache, c.Now.Bandwidth = c.Now.Cache+got.Cache, c.Now.Bandwidth+got.Bandwidth
	return nil
}

func (c *ReplayCache) finish() {
	n := float64(c.looks)
	c.Then.Cache, c.Then.Bandwidth, c.Now.Cache, c.Now.Bandwidth = c.Then.Cache/n, c.Then.Bandwidth/n, c.Now.Cache/n, c.Now.Bandwidth/n
	c.Same = float64(c.same) / n
}
