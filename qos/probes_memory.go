package qos

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/memory"
)

// memoryProbes asks what isolation of memory needs.
func memoryProbes(probe func(name, doc string, ask func(*cgroup.Tree) (string, error))) {
	file := func(name, doc, need, fix string) {
		probe(name, doc, func(t *cgroup.Tree) (string, error) { return "", askMemoryFile(t, name, need, fix) })
	}
	file(memory.FileLow, "what LS work uses is protected from reclaim, with memory.min for LSE and LSR",
		"cgroup v2", "boot with cgroup v2; without it best-effort work is bounded so that the kernel need not reclaim")
	file(memory.FileHigh, "best-effort work is bounded without being killed",
		"cgroup v2", "boot with cgroup v2; the limit of cgroup v1, stepped down, serves without it")
	file(memory.FileReclaim, "background reclaim from best-effort work",
		"Linux 5.19 and cgroup v2", "upgrade the kernel or boot with cgroup v2; bounds alone serve without it")
	file(memory.FileOOMGroup, "best-effort work that runs out of memory goes as a whole",
		"Linux 4.19 and cgroup v2", "boot with cgroup v2; the kernel kills single processes without it")
	probe("memory of finished jobs", "page cache of best-effort groups without processes is given back", askFinished)
	probe("oom_score_adj", "who is killed first when the node runs out of memory", askScore)
}

// askMemoryFile looks for a file in a fresh v2 cgroup, or on v1 in the root,
// which has all that others have.
func askMemoryFile(t *cgroup.Tree, name, need, fix string) error {
	v, ok := t.Version("memory")
	if !ok {
		return missing(name, "the memory controller", "boot with cgroup_enable=memory")
	}
	look := func(d *cgroup.Dir) error {
		if !d.Has(name) {
			return missing(name, need, fix)
		}
		return nil
	}
	if v == cgroup.V2 {
		return actuate.InProbe(t, name, func(g *actuate.Group) error { return look(g.CPU) })
	}
	d, err := cgroup.OpenDir(t.Mount("memory"))
	if err != nil {
		return err
	}
	defer d.Close()
	return look(d)
}

func askFinished(t *cgroup.Tree) (string, error) {
	var err error
	for _, name := range []string{memory.FileReclaim, memory.FileEmptyV1} {
		if err = askMemoryFile(t, name, "memory.reclaim (Linux 5.19) or memory.force_empty (cgroup v1)", "upgrade the kernel"); err == nil {
			return "by " + name, nil
		}
	}
	return "", err
}

func askScore(*cgroup.Tree) (string, error) {
	may, err := sys.Capable(unix.CAP_SYS_RESOURCE)
	switch {
	case err != nil:
		return "", fmt.Errorf("ask for CAP_SYS_RESOURCE: %w", err)
	case !may:
		return "", &feature.UnsupportedError{
			Feature: "oom_score_adj", Reason: feature.NoPrivilege, Need: "CAP_SYS_RESOURCE to favour LS work",
			Fix: "run the agent with it; best-effort work is made to go first without it",
		}
	}
	return "", nil
}
