package cpi

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// Event is one thing to count, type and config of perf_event_attr.
type Event struct {
	Type   uint32
	Config uint64
}

// Pair is the two events that are counted as a group: on the CPU at the same
// time or not at all, so that their quotient is exact even where the hardware
// has too few counters and takes turns.
type Pair struct{ Cycles, Instructions Event }

// Hardware is the pair that CPI is about.
func Hardware() Pair {
	return Pair{
		Event{unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_CPU_CYCLES},
		Event{unix.PERF_TYPE_HARDWARE, unix.PERF_COUNT_HW_INSTRUCTIONS},
	}
}

// Software is a pair that every kernel has: nanoseconds on the CPU, and context
// switches. It says nothing of interference; it is for tests.
func Software() Pair {
	return Pair{
		Event{unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_TASK_CLOCK},
		Event{unix.PERF_TYPE_SOFTWARE, unix.PERF_COUNT_SW_CONTEXT_SWITCHES},
	}
}

const featureName = "CPI"

// Count is what a cgroup did between two looks, over all CPUs.
type Count struct {
	Cycles, Instructions uint64
	// Enabled is the time in which the counters wanted to count, Running the
	// time in which they did. The counts are scaled up by their quotient.
	Enabled, Running time.Duration
}

// CPI is cycles per instruction, ok if there were any.
func (c Count) CPI() (v float64, ok bool) {
	if c.Instructions == 0 || c.Cycles == 0 {
		return 0, false
	}
	return float64(c.Cycles) / float64(c.Instructions), true
}

// Counter counts one cgroup with all below it. It is not safe for concurrent
// use.
type Counter struct {
	cpus []group
	buf  [8 * words]byte
}

// group is the counters on one CPU.
type group struct {
	leader, member int
	was            raw
}

// raw is what a group's leader reads as: struct read_format with
// PERF_FORMAT_GROUP and both times.
type raw struct{ enabled, running, cycles, instructions uint64 }

const words = 5 // nr, time_enabled, time_running, and the two values

// CPUs lists the CPUs of the node that are online.
func CPUs(root string) ([]int, error) {
	b, err := os.ReadFile(filepath.Join(root, "/sys/devices/system/cpu/online"))
	if err != nil {
		return nil, fmt.Errorf("list CPUs: %w", err)
	}
	return cgroup.ParseCPUList(string(b))
}

// Open begins to count the cgroup with the open directory dir: in the
// perf_event hierarchy on cgroup v1, in the unified one otherwise.
func Open(dir *cgroup.Dir, cpus []int, p Pair) (*Counter, error) {
	c := new(Counter)
	for _, cpu := range cpus {
		g, err := openGroup(dir.FD(), cpu, p, unix.PERF_FLAG_PID_CGROUP)
		if errors.Is(err, unix.EINVAL) {
			err = &feature.UnsupportedError{Feature: featureName, Reason: feature.NoKernel, Need: "CONFIG_CGROUP_PERF", Fix: "boot a kernel that has it", Err: err}
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("count %s on CPU %d: %w", dir.Path(), cpu, explain(err)), c.Close())
		}
		c.cpus = append(c.cpus, g)
	}
	return c, nil
}

// Room says how many cgroups can be counted on so many CPUs: each needs two files
// on each, and half of those that this process may open are left to others.
func Room(cpus int) int {
	var l unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &l) != nil || cpus <= 0 {
		return 0
	}
	return int(min(l.Cur, 1<<30)) / 4 / cpus
}

func openGroup(pid, cpu int, p Pair, flags int) (group, error) {
	leader, err := unix.PerfEventOpen(attr(p.Cycles), pid, cpu, -1, flags|unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		return group{}, err
	}
	member, err := unix.PerfEventOpen(attr(p.Instructions), pid, cpu, leader, flags|unix.PERF_FLAG_FD_CLOEXEC)
	if err != nil {
		_ = unix.Close(leader)
		return group{}, err
	}
	return group{leader: leader, member: member}, nil
}

