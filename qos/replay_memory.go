package qos

import (
	"cmp"
	"encoding/json"
	"fmt"
	"time"

	"github.com/anole-os/anole/qos/memory"
	"github.com/anole-os/anole/qos/record"
)

// domainLook is what bounds follow from, as it stands in a recording: the node,
// or a limited cgroup that holds both kinds. All in bytes.
type domainLook struct {
	Total  uint64       `json:"total"`
	Free   uint64       `json:"free"`
	Loose  uint64       `json:"loose"`
	Least  uint64       `json:"least"` // that the kernel itself keeps free
	LS     int          `json:"ls"`    // latency-sensitive groups
	Claims []domainPart `json:"be"`
}

// domainPart is one best-effort group in a domain.
type domainPart struct {
	ID     string `json:"id"`
	Used   uint64 `json:"used"`
	Pinned uint64 `json:"pinned"`
	Limit  uint64 `json:"limit"`
}

func (d *domain) look() domainLook {
	l := domainLook{Total: d.Total, Free: d.Free, Loose: d.Loose, Least: d.least, LS: len(d.ls), Claims: []domainPart{}}
	for _, mg := range d.be {
		l.Claims = append(l.Claims, domainPart{mg.g.w.ID, mg.used, mg.pinned(), min(mg.ceiling, d.limit)})
	}
	return l
}

type boundLook struct {
	Used   uint64 `json:"used"`
	Pinned uint64 `json:"pinned"`
	Limit  uint64 `json:"limit"`
}

type evictLook struct {
	Available uint64 `json:"available"`
	Total     uint64 `json:"total"`
}

// ReplayMemory is what was done about memory on both sides.
type ReplayMemory struct {
	Groups        []ReplayBound `json:"workloads"`
	ThenEvictions int           `json:"recorded_evictions"`
	NowEvictions  int           `json:"replayed_evictions"` // how often the rule says to evict; what that would free is not known

	groups  map[string]*replayBound
	bounded map[string]bool // domains
	evictor memory.Evictor
}

// ReplayBound is the bound of one best-effort workload, in bytes.
type ReplayBound struct {
	ID   string         `json:"id"`
	Then ReplayBoundSum `json:"recorded"`
	Now  ReplayBoundSum `json:"replayed"`
	Same float64        `json:"identical"` // share of looks with the very same bound
}

// ReplayBoundSum sums up one side.
type ReplayBoundSum struct {
	Moves   int     `json:"moves"`
	Bounded float64 `json:"bounded"` // share of the looks
	Mean    float64 `json:"mean_bytes"`
	Least   uint64  `json:"least_bytes"`
	last    uint64
	n       int
}

type replayBound struct {
	ReplayBound
	bound       memory.Bound
	allow       uint64
	at          time.Time // of allow
	looks, same int
}

func (m *ReplayMemory) group(id string) *replayBound {
	g := m.groups[id]
	if g == nil {
		g = &replayBound{ReplayBound: ReplayBound{ID: id}, allow: memory.None}
		g.Then.last, g.Now.last = memory.None, memory.None
		m.groups[id] = g
	}
	return g
}

// lookMemory has the controllers of memory decide on a recorded look.
func (p *replayer) lookMemory(now time.Time, l *record.Look) error {
	m := &p.memory
	switch l.Controller {
	case "memory":
		var in domainLook
		if err := read(l, l.In, &in); err != nil {
			return err
		}
		return p.allowMemory(now, l.Of, &in)
	case "memory.bound":
		var in boundLook
		var then uint64
		if err := cmp.Or(read(l, l.In, &in), read(l, l.Out, &then)); err != nil {
			return err
		}
		p.boundMemory(now, m.group(l.Of), in, then)
	case "memory.refused":
		var at uint64
		if err := read(l, l.In, &at); err != nil {
			return err
		}
		m.group(l.Of).bound.Refused(now, at)
	case "memory.evict":
		var in evictLook
		var then int
		if err := cmp.Or(read(l, l.In, &in), read(l, l.Out, &then)); err != nil {
			return err
		}
		m.ThenEvictions += then
		if p.policy.Memory.Evict != "kill" {
			m.evictor = memory.Evictor{}
		} else if goes, _ := m.evictor.Step(now, in.Available, in.Total, p.policy.Memory.eviction()); goes {
			m.NowEvictions++
		}
	}
	return nil
}

func read(l *record.Look, b json.RawMessage, v any) error {
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("look of %s at %s: %w", l.Controller, l.Of, err)
	}
	return nil
}

// allowMemory says what each best-effort group may have, as the part's allowIn
// does.
func (p *replayer) allowMemory(now time.Time, of string, in *domainLook) error {
	pol, m := &p.policy.Memory, &p.memory
	if in.Total == 0 {
		return fmt.Errorf("look of memory at %s: a total of 0", of)
	}
	d := memory.Domain{Total: in.Total, Free: in.Free, Loose: in.Loose, Target: pol.target(in.Total, in.Least), Floor: share(in.Total, pol.Floor)}
	on := pol.Bound != "off" && in.LS > 0 && len(in.Claims) > 0 && !d.Ample(m.bounded[of])
	m.bounded[of] = on
	claims := make([]memory.Claim, len(in.Claims))
	for i, c := range in.Claims {
		claims[i] = memory.Claim{Used: c.Used, Pinned: c.Pinned, Limit: c.Limit}
		if g := m.group(c.ID); !g.at.Equal(now) {
			g.allow, g.at = memory.None, now
		}
	}
	if !on {
		return nil
	}
	for i, n := range d.Allow(claims) {
		g := m.group(in.Claims[i].ID)
		g.allow = min(g.allow, n)
	}
	return nil
}

func (p *replayer) boundMemory(now time.Time, g *replayBound, in boundLook, then uint64) {
	got, _ := g.bound.Step(memory.BoundSample{Now: now, Used: in.Used, Pinned: in.Pinned, Limit: in.Limit, Allow: g.allow}, memory.DefaultBound())
	g.looks++
	if got == then {
		g.same++
	}
	g.Then.add(then)
	g.Now.add(got)
}

func (s *ReplayBoundSum) add(bound uint64) {
	if bound != s.last {
		s.Moves++
	}
	s.last = bound
	if bound == memory.None {
		return
	}
	s.n++
	s.Mean += float64(bound)
	if s.Least == 0 || bound < s.Least {
		s.Least = bound
	}
}

func (s *ReplayBoundSum) finish(looks int) {
	if s.n == 0 {
		return
	}
	s.Mean /= float64(s.n)
	s.Bounded = float64(s.n) / float64(looks)
}

func (g *replayBound) finish() ReplayBound {
	if g.looks > 0 {
		g.Then.finish(g.looks)
		g.Now.finish(g.looks)
		g.Same = float64(g.same) / float64(g.looks)
	}
	return g.ReplayBound
}
