package observer

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect"
	"github.com/anole-os/anole/tcprt/l7"
	"github.com/anole-os/anole/workload"
)

// Config says what is watched and how closely.
type Config struct {
	Tier     string         `yaml:"tier" doc:"How much of each request is seen: auto (full, or else lite), lite (by its segments alone), full (also when programs read, and which), txstamp (also how long writes lie in the qdisc, Linux 6.15), sockdiag (connections only, without BPF), or off."`
	Stamp    uint32         `yaml:"stamp" doc:"Of how many new connections txstamp takes the times of writes of one, a power of two."`
	Ports    []uint16       `yaml:"ports" doc:"Servers' ports that count, both as theirs and as those that clients ask. All when empty."`
	Networks []netip.Prefix `yaml:"networks" doc:"Networks that the other side's address must be in, as in 10.0.0.0/8. All when empty."`
	Records  Records        `yaml:"records" doc:"Requests that are kept one by one: tail (slow, failed and sampled ones), all, or none. All are counted in any case."`
	Sample   uint32         `yaml:"sample" doc:"Of how many requests tail takes one whatever it was like, a power of two."`
	Keep     int            `yaml:"keep" doc:"How many of the latest records are kept in memory, 300 bytes each."`
	CPU      float64        `yaml:"cpuPercent" doc:"What it may cost, in percent of one CPU, kernel and the agent's reading together, what exports and recordings take not; above it less is measured. 0 is no limit."`
	L7       string         `yaml:"l7" doc:"What requests are, by their first bytes: off; verbs (method, route and status of HTTP, commands of Redis, first words of SQL); statements (also SQL without its values). No header but traceparent, no query, key or value is kept; names in a path are part of its route."`
	Series   int            `yaml:"series" doc:"How many services have series of their own in the metrics, the busiest; the others are one."`
}

// Records are the requests that are kept one by one.
type Records string

// The choices of Records.
const (
	Tail Records = "tail"
	All  Records = "all"
	None Records = "none"
)

// Off is the Tier of nothing.
const Off = "off"

// Default is the Config of a node that nobody configured.
func Default() Config {
	return Config{Tier: "auto", Stamp: 16, Records: Tail, Sample: 1024, Keep: 16384, CPU: 10, Series: 32, L7: "off"}
}

// Validate says what is wrong.
func (c *Config) Validate() error {
	var errs []error
	if c.Tier != Off {
		if _, err := tcprt.ParseTier(c.Tier); err != nil {
			errs = append(errs, fmt.Errorf("tier is %q, want auto, lite, full, txstamp, sockdiag or off", c.Tier))
		}
	}
	if c.L7 != Off {
		if _, err := l7.ParseLevel(c.L7); err != nil {
			errs = append(errs, fmt.Errorf("l7 is %q, want off, verbs or statements", c.L7))
		}
	}
	switch c.Records {
	case Tail, All, None:
	default:
		errs = append(errs, fmt.Errorf("records is %q, want tail, all or none", c.Records))
	}
	if c.Sample == 0 || c.Sample&(c.Sample-1) != 0 {
		errs = append(errs, fmt.Errorf("sample is %d, want a power of two", c.Sample))
	}
	if c.Stamp == 0 || c.Stamp&(c.Stamp-1) != 0 {
		errs = append(errs, fmt.Errorf("stamp is %d, want a power of two", c.Stamp))
	}
	for _, n := range c.Networks {
		if !n.IsValid() {
			errs = append(errs, errors.New("networks has one that is none, want such as 10.0.0.0/8"))
		}
	}
	for _, p := range c.Ports {
		if p == 0 {
			errs = append(errs, errors.New("ports has 0, want 1 to 65535, or no ports for all"))
		}
	}
	for _, b := range []struct {
		name     string
		n        float64
		from, to float64
	}{{"keep", float64(c.Keep), 1, 1 << 20}, {"cpuPercent", c.CPU, 0, 10_000}, {"series", float64(c.Series), 1, 250}} {
		if b.n < b.from || b.n > b.to {
			errs = append(errs, fmt.Errorf("%s is %v, want %v to %v", b.name, b.n, b.from, b.to))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) collector(root string) tcprt.Options {
	tier, _ := tcprt.ParseTier(c.Tier)
	var hints func(*tcprt.Record, []byte, []byte)
	if level, err := l7.ParseLevel(c.L7); err == nil {
		hints = (&l7.Teller{Level: level}).Hints
	}
	return tcprt.Options{Hints: hints, Tier: tier, Ports: c.Ports, Networks: c.Networks, Emit: c.emit(), Sample: c.Sample, Stamp: c.Stamp, Root: root}
}

func (c *Config) emit() tcprt.Emit {
	switch c.Records {
	case All:
		return tcprt.EmitAll
	case None:
		return tcprt.EmitNone
	}
	return tcprt.EmitSlow | tcprt.EmitFailed | tcprt.EmitSample
}

// Options of an Observer.
type Options struct {
	Config
	Root    string             // put before /proc and /sys
	Records *workload.Registry // names of containers, nil without
	Log     *slog.Logger       // nil logs nothing
	Detect  detect.Options     // the zero value is that of package detect
	// Breaches is told, each second for as long as it is so, of servers whose
	// requests take longer than usual for a cause that other work on the node can
	// be, see blame.Verdict.Neighbours. Nil is told nothing.
	Breaches *workload.Breaches
}
