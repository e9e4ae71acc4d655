package cgroup

import (
	"bytes"
	"fmt"
	"math"
	"time"
)

// Uint parses a control file that holds one unsigned number. "max" and "-1",
// the kernel's words for no limit, are math.MaxUint64.
func Uint(b []byte) (uint64, error) {
	b = bytes.TrimSpace(b)
	if string(b) == "max" || string(b) == "-1" {
		return math.MaxUint64, nil
	}
	n, ok := digits(b)
	if !ok {
		return 0, fmt.Errorf("parse %q: not a number", clip(b))
	}
	return n, nil
}

// digits parses b as a decimal number that fits 64 bits.
func digits(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

func clip(b []byte) []byte { return b[:min(len(b), 40)] }

// CPUStat is what cpu.stat counts, in the units of Go. Fields that a version
// lacks are 0: v1 has no usage there.
type CPUStat struct {
	Usage         time.Duration // v2 only
	Periods       uint64        // enforcement periods in which the group was runnable
	Throttled     uint64        // periods in which it ran out of quota
	ThrottledTime time.Duration // summed over CPUs
	Bursts        uint64        // periods in which it used banked quota
	BurstTime     time.Duration
}

// ParseCPUStat reads a cpu.stat of either version without allocating. Unknown
// keys are passed over: kernels add some. v1 counts in nanoseconds, v2 in
// microseconds, under different names.
func ParseCPUStat(b []byte, s *CPUStat) error {
	*s = CPUStat{}
	for len(b) > 0 {
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, b = b[:i], b[i+1:]
		} else {
			b = nil
		}
		i := bytes.IndexByte(line, ' ')
		if i < 0 {
			continue
		}
		n, ok := digits(line[i+1:])
		if !ok {
			return fmt.Errorf("parse cpu.stat: bad line %q", clip(line))
		}
		s.set(line[:i], n)
	}
	return nil
}

func (s *CPUStat) set(key []byte, n uint64) {
	switch string(key) {
	case "usage_usec":
		s.Usage = micro(n)
	case "nr_periods":
		s.Periods = n
	case "nr_throttled":
		s.Throttled = n
	case "throttled_time":
		s.ThrottledTime = nano(n)
	case "throttled_usec":
		s.ThrottledTime = micro(n)
	case "nr_bursts":
		s.Bursts = n
	case "burst_time":
		s.BurstTime = nano(n)
	case "burst_usec":
		s.BurstTime = micro(n)
	}
}

func nano(n uint64) time.Duration { return time.Duration(min(n, math.MaxInt64)) }
func micro(n uint64) time.Duration {
	return time.Duration(min(n, math.MaxInt64/1000)) * time.Microsecond
}

// Pressure is one pressure file: time in which some or all tasks waited.
type Pressure struct {
	Some, Full time.Duration // the "total" fields; Full is 0 where the kernel has no such line
}

// ParsePressure reads a pressure file, Documentation/accounting/psi.rst,
// without allocating.
func ParsePressure(b []byte, p *Pressure) error {
	*p = Pressure{}
	seen := false
	for line := range bytes.Lines(b) {
		i := bytes.LastIndex(line, []byte("total="))
		if i < 0 {
			continue
		}
		n, ok := digits(bytes.TrimSpace(line[i+len("total="):]))
		if !ok {
			return fmt.Errorf("parse pressure: bad line %q", clip(line))
		}
		switch {
		case bytes.HasPrefix(line, []byte("some ")):
			p.Some, seen = micro(n), true
		case bytes.HasPrefix(line, []byte("full ")):
			p.Full = micro(n)
		}
	}
	if !seen {
		return fmt.Errorf("parse pressure: no line \"some … total=\" in %q", clip(b))
	}
	return nil
}

// Procs parses cgroup.procs or tasks: one id a line. Ids of tasks outside the
// reader's PID namespace are 0 and left out.
func Procs(b []byte) ([]int, error) {
	var out []int
	for line := range bytes.Lines(b) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		n, ok := digits(line)
		if !ok || n > math.MaxInt32 {
			return nil, fmt.Errorf("parse task list: bad line %q", clip(line))
		}
		if n != 0 {
			out = append(out, int(n))
		}
	}
	return out, nil
}
