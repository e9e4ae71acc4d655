package procfs

import (
	"bytes"
	"fmt"
	"os"
	"time"
)

// CPU is node CPU time since boot, summed over CPUs, from the first line of
// /proc/stat, proc_stat(5). Guest time is within User.
type CPU struct {
	User, Nice, System, Idle, IOWait, IRQ, SoftIRQ, Steal time.Duration
}

// Busy is the time in which this node's own work ran.
func (c CPU) Busy() time.Duration { return c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ }

// Total is all time, stolen time included.
func (c CPU) Total() time.Duration { return c.Busy() + c.Idle + c.IOWait + c.Steal }

// Sub gives c − o.
func (c CPU) Sub(o CPU) CPU {
	return CPU{
		c.User - o.User, c.Nice - o.Nice, c.System - o.System, c.Idle - o.Idle,
		c.IOWait - o.IOWait, c.IRQ - o.IRQ, c.SoftIRQ - o.SoftIRQ, c.Steal - o.Steal,
	}
}

// tick is the unit of /proc/stat: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// StatFile is /proc/stat held open. It is not safe for concurrent use.
type StatFile struct {
	f   *os.File
	buf [512]byte // the first line is at most ten 20-digit numbers
}

// OpenStat opens root/proc/stat.
func OpenStat(root string) (*StatFile, error) {
	f, err := os.Open(root + "/proc/stat")
	if err != nil {
		return nil, err
	}
	return &StatFile{f: f}, nil
}

// Read reads the node's CPU times without allocating.
func (s *StatFile) Read() (CPU, error) {
	n, err := s.f.ReadAt(s.buf[:], 0)
	if n == 0 {
		return CPU{}, err
	}
	return parseCPU(s.buf[:n])
}

// Close closes the file.
func (s *StatFile) Close() error { return s.f.Close() }

func parseCPU(b []byte) (CPU, error) {
	line, _, _ := bytes.Cut(b, []byte("\n"))
	rest, ok := bytes.CutPrefix(line, []byte("cpu "))
	if !ok {
		return CPU{}, fmt.Errorf("parse /proc/stat: no line \"cpu \"")
	}
	var v [8]time.Duration
	for i := range v {
		rest = bytes.TrimLeft(rest, " ")
		n := 0
		for n < len(rest) && rest[n] >= '0' && rest[n] <= '9' {
			v[i] = v[i]*10 + time.Duration(rest[n]-'0')
			n++
		}
		if n == 0 || n > 16 {
			return CPU{}, fmt.Errorf("parse /proc/stat: field %d is missing or too large", i+1)
		}
		v[i] *= tick
		rest = rest[n:]
	}
	return CPU{v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]}, nil
}

// CPUs counts the CPUs that are online, from the "cpuN" lines of root/proc/stat.
func CPUs(root string) (int, error) {
	b, err := os.ReadFile(root + "/proc/stat")
	if err != nil {
		return 0, err
	}
	n := 0
	for line := range bytes.Lines(b) {
		if len(line) > 3 && bytes.HasPrefix(line, []byte("cpu")) && line[3] >= '0' && line[3] <= '9' {
			n++
		}
	}
	return n, nil
}
