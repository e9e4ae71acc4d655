package qos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/coresched"
	"github.com/anole-os/anole/qos/cpi"
	"github.com/anole-os/anole/qos/resctrl"
	"github.com/anole-os/anole/qos/runq"
	"github.com/anole-os/anole/qos/shape"
)

// Probes asks what the room needs of the node whose /proc and /sys are below
// root. Each leaves the node as it was.
func Probes(root string) []*feature.Probe {
	var out []*feature.Probe
	probe := func(name, doc string, ask func(*cgroup.Tree) (string, error)) {
		out = append(out, feature.NewProbe("qos", name, doc, func() (string, error) {
			t, err := cgroup.Detect(root)
			if err != nil {
				return "", err
			}
			return ask(t)
		}))
	}
	probe("cgroup cpu controller", "limits and weights of groups", askController)
	for _, m := range actuate.Ladder() {
		probe(string(m), "best-effort work yields the CPU", func(t *cgroup.Tree) (string, error) { return "", actuate.Supports(t, m) })
	}
	probe("CPU Burst", "unused quota banked and spent by the kernel", askBurst)
	probe("CPU Burst above the quota", "a bank deeper than one quota without a longer period", askDeep)
	probe("cpuset", "suppression by CPU set", askCPUSet)
	probe("pressure (PSI)", "feedback: how long LS tasks wait for a CPU", func(t *cgroup.Tree) (string, error) {
		var p pressureSense
		if err := p.open(root, t, nil); err != nil {
			return "", err
		}
		how, _ := p.using()
		return how, nil
	})
	probe("run-queue latency (eBPF)", "feedback: how long LS threads wait behind best-effort work", func(*cgroup.Tree) (string, error) { return "", runq.Probe() })
	probe("steering", "waking LS threads are moved from behind each other to a CPU that runs only BE", askSteering)
	probe("real-time lane", "SCHED_RR for chosen LS workloads, bounded", askLane)
	ioProbes(root, probe)
	memoryProbes(probe)
	probe("CPI (PMU)", "feedback: what an instruction costs in cycles; used where the cache is shared out, or with cpi.objective", askCPI)
	probe("resctrl", "best-effort work is held to a share of the cache and of the memory bandwidth", func(*cgroup.Tree) (string, error) { return resctrl.Probe(root) })
	probe("core scheduling", "no best-effort thread on the sibling of a CPU that runs anything else; used with control.coreSched", askCoreSched(root))
	probe("network: EDT", "interfaces shared by a time of departure for each packet", askShape(root, shape.EDT))
	probe("network: HTB", "interfaces shared by token buckets", askShape(root, shape.HTB))
	return out
}

func missing(what, need, fix string) error {
	return &feature.UnsupportedError{Feature: what, Reason: feature.NoKernel, Need: need, Fix: fix}
}

func askController(t *cgroup.Tree) (string, error) {
	v, ok := t.Version("cpu")
	if !ok {
		return "", missing("cgroup cpu controller", "the cpu controller", "on cgroup v2: echo +cpu > /sys/fs/cgroup/cgroup.subtree_control")
	}
	return fmt.Sprintf("cgroup v%d at %s", v, t.Mount("cpu")), actuate.InProbe(t, "cgroup cpu controller", func(*actuate.Group) error { return nil })
}

// askCPUSet wants cpuset beside cpu: a kernel without CPUSETS_V1 has it on v2
// even where cpu is on v1, and there no group has it.
func askCPUSet(t *cgroup.Tree) (string, error) {
	v, ok := t.Version("cpuset")
	if !ok {
		return "", missing("cpuset", "the cpuset controller", "boot with it, or delegate it on cgroup v2")
	}
	if of, ok := t.Version("cpu"); ok && of != v {
		return "", missing("cpuset", fmt.Sprintf("cpu and cpuset on one version of cgroups, they are on v%d and v%d", of, v),
			"boot with systemd.unified_cgroup_hierarchy=1, or leave be.suppress at quota")
	}
	return fmt.Sprintf("cgroup v%d", v), nil
}

func askBurst(t *cgroup.Tree) (string, error) {
	return "", actuate.InProbe(t, "CPU Burst", func(g *actuate.Group) error {
		if !g.HasBurst() {
			return missing("CPU Burst", "Linux 5.14 or later", "upgrade the kernel; the agent's credit serves without it")
		}
		return nil
	})
}

