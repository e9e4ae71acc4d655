package fault

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

func init() {
	roles["only cpu"] = func(dir, prefix string) error { return onlyCPU(dir, prefix, "quota") }
	roles["only cpu, for a CPU set"] = func(dir, prefix string) error { return onlyCPU(dir, prefix, "cpuset") }
}

// onlyCPU runs the Engine where nothing but the cpu controller is delegated: on
// v1 all other hierarchies are read-only, on v2 the test has made the groups so.
func onlyCPU(dir, prefix, suppress string) error {
	if os.Getenv("ANOLE_FAULT_INSIDE") == "" {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if exists("/sys/fs/cgroup/unified") {
			if err := remount(func(opts string) bool { return !slices.Contains(strings.Split(opts, ","), "cpu") }); err != nil {
				return err
			}
		}
		return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "ANOLE_FAULT_INSIDE=1"))
	}
	p := policy(prefix)
	p.Rules = []qos.Rule{
		{Match: workload.Match{Path: prefix + "own.slice/ls*"}, Class: class.LS},
		{Match: workload.Match{Path: prefix + "own.slice/be*"}, Class: class.BE},
		{Match: workload.Match{Path: "/**"}, Class: class.None},
	}
	p.BE.Suppress, p.BE.SchedIdle = suppress, "on"
	p.LS.Burst = qos.BurstMode{Set: true, Budget: 300 * time.Millisecond}
	p.Control.PressureFrom = "auto"
	p.Control.Target = 0.6 // the cap is less than all CPUs on an idle node too
	return tell(dir, p, func(qos.Status) bool { return false })
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

// delegated makes a slice with a group of each class, which on v2 has been
// handed the cpu controller and no other.
func delegated(t *testing.T, n *groups.Node) (ls, be *groups.Group) {
	t.Helper()
	n.Either()
	n.Make("own.slice")
	ls, be = n.Make("own.slice/ls.service"), n.Make("own.slice/be.service")
	if n.Unified() {
		control := n.Tree.Path("cpu", n.Prefix+"own.slice/cgroup.subtree_control")
		b, err := os.ReadFile(control)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range strings.Fields(string(b)) {
			if c == "cpu" {
				continue
			}
			if err := os.WriteFile(control, []byte("-"+c), 0); err != nil {
				t.Fatal(err)
			}
		}
		if exists(be.Path("cpuset.cpus")) {
			t.Fatal("the groups have cpuset still")
		}
	}
	ls.Limit(30_000, 100_000, 0)
	ls.Sleep()
	be.Sleep()
	return ls, be
}

// others gives all that the groups' directories of other controllers hold, and
// what is in them, except for what the kernel counts.
func others(t *testing.T, n *groups.Node, gs ...*groups.Group) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range []string{"cpuset", "memory", "blkio", "io", "pids", "freezer", "net_cls"} {
		for _, g := range gs {
			dir := n.Tree.Path(c, g.Rel)
			names, _ := filepath.Glob(filepath.Join(dir, "*"))
			for _, f := range names {
				for _, kind := range []string{".cpus", ".mems", ".max", ".min", ".low", ".high", ".weight", "limit_in_bytes", "cgroup.procs", ".classid", ".state"} {
					if b, err := os.ReadFile(f); err == nil && strings.HasSuffix(f, kind) && !strings.HasPrefix(filepath.Base(f), "cpu.") {
						out[f] = string(b)
					}
				}
			}
		}
	}
	return out
}

func TestOnlyCPUIsDelegated(t *testing.T) {
	n := groups.Open(t)
	ls, be := delegated(t, n)
	was, elsewhere := groups.Snapshot(ls, be), others(t, n, ls, be)
	lines := answer(t, child(t, "only cpu", t.TempDir(), n))
	has(t, lines, "decision: ", be.Rel+"/cpu.idle", ": ok")
	has(t, lines, "decision: ", be.Rel+"/"+n.LimitFile(), ": ok")
	has(t, lines, "decision: ", ls.Rel+"/cpu.", "burst", ": ok")
	if in, err := procfs.UnifiedCgroup("/", ls.Procs()[0]); err != nil || in == "/" { // else its own group's file is read
		has(t, lines, "degraded: pressure: no_privilege", "read-only")
	}
	for _, l := range lines {
		if strings.Contains(l, "degraded: limit") || strings.Contains(l, "degraded: cpu priority") {
			t.Error(l)
		}
	}
	has(t, lines, "pending: 0")
	same(t, was, ls, be)
	if d := groups.Differ(elsewhere, others(t, n, ls, be)); len(d) > 0 {
		t.Errorf("written elsewhere:\n%s", strings.Join(d, "\n"))
	}

	// What needs another controller says so, and the rest goes on.
	lines = answer(t, child(t, "only cpu, for a CPU set", t.TempDir(), n))
	has(t, lines, "decision: ", be.Rel+"/cpu.idle", ": ok")
	if v, _ := n.Tree.Version("cpuset"); v == cgroup.V2 {
		has(t, lines, "degraded: cpuset: conflict", "+cpuset")
	} else {
		has(t, lines, "degraded: cpuset "+be.Rel+": no_privilege", "read-only")
	}
	has(t, lines, "pending: 0")
	same(t, was, ls, be)
	if d := groups.Differ(elsewhere, others(t, n, ls, be)); len(d) > 0 {
		t.Errorf("written elsewhere:\n%s", strings.Join(d, "\n"))
	}
}
