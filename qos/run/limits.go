package run

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

// limit gives the workload its limits and its class's priority.
func (r *runner) limit(agent bool) error {
	if err := r.limitMemory(); err != nil {
		return err
	}
	if err := r.limitCPU(agent); err != nil {
		return err
	}
	return r.prioritise(agent)
}

// limitCPU writes the long-run limit. With an agent it is the plain quota: the
// agent discovers it and banks. Without one the kernel banks what it can: the
// budget asked for, or for auto the most that a stock kernel banks at its
// default period, one quota (so a bucket of two).
func (r *runner) limitCPU(agent bool) error {
	if r.o.CPUs == 0 {
		return nil
	}
	g, err := actuate.OpenGroup(r.site.tree, r.site.rel)
	if err != nil {
		return unlimitable("--cpus", "cpu", err)
	}
	defer g.Close()
	if !g.HasBandwidth() {
		return unlimitable("--cpus", "cpu", nil)
	}
	plan, err := r.plan(agent, r.kernel(g))
	if err != nil {
		return err
	}
	from, err := g.Bandwidth()
	if err != nil {
		return err
	}
	for _, e := range g.Steps(from, plan.Bandwidth) {
		if err := store(g.Path(e.File), e.Value); err != nil {
			return fmt.Errorf("limit CPU to %g: write to %s: %w", r.o.CPUs, g.Path(e.File), err)
		}
	}
	r.started.Plan = &plan
	return nil
}

// kernel finds what the kernel takes as a burst by asking the workload's own
// group, which has no process yet: a probe group would be left behind if the
// runner were killed meanwhile.
func (r *runner) kernel(g *actuate.Group) burst.Limits {
	l := burst.Mainline()
	l.HasBurst = g.HasBurst()
	l.BurstMayExceedQuota = l.HasBurst && g.DeepBurst()
	v, _ := r.site.tree.Version("cpu")
	l.Unified = v == cgroup.V2
	return l
}

func (r *runner) plan(agent bool, limits burst.Limits) (burst.Plan, error) {
	cpus, err := procfs.CPUs(r.o.Root)
	if err != nil {
		return burst.Plan{}, fmt.Errorf("count CPUs: %w", err)
	}
	s := burst.Spec{Limit: r.o.CPUs, CPUs: cpus, Limits: limits}
	switch {
	case agent:
		r.note("the agent banks unused CPU")
	case r.o.Burst.Auto:
		s.Burst = 2 * burst.Micros(r.o.CPUs*float64(burst.DefaultMinPeriod)).Duration()
	default:
		s.Burst = r.o.Burst.Of(r.o.CPUs)
	}
	p, err := burst.NewPlan(s)
	var f *burst.FieldError
	if errors.As(err, &f) {
		flag := "--cpus"
		if f.Field == "burst" {
			flag = "--burst"
		}
		return p, &FlagError{Flag: flag, Value: f.Value, Reason: f.Reason}
	}
	if err == nil && !agent {
		r.note(p.Explain()...)
	}
	return p, err
}

// limitMemory limits memory and swap together: a limit that spills into swap
// is not one.
func (r *runner) limitMemory() error {
	if r.o.Memory == 0 {
		return nil
	}
	v, ok := r.site.tree.Version("memory")
	dir, value := r.site.dir("memory"), strconv.FormatInt(r.o.Memory, 10)
	if !ok {
		return unlimitable("--memory", "memory", nil)
	}
	limit, swap, most := "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", value
	if v == cgroup.V2 {
		limit, swap, most = "memory.max", "memory.swap.max", "0"
	}
	err := store(filepath.Join(dir, limit), value)
	if errors.Is(err, fs.ErrNotExist) && dirExists(dir) {
		return unlimitable("--memory", "memory", err)
	}
	if err != nil {
		return fmt.Errorf("limit memory to %s bytes: %w", value, err)
	}
	if err := store(filepath.Join(dir, swap), most); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("limit swap: %w", err)
	}
	return nil
}

func unlimitable(flag, controller string, err error) error {
	return &feature.UnsupportedError{
		Feature: "qos run " + flag, Reason: feature.NoKernel, Need: "the " + controller + " cgroup controller",
		Fix: "boot with it, and on cgroup v2 enable it: echo +" + controller + " > cgroup.subtree_control", Err: err,
	}
}

// Weights that anole gives the home of latency-sensitive work: ten times the
// kernel's default.
const (
	sharesDefault, sharesSensitive = "1024", "10240" // cpu.shares, v1
	weightDefault, weightSensitive = "100", "1000"   // cpu.weight, v2
)

// prioritise gives the class's home its priority. Latency-sensitive homes get
// weight, unless somebody changed it; no agent touches that. Best-effort homes
// yield, which an agent does itself.
func (r *runner) prioritise(agent bool) error {
	v, ok := r.site.tree.Version("cpu")
	if !ok {
		r.note("the node has no cpu controller: all classes have the same priority")
		return nil
	}
	if r.o.Class.Sensitive() {
		return r.favour(v)
	}
	if agent || r.o.Class != class.BE {
		return nil
	}
	return r.yield()
}

func (r *runner) favour(v cgroup.Version) error {
	file, from, to := "cpu.shares", sharesDefault, sharesSensitive
	if v == cgroup.V2 {
		file, from, to = "cpu.weight", weightDefault, weightSensitive
	}
	path := filepath.Join(r.site.tree.Path("cpu", r.site.home), file)
	now, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		r.note("no " + file + ": latency-sensitive work has no more weight than other")
		return nil
	}
	if err != nil {
		return fmt.Errorf("raise weight: %w", err)
	}
	if strings.TrimSpace(string(now)) != from {
		return nil
	}
	if err := store(path, to); err != nil {
		return fmt.Errorf("raise weight: write to %s: %w", path, err)
	}
	return nil
}

// yield lowers the best-effort home by the best means that the kernel has. A
// node without any still runs the command, and says so.
func (r *runner) yield() error {
	g, err := actuate.OpenGroup(r.site.tree, r.site.home)
	if err != nil {
		return fmt.Errorf("lower priority: %w", err)
	}
	defer g.Close()
	for _, m := range actuate.Ladder() {
		w, _ := g.Yield(m)
		if now, err := g.CPU.ReadFile(w.File); err == nil && strings.TrimSpace(string(now)) == w.Value {
			r.note("best effort yields by " + string(m))
			return nil
		}
	}
	for _, m := range actuate.Ladder() {
		w, _ := g.Yield(m)
		err = store(g.Path(w.File), w.Value)
		if err == nil {
			r.note("best effort yields by " + string(m))
			return nil
		}
		// Absent, or present without effect on this kernel: the next rung.
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) {
			return fmt.Errorf("lower priority: write to %s: %w", g.Path(w.File), err)
		}
	}
	r.note(fmt.Sprintf("best effort does not yield: %v", err))
	return nil
}