func askDeep(t *cgroup.Tree) (string, error) {
	return "", actuate.InProbe(t, "CPU Burst above the quota", func(g *actuate.Group) error {
		if !g.HasBurst() || !g.DeepBurst() {
			return missing("CPU Burst above the quota", "the Anolis Cloud Kernel (ANCK)", "boot an ANCK kernel; a longer period serves without it")
		}
		return nil
	})
}

func askLane(t *cgroup.Tree) (string, error) {
	if os.Geteuid() != 0 {
		return "", &feature.UnsupportedError{Feature: "real-time lane", Reason: feature.NoPrivilege, Need: "CAP_SYS_NICE", Fix: "run the agent as root"}
	}
	detail := "bounded by the watchdog"
	err := actuate.InProbe(t, "real-time lane", func(g *actuate.Group) error {
		if g.CPU.Has(fileRTRuntime) {
			detail = "bounded by cpu.rt_runtime_us and the watchdog"
		}
		return nil
	})
	return detail, err
}

// askSteering asks for what a Steerer needs: the tracer's programs that find
// misplaced tasks, a CPU to move one to, and leave to move anybody's. That its
// thread may not be a real-time one only makes it slower.
func askSteering(*cgroup.Tree) (string, error) {
	no := func(r feature.Reason, need, fix string) error {
		return &feature.UnsupportedError{Feature: "steering", Reason: r, Need: need, Fix: fix}
	}
	if runtime.GOMAXPROCS(0) < 2 {
		return "", no(feature.NoHardware, "two CPUs", "give the machine another one")
	}
	if may, err := sys.Capable(unix.CAP_SYS_NICE); err != nil {
		return "", err
	} else if !may {
		return "", no(feature.NoPrivilege, "CAP_SYS_NICE", "run the agent as root")
	}
	t, err := runq.Open(runq.Options{Blame: uint8(class.BE), Steer: steered})
	if err != nil {
		return "", err
	}
	if err := t.Close(); err != nil {
		return "", err
	}
	if err := mayFIFO(); err != nil {
		return fmt.Sprintf("slower than it could be: no SCHED_FIFO for its thread (%v)", err), nil
	}
	return "by a SCHED_FIFO thread", nil
}

// mayFIFO tries the policy on a thread of its own.
func mayFIFO() error {
	tried := make(chan error)
	go func() {
		// The thread ends with the goroutine, but for the process's first one.
		runtime.LockOSThread()
		was, err := sys.GetSched(0)
		if err == nil {
			err = sys.SetSched(0, sys.Sched{Policy: sys.SCHED_FIFO, Priority: 1})
		}
		if err == nil {
			err = sys.SetSched(0, was)
		}
		tried <- err
	}()
	return <-tried
}

func askShape(root string, m shape.Mode) func(*cgroup.Tree) (string, error) {
	return func(*cgroup.Tree) (string, error) {
		if root != "" {
			return "", errors.New("a recorded tree has no network")
		}
		return "", shape.Supports(m)
	}
}

// askCPI asks for the counters, and for cgroups to count by.
func askCPI(t *cgroup.Tree) (string, error) {
	if err := cpi.Probe(cpi.Hardware()); err != nil {
		return "", err
	}
	d, err := cpi.Dir(t, "/")
	if err != nil {
		return "", err
	}
	defer d.Close()
	c, err := cpi.Open(d, []int{0}, cpi.Hardware())
	if err != nil {
		return "", err
	}
	return "cycles and instructions by cgroup, in " + d.Path(), c.Close()
}

func askCoreSched(root string) func(*cgroup.Tree) (string, error) {
	return func(*cgroup.Tree) (string, error) {
		return "the CPUs have siblings; off unless control.coreSched asks for it", coresched.Probe(root, coresched.Linux{})
	}
}

// Recover puts back what an Engine that was killed left beyond the journal: a
// thread that was being moved, the cgroup of a probe.
func Recover(root, runDir string) error {
	err := runq.Recover(slipPath(runDir))
	if t, derr := cgroup.Detect(root); derr == nil {
		actuate.Sweep(t)
	}
	return err
}

func slipPath(runDir string) string { return filepath.Join(runDir, "qos.slip") }

// Kernel gives what the kernel of this node takes as a CPU limit, and its CPUs.
// A node without cgroups, or one that this process may not probe, is taken for
// a stock one.
func Kernel(root string) (burst.Limits, int) {
	limits := burst.Mainline()
	if t, err := cgroup.Detect(root); err == nil && os.Geteuid() == 0 {
		limits = kernelLimits(t)
	}
	return limits, int(countCPUs(root))
}
