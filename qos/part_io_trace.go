package qos

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/iolat"
	"github.com/anole-os/anole/qos/runq"
)

// ioTrace measures the requests of latency-sensitive groups one by one, where
// the kernel lets it.
type ioTrace struct {
	t       *iolat.Tracer
	opening bool
	failed  error
	on      map[*ioDisk]*ioHist
}

// ioHist is what was counted on a disk.
type ioHist struct {
	number   uint32
	was, now runq.Hist
	delta    runq.Hist
	first    bool
	looked   time.Time
}

// follow has the tracer look at what there is now. It is loaded beside the loop,
// when there is first something to be measured.
func (p *ioPart) follow() {
	tr := &p.trace
	if p.policy.Trace == "off" || !p.limits() {
		tr.close()
		return
	}
	if tr.t == nil {
		p.openTrace()
		return
	}
	for _, d := range p.disks {
		if tr.on[d] != nil || !d.mech.Limits() || !d.Multi {
			continue
		}
		n, ok := diskNumber(d.Number)
		if !ok || tr.t.Watch(n) != nil {
			continue // more disks than it can hold: the others go by their counters
		}
		tr.on[d] = &ioHist{number: n, first: true}
	}
	for _, x := range p.groups {
		if want := x.g.Class.Sensitive() && x.ino != 0; want == x.traced {
			continue
		} else if want {
			x.traced = tr.t.Count(x.ino) == nil
		} else {
			p.untrace(x)
		}
	}
}

// limits says whether some disk is held by a limit.
func (p *ioPart) limits() bool {
	for _, d := range p.disks {
		if d.mech.Limits() {
			return true
		}
	}
	return false
}

func (p *ioPart) openTrace() {
	tr := &p.trace
	if tr.opening || tr.failed != nil {
		return
	}
	tr.opening = true
	p.e.background.Go(func() {
		t, err := iolat.Open()
		p.e.mu.Lock()
		defer p.e.mu.Unlock()
		tr.opening = false
		switch {
		case err != nil:
			tr.failed = err
			p.e.degrade("io latency", err)
		case p.e.closed || !p.on || p.policy.Trace == "off":
			_ = t.Close()
		default:
			tr.t, tr.on = t, map[*ioDisk]*ioHist{}
		}
	})
}

// untrace ends the counting of a group.
func (p *ioPart) untrace(x *ioGroup) {
	if x.traced && p.trace.t != nil {
		_ = p.trace.t.Drop(x.ino)
	}
	x.traced = false
}

func (tr *ioTrace) close() {
	if tr.t != nil {
		_ = tr.t.Close()
	}
	tr.t, tr.on, tr.failed = nil, nil, nil
}

// leave ends the measurement of a disk that went.
func (tr *ioTrace) leave(d *ioDisk) {
	if h := tr.on[d]; h != nil {
		_ = tr.t.Unwatch(h.number)
		delete(tr.on, d)
	}
}

// waits gives the requests to a disk since the last time; nil where they are
// not measured. A disk on which latency-sensitive work was not lately is not
// read, but once a second on cgroup v1, see uncounted.
func (tr *ioTrace) waits(d *ioDisk, now time.Time, v1 bool) *runq.Hist {
	h := tr.on[d]
	if h == nil {
		return nil
	}
	look := v1 && due(now, h.looked, time.Second)
	if at := d.meter.lsAt; !look && (at.IsZero() || now.Sub(at) > busyFor) {
		h.first = h.first || !v1
		h.delta = runq.Hist{}
		return &h.delta
	}
	h.looked = now
	h.was, h.now = h.now, h.was
	if err := tr.t.Read(h.number, &h.now); err != nil {
		tr.leave(d)
		return nil
	}
	h.delta = runq.Hist{}
	if !h.first {
		h.delta.SumNS = h.now.SumNS - h.was.SumNS
		for i, n := range h.now.Counts {
			h.delta.Counts[i] = n - h.was.Counts[i]
		}
	}
	h.first = false
	return &h.delta
}

// countWait is how long counters of groups whose requests are seen may be missing.
const countWait = 3 * quietEvery

// uncounted makes good for kernels (seen: 6.1) on which cgroup v1 counts the IO
// of groups with a limit only: that of latency-sensitive groups is told by the
// requests that were measured, and all the rest is taken for best-effort IO.
func (m *ioMeter) uncounted(s *blkio.Sample) {
	n := uint64(0)
	if s.Waits != nil {
		n = s.Waits.Count()
	}
	all := s.Disk.Ops()
	if m.counted || n == 0 || all == 0 {
		return
	}
	if m.unseen.IsZero() || m.unseen.After(s.Now) {
		m.unseen = s.Now
	}
	m.lsAt = s.Now
	if s.Now.Sub(m.unseen) < countWait {
		return // their counters may not have been read yet
	}
	part := min(1, float64(n)/float64(all))
	share := func(v uint64) uint64 { return uint64(part * float64(v)) }
	s.LS = blkio.Flow{
		ReadOps: share(s.Disk.ReadOps), WriteOps: share(s.Disk.WriteOps),
		ReadBytes: share(s.Disk.ReadBytes), WriteBytes: share(s.Disk.WriteBytes),
	}
	if s.BE.Ops() == 0 {
		s.BE = s.Disk.Since(s.LS)
	}
}

// latencyFrom says in words where the latency comes from.
func (p *ioPart) latencyFrom() Mechanism {
	m := Mechanism{"io latency", "disk counters", "the disks' own counters, and PSI where it is measured"}
	switch d, bad := p.e.degraded["io latency"]; {
	case p.trace.t != nil:
		m.Using, m.Why = "eBPF", fmt.Sprintf("each LS request to %d disks, beside the disks' own counters and PSI", len(p.trace.on))
	case bad:
		m.Why += "; no eBPF: " + d.Detail
	case p.policy.Trace == "off":
		m.Why += "; io.trace is off"
	}
	return m
}

func diskNumber(s string) (uint32, bool) {
	a, b, _ := strings.Cut(s, ":")
	major, err := strconv.ParseUint(a, 10, 12)
	if err != nil {
		return 0, false
	}
	minor, err := strconv.ParseUint(b, 10, 20)
	return iolat.Disk(uint32(major), uint32(minor)), err == nil
}
