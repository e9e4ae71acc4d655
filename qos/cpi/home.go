package cpi

import (
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// Home gives the root of the hierarchy whose cgroups can be counted: that of
// perf_event where it is mounted on cgroup v1, otherwise the unified one, which
// has it without being asked. It is "" on a node that has neither.
func Home(t *cgroup.Tree) string {
	if m := t.Mount("perf_event"); m != "" {
		return m
	}
	return t.Mount(cgroup.Unified)
}

// Dir opens the directory by which the cgroup at rel is counted. On a node with
// cgroup v1 that lacks perf_event there, cgroups that only exist on v1 cannot
// be, which is a *feature.UnsupportedError.
func Dir(t *cgroup.Tree, rel string) (*cgroup.Dir, error) {
	if t.Mount("perf_event") != "" {
		return cgroup.OpenDir(t.Path("perf_event", rel))
	}
	none := &feature.UnsupportedError{
		Feature: featureName, Reason: feature.NoKernel, Need: "the perf_event hierarchy of cgroup v1",
		Fix: "mkdir -p /sys/fs/cgroup/perf_event && mount -t cgroup -o perf_event perf_event /sys/fs/cgroup/perf_event, before containers start",
	}
	if t.Mount(cgroup.Unified) == "" {
		return nil, none
	}
	d, err := cgroup.OpenDir(t.Path(cgroup.Unified, rel))
	if v, _ := t.Version("cpu"); err != nil && v == cgroup.V1 && cgroup.Gone(err) {
		return nil, none
	}
	return d, err
}