func attr(e Event) *unix.PerfEventAttr {
	return &unix.PerfEventAttr{
		Type: e.Type, Size: unix.PERF_ATTR_SIZE_VER1, Config: e.Config,
		Read_format: unix.PERF_FORMAT_GROUP | unix.PERF_FORMAT_TOTAL_TIME_ENABLED | unix.PERF_FORMAT_TOTAL_TIME_RUNNING,
	}
}

// Read gives what was counted since the last Read, or since Open.
func (c *Counter) Read() (Count, error) {
	var sum Count
	for i := range c.cpus {
		g := &c.cpus[i]
		n, err := unix.Read(g.leader, c.buf[:])
		if err != nil {
			return Count{}, fmt.Errorf("read counters: %w", err)
		}
		now, ok := parse(c.buf[:n])
		if !ok {
			continue // a CPU that went offline reads as nothing
		}
		sum.add(now.since(g.was))
		g.was = now
	}
	return sum, nil
}

// parse decodes what the kernel gives for a group of two.
func parse(b []byte) (raw, bool) {
	if len(b) < 8*words || binary.NativeEndian.Uint64(b) != 2 {
		return raw{}, false
	}
	at := func(i int) uint64 { return binary.NativeEndian.Uint64(b[8*i:]) }
	return raw{enabled: at(1), running: at(2), cycles: at(3), instructions: at(4)}, true
}

// since gives the growth, scaled to the whole time if the counters took turns
// with others.
func (r raw) since(was raw) Count {
	if r.enabled < was.enabled || r.running < was.running || r.cycles < was.cycles || r.instructions < was.instructions {
		return Count{}
	}
	enabled, running := r.enabled-was.enabled, r.running-was.running
	return Count{
		Cycles: scale(r.cycles-was.cycles, enabled, running), Instructions: scale(r.instructions-was.instructions, enabled, running),
		Enabled: time.Duration(enabled), Running: time.Duration(running),
	}
}

// scale is n·enabled/running, without overflow.
func scale(n, enabled, running uint64) uint64 {
	if running == 0 || enabled <= running {
		return n
	}
	hi, lo := bits.Mul64(n, enabled)
	if hi >= running {
		return n
	}
	q, _ := bits.Div64(hi, lo, running)
	return q
}

func (c *Count) add(o Count) {
	c.Cycles += o.Cycles
	c.Instructions += o.Instructions
	c.Enabled += o.Enabled
	c.Running += o.Running
}

// Close ends the counting.
func (c *Counter) Close() error {
	var errs []error
	for _, g := range c.cpus {
		errs = append(errs, unix.Close(g.member), unix.Close(g.leader))
	}
	c.cpus = nil
	return errors.Join(errs...)
}

// Probe asks whether this process may count the pair, on itself. It changes
// nothing.
func Probe(p Pair) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g, err := openGroup(0, -1, p, 0)
	if err != nil {
		return explain(err)
	}
	c := Counter{cpus: []group{g}}
	defer c.Close()
	_, err = c.Read()
	return err
}

// explain turns the kernel's word into an answer.
func explain(err error) error {
	no := func(r feature.Reason, need, fix string) error {
		return &feature.UnsupportedError{Feature: featureName, Reason: r, Need: need, Fix: fix, Err: err}
	}
	switch {
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENODEV):
		return no(feature.NoHardware, "a CPU performance counter unit that counts cycles and instructions", "a virtual machine has one if its hypervisor shows it, a bare-metal node has one")
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return no(feature.NoPrivilege, "CAP_PERFMON (CAP_SYS_ADMIN before Linux 5.8)", "run the agent as root, outside of a sandbox that forbids perf_event_open(2)")
	case errors.Is(err, unix.ENOSYS):
		return no(feature.NoKernel, "CONFIG_PERF_EVENTS", "boot a kernel that has it")
	case errors.Is(err, unix.EMFILE):
		return fmt.Errorf("open counters: two files for each cgroup and CPU: raise LimitNOFILE: %w", err)
	}
	return err
}
