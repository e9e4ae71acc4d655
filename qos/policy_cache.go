package qos

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/control"
)

// CachePolicy says what best-effort work may have of the last-level cache and
// of the memory bandwidth while latency-sensitive work is on the node.
type CachePolicy struct {
	Mode         string         `yaml:"mode" json:"mode" doc:"Share out cache and memory bandwidth by resctrl: auto (where the node has it mounted), on (say so where it is missing) or off."`
	Share        float64        `yaml:"share" json:"share" doc:"Share of the last-level cache that best-effort work may fill."`
	ShareMin     float64        `yaml:"shareMin" json:"share_min" doc:"Share that is left to it when latency-sensitive work suffers."`
	Bandwidth    float64        `yaml:"bandwidth" json:"bandwidth" doc:"Share of the memory bandwidth that best-effort work may take."`
	BandwidthMin float64        `yaml:"bandwidthMin" json:"bandwidth_min" doc:"Share that is left to it when the memory is saturated."`
	Peak         yamlx.Bytes    `yaml:"peak" json:"peak" doc:"What the node's memory moves in a second at most, as a benchmark such as STREAM shows it; 0 is unknown: then saturation is not seen, and AMD's bandwidths, which are no percentages, are not limited."`
	Saturation   float64        `yaml:"saturation" json:"saturation" doc:"Share of peak from which on the memory is saturated; 0 is off."`
	Settle       yamlx.Duration `yaml:"settle" json:"settle" doc:"How long latency-sensitive work must be well before best-effort work gets some of it back, and between two such steps."`
}

func defaultCache() CachePolicy {
	o := control.DefaultCache()
	return CachePolicy{
		Mode: "auto", Share: o.Cache.Max, ShareMin: o.Cache.Min, Bandwidth: o.Bandwidth.Max, BandwidthMin: o.Bandwidth.Min,
		Saturation: o.Saturation, Settle: yamlx.Duration(o.Settle),
	}
}

func (c *CachePolicy) problems() (bad []string) {
	mode(&bad, "cache.mode", c.Mode, "auto", "on", "off")
	for _, s := range []struct {
		key    string
		v, low float64
	}{
		{"cache.share", c.Share, 0.01}, {"cache.shareMin", c.ShareMin, 0.01}, {"cache.bandwidth", c.Bandwidth, 0.01},
		{"cache.bandwidthMin", c.BandwidthMin, 0.01}, {"cache.saturation", c.Saturation, 0},
	} {
		if math.IsNaN(s.v) || s.v < s.low || s.v > 1 {
			bad = append(bad, fmt.Sprintf("%s: %v is not a share between %v and 1", s.key, s.v, s.low))
		}
	}
	if c.ShareMin > c.Share {
		bad = append(bad, fmt.Sprintf("cache.shareMin: %v is above cache.share %v", c.ShareMin, c.Share))
	}
	if c.BandwidthMin > c.Bandwidth {
		bad = append(bad, fmt.Sprintf("cache.bandwidthMin: %v is above cache.bandwidth %v", c.BandwidthMin, c.Bandwidth))
	}
	if d := c.Settle.Std(); d < time.Second || d > time.Hour {
		bad = append(bad, fmt.Sprintf("cache.settle: %v is not between 1s and 1h", d))
	}
	return bad
}

func mode(bad *[]string, key, v string, of ...string) {
	if !slices.Contains(of, v) {
		*bad = append(*bad, fmt.Sprintf("%s: %q is not one of %s", key, v, strings.Join(of, ", ")))
	}
}

// options tunes the controller for what can be shared out.
func (c *CachePolicy) options(cache, bandwidth bool) control.CacheOptions {
	o := control.DefaultCache()
	o.HasCache, o.HasBandwidth = cache, bandwidth
	o.Cache, o.Bandwidth = control.Span{Min: c.ShareMin, Max: c.Share}, control.Span{Min: c.BandwidthMin, Max: c.Bandwidth}
	o.Saturation, o.Settle = c.Saturation, c.Settle.Std()
	return o
}
