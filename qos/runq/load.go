package runq

import (
	"errors"
	"fmt"
	"os"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/bpfx"
	"github.com/anole-os/anole/qos/runq/bpf"
)

const (
	featureName    = "run-queue latency"
	defaultCgroups = 4096
)

// programs of each source; the one at sched_switch first.
var programs = map[Source][]string{
	Accounting: {"account_switch"},
	Stamps:     {"stamp_switch", "stamp_wakeup", "stamp_new"},
}

// load puts the maps and the programs of o.Source into the kernel.
func load(o Options) (*ebpf.Collection, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, explain("raise the memlock limit", err)
	}
	if err := check(o.Source); err != nil {
		return nil, err
	}
	spec, err := prepare(o)
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, explain("load bpf programs", err)
	}
	return coll, nil
}

// prepare sets the sizes and constants and drops the other sources' programs.
func prepare(o Options) (*ebpf.CollectionSpec, error) {
	spec, err := bpf.LoadRunq()
	if err != nil {
		return nil, fmt.Errorf("read bpf object: %w", err)
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count possible cpus: %w", err)
	}
	spec.Maps["cells"].MaxEntries = uint32(cpus * NumClasses)
	spec.Maps["classes"].MaxEntries = uint32(o.MaxCgroups)
	if err := spec.Variables["count_unclassed"].Set(o.Unclassed); err != nil {
		return nil, fmt.Errorf("set count_unclassed: %w", err)
	}
	spec.Maps["misplacements"].MaxEntries = uint32(os.Getpagesize()) // a ring is whole pages, of whatever size
	if err := setSteering(spec, o, cpus); err != nil {
		return nil, err
	}
	all := spec.Programs
	spec.Programs = make(map[string]*ebpf.ProgramSpec)
	for _, name := range programs[o.Source] {
		spec.Programs[name] = all[name]
	}
	return spec, nil
}

// setSteering sets what blame and steering need.
func setSteering(spec *ebpf.CollectionSpec, o Options, cpus int) error {
	var mask uint16
	for _, c := range o.Steer {
		mask |= 1 << c
	}
	for _, v := range []struct {
		name  string
		value any
	}{{"blame", o.Blame}, {"steer", mask}, {"steer_cpus", uint32(cpus)}} {
		if err := spec.Variables[v.name].Set(v.value); err != nil {
			return fmt.Errorf("set %s: %w", v.name, err)
		}
	}
	return nil
}

// check looks in the kernel's BTF for what the source reads, to say more than
// the failing relocation would.
func check(source Source) error {
	kernel, err := btf.LoadKernelSpec()
	if err != nil {
		return explain("load kernel btf", err)
	}
	switch {
	case !hasMember(kernel, "task_struct", "__state"):
		return needKernel("Linux 5.14 or later", "boot a newer kernel")
	case !hasMember(kernel, "task_struct", "sched_task_group"):
		return needKernel("CONFIG_CGROUP_SCHED", "boot a kernel with the cpu cgroup controller")
	case source != Accounting:
		return nil
	case !hasMember(kernel, "sched_info", "last_queued"), !hasMember(kernel, "cfs_rq", "rq"):
		return needKernel("CONFIG_SCHED_INFO and CONFIG_FAIR_GROUP_SCHED", "use the stamps source")
	}
	return nil
}

func hasMember(spec *btf.Spec, name, member string) bool {
	var s *btf.Struct
	if spec.TypeByName(name, &s) != nil {
		return false
	}
	for _, m := range s.Members {
		if m.Name == member {
			return true
		}
	}
	return false
}

// attach hooks every program up; on error nothing stays attached.
func attach(coll *ebpf.Collection) (links []link.Link, err error) {
	for name, p := range coll.Programs {
		l, err := link.AttachTracing(link.TracingOptions{Program: p})
		if err != nil {
			return nil, errors.Join(explain("attach "+name, err), closeLinks(links))
		}
		links = append(links, l)
	}
	return links, nil
}

func closeLinks(links []link.Link) error {
	var errs []error
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
}

func needKernel(need, fix string) error {
	return &feature.UnsupportedError{Feature: featureName, Reason: feature.NoKernel, Need: need, Fix: fix}
}

// explain says why the kernel does not take it.
func explain(doing string, err error) error {
	return bpfx.Explain(featureName, "Linux 5.14 or later with BPF and BTF (CONFIG_BPF_SYSCALL, CONFIG_DEBUG_INFO_BTF)", doing, err)
}
