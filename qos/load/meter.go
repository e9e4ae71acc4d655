package load

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// userHZ is the unit of /proc/stat and /proc/<pid>/stat: USER_HZ is 100 in
// the ABI of every architecture that Go runs on.
const userHZ = 100

// MeterOptions says what counts as own load.
type MeterOptions struct {
	// Root is put before /proc, "/" when empty: a fixture tree in tests.
	Root string `json:"root,omitempty"`
	// Cgroups are directories whose CPU use is own, with cpuacct.usage (v1)
	// or cpu.stat (v2). They must not contain each other. One that vanishes
	// keeps its last value.
	Cgroups []string `json:"cgroups,omitempty"`
	// PIDs are processes outside of those cgroups whose CPU use is own too,
	// such as the generator and the caller itself. One that ends keeps its
	// last value.
	PIDs []int `json:"pids,omitempty"`
	// Kernel makes what the kernel does by itself own too: its threads, those
	// born meanwhile among them, and its interrupts. For loads that the kernel
	// works for, such as IO to a loop device.
	Kernel bool `json:"kernel,omitempty"`
}

// Usage is the use of the node between two samples, in percent of all its
// CPUs.
type Usage struct {
	Wall    time.Duration `json:"wall_ns"`
	CPUs    int           `json:"cpus"`
	Node    float64       `json:"node_percent"`
	Own     float64       `json:"own_percent"`
	Foreign float64       `json:"foreign_percent"` // Node - Own, not below 0
	Steal   float64       `json:"steal_percent"`   // taken by the hypervisor
	IOWait  float64       `json:"iowait_percent"`
}

// Meter tells own from foreign CPU use. Not safe for concurrent use.
type Meter struct {
	proc    string
	sources []*source
	threads map[int]time.Duration // the kernel's, when its work is own
	prev    nodeTimes
	own     time.Duration
}

// source is one own consumer.
type source struct {
	read func() (time.Duration, error)
	last time.Duration
}

// OpenMeter takes the first sample. Cgroups and processes must exist now.
func OpenMeter(o MeterOptions) (*Meter, error) {
	root := o.Root
	if root == "" {
		root = "/"
	}
	m := &Meter{proc: filepath.Join(root, "proc")}
	if o.Kernel {
		m.threads = map[int]time.Duration{}
	}
	for _, dir := range o.Cgroups {
		m.sources = append(m.sources, &source{read: func() (time.Duration, error) { return readCgroupCPU(dir) }})
	}
	for _, pid := range o.PIDs {
		path := filepath.Join(m.proc, strconv.Itoa(pid), "stat")
		m.sources = append(m.sources, &source{read: func() (time.Duration, error) {
			p, err := readFile(path, parseProcessStat)
			return p.cpu, err
		}})
	}
	var err error
	if m.prev, m.own, err = m.sample(true); err != nil {
		return nil, fmt.Errorf("open meter: %w", err)
	}
	return m, nil
}

// Sample returns the use since the last Sample or OpenMeter. Counters of the
// node tick at 10 ms, so a window of seconds is needed for one percent.
func (m *Meter) Sample() (Usage, error) {
	node, own, err := m.sample(false)
	if err != nil {
		return Usage{}, fmt.Errorf("sample cpu use: %w", err)
	}
	u := usage(m.prev, node, own-m.own)
	m.prev, m.own = node, own
	return u, nil
}

func (m *Meter) sample(first bool) (nodeTimes, time.Duration, error) {
	own := time.Duration(0)
	for _, s := range m.sources {
		v, err := s.read()
		gone := errors.Is(err, fs.ErrNotExist) || isGone(err)
		if err != nil && (first || !gone) {
			return nodeTimes{}, 0, err
		}
		if err == nil {
			s.last = max(s.last, v) // a reused pid must not turn time back
		}
		own += s.last
	}
	if err := m.kernelThreads(); err != nil {
		return nodeTimes{}, 0, err
	}
	node, err := readFile(filepath.Join(m.proc, "stat"), parseNodeStat)
	if m.threads != nil {
		own += time.Duration(node.irq) * (time.Second / userHZ)
		for _, d := range m.threads {
			own += d
		}
	}
	return node, own, err
}

// kernelThreads brings m.threads up to date. A thread that ended keeps its
// last value: what it did since the sample before counts as foreign.
func (m *Meter) kernelThreads() error {
	if m.threads == nil {
		return nil
	}
	d, err := os.Open(m.proc)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		p, err := readFile(filepath.Join(m.proc, name, "stat"), parseProcessStat)
		switch {
		case errors.Is(err, fs.ErrNotExist) || isGone(err):
		case err != nil:
			return err
		case p.kernel:
			m.threads[pid] = max(m.threads[pid], p.cpu) // a reused pid must not turn time back
		}
	}
	return nil
}

// usage computes percentages of the capacity between two samples. The sum of
// all states is the capacity: it needs no second clock.
func usage(a, b nodeTimes, own time.Duration) Usage {
	diff := func(x, y uint64) float64 { return float64(y) - float64(min(x, y)) } // iowait may fall: proc(5)
	busy, idle := diff(a.busy, b.busy), diff(a.idle, b.idle)
	wait, steal := diff(a.iowait, b.iowait), diff(a.steal, b.steal)
	total := busy + idle + wait + steal
	if total == 0 || b.cpus == 0 {
		return Usage{CPUs: b.cpus}
	}
	u := Usage{
		Wall: time.Duration(total / userHZ / float64(b.cpus) * float64(time.Second)), CPUs: b.cpus,
		Node: 100 * busy / total, Steal: 100 * steal / total, IOWait: 100 * wait / total,
		Own: 100 * own.Seconds() * userHZ / total,
	}
	u.Foreign = max(0, u.Node-u.Own)
	return u
}

// Limits of disturbance, in percent of the node.
type Limits struct {
	Foreign float64 `json:"foreign_percent"`
	Steal   float64 `json:"steal_percent"`
}

// DefaultLimits are those under which a bench may judge.
var DefaultLimits = Limits{Foreign: 5, Steal: 1}

// DisturbedError says that something else used the node too much during a
// measurement for it to mean anything.
type DisturbedError struct {
	Usage  Usage
	Limits Limits
}

func (e *DisturbedError) Error() string {
	return fmt.Sprintf("node disturbed: foreign cpu %.1f%% (limit %.1f%%), steal %.1f%% (limit %.1f%%)",
		e.Usage.Foreign, e.Limits.Foreign, e.Usage.Steal, e.Limits.Steal)
}

// Check returns a *DisturbedError when u exceeds l.
func (l Limits) Check(u Usage) error {
	if u.Foreign > l.Foreign || u.Steal > l.Steal {
		return &DisturbedError{Usage: u, Limits: l}
	}
	return nil
}

func readFile[T any](path string, parse func([]byte) (T, error)) (T, error) {
	var zero T
	b, err := os.ReadFile(path)
	if err != nil {
		return zero, err
	}
	v, err := parse(bytes.TrimSpace(b))
	if err != nil {
		return zero, fmt.Errorf("parse %s: %w", path, err)
	}
	return v, nil
}

func readCgroupCPU(dir string) (time.Duration, error) {
	v, err := readFile(filepath.Join(dir, "cpuacct.usage"), parseNanoseconds)
	if errors.Is(err, fs.ErrNotExist) {
		return readFile(filepath.Join(dir, "cpu.stat"), parseCPUStat)
	}
	return v, err
}
