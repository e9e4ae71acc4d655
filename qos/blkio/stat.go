package blkio

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// Flow is what was read and written: counters, or what they grew by.
type Flow struct {
	ReadBytes  uint64 `json:"read_bytes"`
	WriteBytes uint64 `json:"write_bytes"`
	ReadOps    uint64 `json:"read_ops"`
	WriteOps   uint64 `json:"write_ops"`
}

// Ops is the number of requests.
func (f Flow) Ops() uint64 { return f.ReadOps + f.WriteOps }

// Add adds what g counts.
func (f *Flow) Add(g Flow) {
	f.ReadBytes += g.ReadBytes
	f.WriteBytes += g.WriteBytes
	f.ReadOps += g.ReadOps
	f.WriteOps += g.WriteOps
}

// Since is what a counter grew by; one that fell back was started anew.
func (f Flow) Since(was Flow) Flow {
	grown := func(now, was uint64) uint64 {
		if now < was {
			return 0
		}
		return now - was
	}
	return Flow{
		grown(f.ReadBytes, was.ReadBytes), grown(f.WriteBytes, was.WriteBytes),
		grown(f.ReadOps, was.ReadOps), grown(f.WriteOps, was.WriteOps),
	}
}

// DiskStat is /sys/block/<disk>/stat since boot, Documentation/block/stat.rst.
// Times are summed over requests, from when a request was made to when it was
// done; the wait of a throttled one comes before and is not in it.
type DiskStat struct {
	Flow
	ReadTime  time.Duration `json:"read_ns"`
	WriteTime time.Duration `json:"write_ns"`
	Busy      time.Duration `json:"busy_ns"` // some request was on its way
}

// ParseDiskStat reads such a file without allocating. Kernels append fields.
func ParseDiskStat(b []byte, s *DiskStat) error {
	var f [10]uint64
	rest := b
	for i := range f {
		n, after, ok := number(rest)
		if !ok {
			return fmt.Errorf("parse disk stat: no field %d in %q", i+1, clip(b))
		}
		f[i], rest = n, after
	}
	*s = DiskStat{
		Flow:     Flow{ReadOps: f[0], ReadBytes: sectors(f[2]), WriteOps: f[4], WriteBytes: sectors(f[6])},
		ReadTime: millis(f[3]), WriteTime: millis(f[7]), Busy: millis(f[9]),
	}
	return nil
}

// Counted is the Flow of one cgroup on one disk.
type Counted struct {
	Number string // major:minor; valid until the buffer is read into again
	Flow
}

// Group is what one cgroup did, by disk.
type Group struct{ Disks []Counted }

// at gives the entry of a disk. Numbers are kept from reading to reading, so
// that a reading allocates only when a disk is new.
func (g *Group) at(number []byte) *Flow {
	for i := range g.Disks {
		if g.Disks[i].Number == string(number) {
			return &g.Disks[i].Flow
		}
	}
	g.Disks = append(g.Disks, Counted{Number: string(number)})
	return &g.Disks[len(g.Disks)-1].Flow
}

// Of gives what was counted for a disk.
func (g *Group) Of(number string) Flow {
	for i := range g.Disks {
		if g.Disks[i].Number == number {
			return g.Disks[i].Flow
		}
	}
	return Flow{}
}

// ParseIOStat reads io.stat of cgroup v2, lines such as
// "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0", into g. Unknown
// keys are passed over: controllers add their own.
func ParseIOStat(b []byte, g *Group) error {
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		number, rest, ok := bytes.Cut(line, []byte(" "))
		if !ok || !isNumber(number) {
			if len(line) == 0 || isNumber(line) || bytes.HasPrefix(line, []byte("(unknown)")) {
				continue // a disk without counters, or one that is going away
			}
			return fmt.Errorf("parse io.stat: bad line %q", clip(line))
		}
		if err := ioFields(rest, g.at(number)); err != nil {
			return err
		}
	}
	return nil
}

func ioFields(b []byte, f *Flow) error {
	for len(b) > 0 {
		var field []byte
		field, b, _ = bytes.Cut(b, []byte(" "))
		key, val, ok := bytes.Cut(field, []byte("="))
		if !ok {
			continue
		}
		var into *uint64
		switch string(key) {
		case "rbytes":
			into = &f.ReadBytes
		case "wbytes":
			into = &f.WriteBytes
		case "rios":
			into = &f.ReadOps
		case "wios":
			into = &f.WriteOps
		default:
			continue
		}
		n, _, ok := number(val)
		if !ok {
			return fmt.Errorf("parse io.stat: %q is not a number", clip(val))
		}
		*into = n
	}
	return nil
}

// ParseServiced reads blkio.throttle.io_serviced or, with size, io_service_bytes
// of cgroup v1, lines such as "8:0 Read 1200", into g.
func ParseServiced(b []byte, size bool, g *Group) error {
	for line := range bytes.Lines(b) {
		dev, rest, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if !ok || !isNumber(dev) {
			continue // "Total", or a disk that is going away
		}
		kind, val, _ := bytes.Cut(rest, []byte(" "))
		var into *uint64
		f := g.at(dev)
		switch {
		case string(kind) == "Read" && size:
			into = &f.ReadBytes
		case string(kind) == "Read":
			into = &f.ReadOps
		case string(kind) == "Write" && size:
			into = &f.WriteBytes
		case string(kind) == "Write":
			into = &f.WriteOps
		default:
			continue
		}
		n, _, ok := number(val)
		if !ok {
			return fmt.Errorf("parse blkio counters: bad line %q", clip(line))
		}
		*into = n
	}
	return nil
}

// number reads the decimal number that b begins with, white space before it
// passed over.
func number(b []byte) (n uint64, rest []byte, ok bool) {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	i := 0
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		d := uint64(b[i] - '0')
		if n > (math.MaxUint64-d)/10 {
			return 0, b, false
		}
		n = n*10 + d
	}
	return n, b[i:], i > 0
}

// isNumber says whether b is a device's major:minor.
func isNumber(b []byte) bool {
	_, rest, ok := number(b)
	if !ok || len(rest) < 2 || rest[0] != ':' {
		return false
	}
	_, rest, ok = number(rest[1:])
	return ok && len(rest) == 0
}

func clip(b []byte) []byte { return b[:min(len(b), 60)] }

func sectors(n uint64) uint64 {
	if n > math.MaxUint64/sectorSize {
		return math.MaxUint64
	}
	return n * sectorSize
}

func millis(n uint64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/uint64(time.Millisecond))) * time.Millisecond
}
