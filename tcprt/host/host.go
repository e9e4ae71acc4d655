// Package host reads what holds up a service on its own node: throttling by its CPU
// quota, threads that wait for a CPU, and stalls for want of CPU, memory or a disk.
//
// Sources: Documentation/admin-guide/cgroup-v2.rst (cpu.stat, *.pressure),
// Documentation/scheduler/sched-bwc.rst (cpu.stat of v1), accounting/psi.rst,
// scheduler/sched-stats.rst (/proc/PID/schedstat).
package host

import (
	"bytes"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/tcprt/blame"
)

// Counters only grow. What cannot be read is 0.
type Counters struct {
	At                time.Time
	Periods, Throttle uint64 // of the CPU quota: all, and those in which it ran out
	Ran, Waited       uint64 // ns of the process's threads
	Some, Full        [3]uint64
}

// The resources of PSI, in the order of Some and Full, µs.
var resources = [3]string{"cpu", "memory", "io"}

// maxThreads bounds how many of a process's are looked at.
const maxThreads = 32

// Read looks at a cgroup, by its path from the root of the hierarchy, and at a
// process; "" and 0 are none. Stalls are the cgroup's, or the node's where the
// kernel does not tell them by cgroup.
func Read(root, group string, pid uint32, now time.Time) (c Counters) {
	c.At = now
	fs := filepath.Join("/", root, "sys/fs/cgroup")
	// A container's quota may be its pod's.
	for _, g := range []string{group, path.Dir(group)} {
		if g == "" || g == "/" || g == "." {
			break
		}
		for _, dir := range []string{fs, filepath.Join(fs, "cpu"), filepath.Join(fs, "cpu,cpuacct")} {
			if b, err := os.ReadFile(filepath.Join(dir, g, "cpu.stat")); err == nil {
				c.quota(b)
				break
			}
		}
	}
	for i, r := range resources {
		b, err := os.ReadFile(filepath.Join(fs, group, r+".pressure"))
		if group == "" || err != nil {
			if b, err = os.ReadFile(filepath.Join("/", root, "proc/pressure", r)); err != nil {
				continue
			}
		}
		c.Some[i], c.Full[i] = stalls(b)
	}
	if pid != 0 {
		c.threads(filepath.Join("/", root, "proc", strconv.Itoa(int(pid)), "task"))
	}
	return c
}

// quota takes the group that ran out most often.
func (c *Counters) quota(b []byte) {
	var periods, throttled uint64
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, err := strconv.ParseUint(value, 10, 64)
		switch {
		case err != nil:
		case key == "nr_periods":
			periods = n
		case key == "nr_throttled":
			throttled = n
		}
	}
	if throttled > c.Throttle || c.Periods == 0 {
		c.Periods, c.Throttle = periods, throttled
	}
}

// stalls reads the totals of a file of PSI.
func stalls(b []byte) (some, full uint64) {
	for line := range strings.Lines(string(b)) {
		kind, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		_, total, ok := strings.Cut(rest, "total=")
		n, err := strconv.ParseUint(total, 10, 64)
		switch {
		case !ok || err != nil:
		case kind == "some":
			some = n
		case kind == "full":
			full = n
		}
	}
	return some, full
}

func (c *Counters) threads(dir string) {
	d, err := os.Open(dir)
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(maxThreads)
	for _, n := range names {
		b, err := os.ReadFile(filepath.Join(dir, n, "schedstat"))
		if err != nil {
			continue
		}
		f := bytes.Fields(b)
		if len(f) < 2 {
			continue
		}
		ran, err := strconv.ParseUint(string(f[0]), 10, 64)
		waited, err2 := strconv.ParseUint(string(f[1]), 10, 64)
		if err == nil && err2 == nil {
			c.Ran, c.Waited = c.Ran+ran, c.Waited+waited
		}
	}
}

// Since is the pressure between an earlier look and this one.
func (c *Counters) Since(was *Counters) (p blame.Pressure) {
	took := c.At.Sub(was.At)
	if took <= 0 {
		return p
	}
	ratio := func(a, b uint64) float64 {
		if b == 0 {
			return 0
		}
		return min(1, float64(a)/float64(b))
	}
	p.Throttled = ratio(grown(c.Throttle, was.Throttle), grown(c.Periods, was.Periods))
	waited := grown(c.Waited, was.Waited)
	p.RunDelay = ratio(waited, waited+grown(c.Ran, was.Ran))
	p.Waited = float64(waited) / float64(took)
	us := uint64(took.Microseconds())
	some := func(i int) float64 { return ratio(grown(c.Some[i], was.Some[i]), us) }
	full := func(i int) float64 { return ratio(grown(c.Full[i], was.Full[i]), us) }
	p.CPUSome, p.CPUFull, p.MemorySome, p.MemoryFull, p.IOSome, p.IOFull = some(0), full(0), some(1), full(1), some(2), full(2)
	return p
}

// grown is 0 for a counter that is another's now.
func grown(now, was uint64) uint64 {
	if now < was {
		return 0
	}
	return now - was
}
