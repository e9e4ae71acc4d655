package qos

import (
	"cmp"
	"fmt"
	"path"
	"time"

	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/qos/runq"
)

// ioLook is what a disk's Governor looked at, as it stands in a recording.
type ioLook struct {
	Number    string          `json:"number"` // major:minor
	Mechanism blkio.Mechanism `json:"mechanism"`
	Disk      blkio.DiskStat  `json:"disk"`
	LS        blkio.Flow      `json:"ls"`
	BE        blkio.Flow      `json:"be"`
	Stall     time.Duration   `json:"stall_ns"`
	Waits     *waitsLook      `json:"waits,omitempty"` // of latency-sensitive requests, where each is measured
}

// waitsLook is a histogram by its buckets that hold something.
type waitsLook struct {
	Sum     uint64      `json:"sum_ns"`
	Buckets [][2]uint64 `json:"buckets"` // index and count
}

func waitsOf(h *runq.Hist) *waitsLook {
	if h == nil {
		return nil
	}
	w := &waitsLook{Sum: h.SumNS, Buckets: [][2]uint64{}}
	for i, n := range h.Counts {
		if n > 0 {
			w.Buckets = append(w.Buckets, [2]uint64{uint64(i), n})
		}
	}
	return w
}

func (w *waitsLook) hist() (*runq.Hist, error) {
	if w == nil {
		return nil, nil
	}
	h := &runq.Hist{SumNS: w.Sum}
	for _, b := range w.Buckets {
		if b[0] >= uint64(runq.NumBuckets) {
			return nil, fmt.Errorf("no bucket %d in a histogram of waits", b[0])
		}
		h.Counts[b[0]] = b[1]
	}
	return h, nil
}

// ReplayDisk is one disk on both sides.
type ReplayDisk struct {
	Name      string        `json:"name"`
	Mechanism string        `json:"mechanism"`
	Then      ReplayDiskSum `json:"recorded"`
	Now       ReplayDiskSum `json:"replayed"`
	Same      float64       `json:"identical"` // share of looks with the very same limit

	gov         *blkio.Governor
	looks, same int
}

// ReplayDiskSum sums up the limits on best-effort IO of one side.
type ReplayDiskSum struct {
	Moves      int     `json:"limit_moves"`
	Limited    float64 `json:"limited"` // share of the looks
	ReadBytes  float64 `json:"read_bytes_per_second"`
	WriteBytes float64 `json:"write_bytes_per_second"` // means while limited
	limited    int
}

// lookIO has the disk's Governor decide on a recorded look.
func (p *replayer) lookIO(now time.Time, l *record.Look) error {
	var in ioLook
	var then blkio.Decision
	if err := cmp.Or(read(l, l.In, &in), read(l, l.Out, &then)); err != nil {
		return err
	}
	waits, err := in.Waits.hist()
	if err != nil {
		return fmt.Errorf("look of %s at %s: %w", l.Controller, l.Of, err)
	}
	d := p.disks[l.Of]
	if d == nil {
		d = &ReplayDisk{Name: l.Of}
		p.disks[l.Of] = d
	}
	o := p.policy.IO.named(l.Of, in.Number)
	mech := in.Mechanism
	if o.use != "auto" {
		mech = blkio.Mechanism(o.use)
	}
	o.options.Passive = !mech.Limits()
	if d.gov == nil || d.Mechanism != string(mech) {
		d.gov = blkio.NewGovernor(o.options)
	}
	d.Mechanism = string(mech)
	d.gov.SetOptions(o.options)
	got := d.gov.Step(blkio.Sample{Now: now, Disk: in.Disk, LS: in.LS, BE: in.BE, Stall: in.Stall, Waits: waits})
	d.looks++
	if got.Limited == then.Limited && (!got.Limited || got.Limit == then.Limit) {
		d.same++
	}
	d.Then.add(then)
	d.Now.add(got)
	return nil
}

func (s *ReplayDiskSum) add(d blkio.Decision) {
	if d.Changed {
		s.Moves++
	}
	if d.Limited {
		s.limited++
		s.ReadBytes += d.Limit.ReadBytes
		s.WriteBytes += d.Limit.WriteBytes
	}
}

func (s *ReplayDiskSum) finish(looks int) {
	if s.limited == 0 {
		return
	}
	n := float64(s.limited)
	s.Limited, s.ReadBytes, s.WriteBytes = n/float64(looks), s.ReadBytes/n, s.WriteBytes/n
}

func (d *ReplayDisk) finish() {
	d.Then.finish(d.looks)
	d.Now.finish(d.looks)
	d.Same = float64(d.same) / float64(d.looks)
}

// named gives the settings of a disk by its name or number: what partitions and
// mapped devices in io.devices stand for, only their node knows.
func (p *IOPolicy) named(name, number string) ioSettings {
	for i, d := range p.Devices {
		if ok, err := path.Match(d.Match, name); err == nil && ok || d.Match == number {
			return p.of(i)
		}
	}
	return p.of(-1)
}
