package blkio

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rates are a second's worth of IO.
type Rates struct {
	ReadBytes  float64 `json:"read_bytes"`
	WriteBytes float64 `json:"write_bytes"`
	ReadOps    float64 `json:"read_ops"`
	WriteOps   float64 `json:"write_ops"`
}

// Zero says that nothing is known or allowed.
func (r Rates) Zero() bool { return r == Rates{} }

// Times scales all rates.
func (r Rates) Times(f float64) Rates {
	return Rates{r.ReadBytes * f, r.WriteBytes * f, r.ReadOps * f, r.WriteOps * f}
}

// Per gives the rates of a flow over some time.
func (f Flow) Per(d time.Duration) Rates {
	s := d.Seconds()
	if s <= 0 {
		return Rates{}
	}
	return Rates{float64(f.ReadBytes) / s, float64(f.WriteBytes) / s, float64(f.ReadOps) / s, float64(f.WriteOps) / s}
}

// String gives the rates for people.
func (r Rates) String() string {
	return fmt.Sprintf("read %s/s %s IOPS, write %s/s %s IOPS", size(r.ReadBytes), count(r.ReadOps), size(r.WriteBytes), count(r.WriteOps))
}

func size(v float64) string {
	for _, u := range []struct {
		name string
		size float64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if v >= u.size {
			return strconv.FormatFloat(v/u.size, 'g', 3, 64) + " " + u.name
		}
	}
	return strconv.FormatFloat(v, 'f', 0, 64) + " B"
}

func count(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }

// Line is a line of a control file for one disk: what to write after the disk's
// number, and what takes it away again.
type Line struct {
	File, Value, None string
}

// Files that a Mechanism writes.
const (
	FileMax      = "io.max"
	FileWeight   = "io.weight"
	FileQoS      = "io.cost.qos"
	FileModel    = "io.cost.model"
	FileBFQ      = "io.bfq.weight"
	FileBFQv1    = "blkio.bfq.weight_device"
	FileReadBps  = "blkio.throttle.read_bps_device"
	FileWriteBps = "blkio.throttle.write_bps_device"
	FileReadOps  = "blkio.throttle.read_iops_device"
	FileWriteOps = "blkio.throttle.write_iops_device"

	FileServiced      = "blkio.throttle.io_serviced_recursive"
	FileServicedBytes = "blkio.throttle.io_service_bytes_recursive"
)

// LimitLines says a limit to a mechanism that is one.
func (m Mechanism) LimitLines(r Rates) []Line {
	if m == Max {
		v := fmt.Sprintf("rbps=%d wbps=%d riops=%d wiops=%d", bps(r.ReadBytes), bps(r.WriteBytes), iops(r.ReadOps), iops(r.WriteOps))
		return []Line{{FileMax, v, "rbps=max wbps=max riops=max wiops=max"}}
	}
	line := func(file string, v uint64) Line { return Line{file, strconv.FormatUint(v, 10), "0"} }
	return []Line{
		line(FileReadBps, bps(r.ReadBytes)), line(FileWriteBps, bps(r.WriteBytes)),
		line(FileReadOps, iops(r.ReadOps)), line(FileWriteOps, iops(r.WriteOps)),
	}
}

// bps and iops are whole numbers that the kernel takes: it refuses 0 in io.max,
// takes it for no limit on v1, and keeps IOPS in 32 bits.
func bps(v float64) uint64  { return uint64(min(max(v, 4096), 1<<62)) }
func iops(v float64) uint64 { return uint64(min(max(v, 1), math.MaxUint32-1)) }

// leastWeight is the least of io.weight and of BFQ's, whose default is 100.
const leastWeight = "1"

// WeightLines gives best-effort work the least weight.
func (m Mechanism) WeightLines(unified bool) []Line {
	switch {
	case m == Cost:
		return []Line{{FileWeight, leastWeight, "default"}}
	case m == BFQ && unified:
		return []Line{{FileBFQ, leastWeight, "default"}}
	case m == BFQ:
		return []Line{{FileBFQv1, leastWeight, "default"}}
	}
	return nil
}

// CostLines are the root's lines that switch io.cost on for a disk. Without an
// objective and a capacity the kernel's own parameters hold, which it has for
// each kind of disk. The objective is of the 95th percentile of all requests.
// The rate that the kernel gives out by its model moves to meet it: by a hundred
// either way, as it does by default, or by half when the capacity is given.
func CostLines(objective time.Duration, capacity Rates) []Line {
	qos, bounds := "enable=1 ctrl=auto", "min=1.00 max=10000.00"
	us := objective.Microseconds()
	if !capacity.Zero() {
		bounds = "min=50.00 max=150.00"
		qos = "enable=1 ctrl=user rpct=0.00 wpct=0.00 " + bounds
	}
	if us > 0 {
		qos = fmt.Sprintf("enable=1 ctrl=user rpct=95.00 rlat=%d wpct=95.00 wlat=%d %s", us, us, bounds)
	}
	out := []Line{{FileQoS, qos, "enable=0 ctrl=auto"}}
	if capacity.Zero() {
		return out
	}
	c := capacity
	v := fmt.Sprintf("ctrl=user model=linear rbps=%d rseqiops=%d rrandiops=%d wbps=%d wseqiops=%d wrandiops=%d",
		bps(c.ReadBytes), iops(c.ReadOps), iops(c.ReadOps), bps(c.WriteBytes), iops(c.WriteOps), iops(c.WriteOps))
	return append(out, Line{FileModel, v, "ctrl=auto"})
}

// Back gives what to write to have a line read again as it did: None where there
// was no line. A line of io.cost that reads ctrl=auto shows the kernel's
// parameters too; writing those would make them the user's.
func (l Line) Back(was string) string {
	switch {
	case was == "":
		return l.None
	case l.File != FileQoS && l.File != FileModel:
		return was
	}
	words := strings.Fields(was)
	keep := words[:0]
	for _, w := range words {
		if key, _, _ := strings.Cut(w, "="); key == "enable" || key == "ctrl" {
			keep = append(keep, w)
		}
	}
	if !strings.Contains(was, "ctrl=auto") {
		return was
	}
	return strings.Join(keep, " ")
}
