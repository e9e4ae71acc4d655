package qos

import (
	"errors"
	"fmt"
	"math"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/blkio"
	"github.com/anole-os/anole/qos/iolat"
)

// IOStatus is one disk that is controlled.
type IOStatus struct {
	Disk      string   `json:"disk"`
	Number    string   `json:"number"` // major:minor
	Mechanism string   `json:"mechanism"`
	Why       string   `json:"why"` // the mechanism
	Scheduler string   `json:"scheduler,omitempty"`
	Limit     *IORates `json:"be_limit"` // nil when best-effort IO is not limited there
	LimitWhy  string   `json:"be_limit_why"`
	Capacity  IORates  `json:"capacity"`    // as far as it was seen
	QuietMean float64  `json:"quiet_us"`    // what an LS request takes without best-effort IO; 0 while unknown
	Latency   float64  `json:"latency"`     // of LS requests lately, as a share of the objective; 0 while unknown
	Objective float64  `json:"cost_lat_us"` // that io.cost was told, 0 without
}

// IORates are rates of a second.
type IORates struct {
	ReadBytes  float64 `json:"read_bytes"`
	WriteBytes float64 `json:"write_bytes"`
	ReadOps    float64 `json:"read_ops"`
	WriteOps   float64 `json:"write_ops"`
}

func ratesOf(r blkio.Rates) IORates {
	return IORates{math.Round(r.ReadBytes), math.Round(r.WriteBytes), math.Round(r.ReadOps), math.Round(r.WriteOps)}
}

// io finds the part.
func (e *Engine) io() *ioPart {
	for _, p := range e.parts {
		if p, ok := p.(*ioPart); ok {
			return p
		}
	}
	return nil
}

// ioStatus lists the disks.
func (e *Engine) ioStatus() []IOStatus {
	out := []IOStatus{}
	p := e.io()
	if p == nil {
		return out
	}
	for _, d := range p.disks {
		s := IOStatus{
			Disk: d.Name, Number: d.Number, Mechanism: string(d.mech), Why: d.why, Scheduler: d.Scheduler,
			LimitWhy: d.limit.Why, Capacity: ratesOf(d.gov.Capacity()), QuietMean: micros(d.gov.Baseline()),
		}
		if d.mech == blkio.Off {
			s.Mechanism = "off"
		}
		if d.limit.Limited && d.mech.Limits() {
			l := ratesOf(d.limit.Limit)
			s.Limit = &l
		}
		if r := d.gov.Ratio(); !bad(r) {
			s.Latency = round3(r)
		}
		if d.mech == blkio.Cost {
			s.Objective = micros(d.objective())
		}
		out = append(out, s)
	}
	return out
}

// describe says what a workload does on all disks together.
func (p *ioPart) describe(g *group, s *WorkloadStatus) {
	x := p.groups[g]
	if x == nil {
		return
	}
	var sum blkio.Rates
	for _, v := range x.rates {
		if p.e.last.Sub(v.at) > idleAfter {
			continue
		}
		sum.ReadBytes += v.ReadBytes
		sum.WriteBytes += v.WriteBytes
		sum.ReadOps += v.ReadOps
		sum.WriteOps += v.WriteOps
	}
	if sum != (blkio.Rates{}) {
		r := ratesOf(sum)
		s.IO = &r
	}
}

// ioProbes ask for each mechanism, and for each disk what it would get.
func ioProbes(root string, probe func(name, doc string, ask func(*cgroup.Tree) (string, error))) {
	probe("block IO", "best-effort IO is held where it slows latency-sensitive IO", func(t *cgroup.Tree) (string, error) {
		k, err := askIO(t)
		if err != nil {
			return "", err
		}
		return ioAnswer(root, k)
	})
	probe("IO latency (eBPF)", "feedback: how long each LS request takes", func(*cgroup.Tree) (string, error) { return "", iolat.Probe() })
	for _, m := range blkio.Ladder() {
		probe("IO by "+string(m), ioDocs[m], func(t *cgroup.Tree) (string, error) {
			k, err := askIO(t)
			if err != nil {
				return "", err
			}
			return askMechanism(root, k, m)
		})
	}
}

var ioDocs = map[blkio.Mechanism]string{
	blkio.Cost:     "disks shared by what requests cost, with a latency objective",
	blkio.Max:      "limits of bytes and requests, moved by the latency of LS requests",
	blkio.BFQ:      "disks shared by weight, where bfq is the scheduler",
	blkio.Throttle: "limits of bytes and requests on cgroup v1, moved by the latency of LS requests",
}

// ioAnswer says what each disk would get.
func ioAnswer(root string, k blkio.Kernel) (string, error) {
	all, err := blkio.Disks(root)
	if err != nil {
		return "", err
	}
	var got string
	var errs []error
	for _, d := range blkio.Take(all, nil) {
		m, _, err := blkio.Choose(k, &d.Disk, "auto")
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if got != "" {
			got += ", "
		}
		got += fmt.Sprintf("%s by %s", d.Name, m)
	}
	switch {
	case got != "":
		return got, nil
	case len(errs) > 0:
		return "", errs[0]
	}
	return "", &feature.UnsupportedError{Feature: "block IO", Reason: feature.NoHardware, Need: "a disk", Fix: "name loop or RAM disks in io.devices to have them held"}
}

// askMechanism asks for one mechanism on any of the disks.
func askMechanism(root string, k blkio.Kernel, m blkio.Mechanism) (string, error) {
	all, err := blkio.Disks(root)
	if err != nil {
		return "", err
	}
	taken := blkio.Take(all, nil)
	if len(taken) == 0 { // ask for what any disk would need
		taken = []blkio.Taken{{Disk: blkio.Disk{Name: "any disk", Multi: true}}}
	}
	var no error
	for i := range taken {
		d := &taken[i].Disk
		err := blkio.Supports(k, d, m)
		if err == nil {
			return "on " + d.Name, nil
		}
		no = errors.Join(no, err)
	}
	var u *feature.UnsupportedError
	if errors.As(no, &u) {
		return "", u
	}
	return "", no
}
