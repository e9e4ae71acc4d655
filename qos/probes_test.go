package qos

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/runq"
)

func probed(t *testing.T, name string) feature.Result {
	t.Helper()
	for _, p := range Probes("") {
		if p.Name() == name {
			return p.Result()
		}
	}
	t.Fatalf("nothing asks for %q", name)
	return feature.Result{}
}

// Where the run queue can be traced and threads of others may be moved,
// steering is a yes, and asking leaves no real-time thread behind.
func TestProbeOfSteering(t *testing.T) {
	r := probed(t, "steering")
	may, err := sys.Capable(unix.CAP_SYS_NICE)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case runtime.GOMAXPROCS(0) < 2:
		if r.Reason != feature.NoHardware {
			t.Errorf("with one CPU: %+v", r)
		}
	case !may:
		if r.Reason != feature.NoPrivilege {
			t.Errorf("without CAP_SYS_NICE: %+v", r)
		}
	default:
		testkit.Need(t, runq.Probe())
		if r.Answer != feature.Yes || !strings.Contains(r.Detail, "SCHED_FIFO") {
			t.Errorf("where it can work: %+v", r)
		}
	}
	for end := time.Now().Add(30 * time.Second); realTimeThread(t); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("a real-time thread was left behind")
		}
	}
}

func realTimeThread(t *testing.T) bool {
	t.Helper()
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(threads, func(d os.DirEntry) bool {
		tid, _ := strconv.Atoi(d.Name())
		s, err := sys.GetSched(tid)
		return err == nil && s.Policy == sys.SCHED_FIFO
	})
}

// CPU sets are of use where the groups have them.
func TestProbeOfCPUSet(t *testing.T) {
	for what, c := range map[string]struct {
		v1, v2 string // controllers
		want   feature.Answer
	}{
		"v1":              {"rw,cpu rw,cpuset", "", feature.Yes},
		"v2":              {"", "cpu cpuset", feature.Yes},
		"none":            {"rw,cpu", "memory", feature.No},
		"another version": {"rw,cpu", "cpuset memory", feature.No},
	} {
		root := t.TempDir()
		table := "20 1 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n21 20 0:21 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
		for i, opts := range strings.Fields(c.v1) {
			table += fmt.Sprintf("%d 20 0:%d / /sys/fs/cgroup/v1-%d rw - cgroup cgroup %s\n", 30+i, 30+i, i, opts)
		}
		for name, text := range map[string]string{"proc/self/mountinfo": table, "sys/fs/cgroup/unified/cgroup.controllers": c.v2 + "\n"} {
			path := filepath.Join(root, name)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range Probes(root) {
			if p.Name() != "cpuset" {
				continue
			}
			if r := p.Result(); r.Answer != c.want || r.Answer == feature.No && r.Fix == "" {
				t.Errorf("%s: %+v", what, r)
			}
		}
	}
}
