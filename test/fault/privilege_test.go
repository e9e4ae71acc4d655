package fault

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/test/fault/groups"
)

func init() {
	roles["readonly"] = readonly
	roles["nobpf"] = nobpf
	roles["nopsi"] = nopsi
}

// report runs an Engine over the test's groups for a while and prints what its
// status says. all asks for the optional sensors too.
func report(dir, prefix string, all bool) error {
	p := policy(prefix)
	if all {
		p.Control.RunQueue, p.Control.PressureFrom = "auto", "auto"
	}
	return tell(dir, p, func(s qos.Status) bool { return all && len(s.Degraded) > 0 })
}

// tell runs an Engine with a policy for a second, or until what its status says
// is enough, and prints that.
func tell(dir string, p qos.Policy, enough func(qos.Status) bool) error {
	e, j, err := engine(dir, p, nil)
	if err != nil {
		return err
	}
	// The tracer is loaded beside the loop, and processes are looked for once a
	// second.
	for began := time.Now(); time.Since(began) < 2500*time.Millisecond; {
		e.Step(time.Now())
		time.Sleep(10 * time.Millisecond)
		if enough(e.Status()) {
			break
		}
	}
	s := e.Status()
	for _, d := range s.Degraded {
		fmt.Printf("degraded: %s: %s: %s\n", d.Feature, d.Reason, d.Detail)
	}
	for _, m := range s.Mechanisms {
		fmt.Printf("mechanism: %s: %s: %s\n", m.Name, m.Using, m.Why)
	}
	for _, d := range s.Decisions {
		fmt.Printf("decision: %s: %s\n", d.File, d.Result)
	}
	if err := e.Close(); err != nil {
		return err
	}
	fmt.Printf("pending: %d\n", len(j.Pending()))
	return j.Close()
}

// remount makes every cgroup hierarchy read-only in a mount namespace of its
// own.
func readonly(dir, prefix string) error {
	// The thread that enters the namespace starts all threads that follow only
	// if it is the main one, so the binary is run anew from here.
	if os.Getenv("ANOLE_FAULT_INSIDE") == "" {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := remount(func(string) bool { return true }); err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "ANOLE_FAULT_INSIDE=1"))
	}
	return report(dir, prefix, false)
}

// remount makes the hierarchies read-only of whose mount the options say so.
func remount(which func(opts string) bool) error {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		head, tail, _ := strings.Cut(line, " - ")
		if f := strings.Fields(tail); !strings.HasPrefix(tail, "cgroup") || !which(f[len(f)-1]) {
			continue
		}
		at := strings.Fields(head)[4]
		if err := unix.Mount(at, at, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s: %w", at, err)
		}
		if err := unix.Mount("", at, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			return fmt.Errorf("remount %s: %w", at, err)
		}
	}
	return nil
}

// nobpf gives up what loading a program needs.
func nobpf(dir, prefix string) error {
	if os.Getenv("ANOLE_FAULT_INSIDE") == "" {
		runtime.LockOSThread()
		for _, c := range []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_ADMIN} {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0); err != nil {
				return err
			}
		}
		// exec gives root all that the bounding set still has.
		return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "ANOLE_FAULT_INSIDE=1"))
	}
	return report(dir, prefix, true)
}

// nopsi hides /proc/pressure under an empty file system.
func nopsi(dir, prefix string) error {
	if os.Getenv("ANOLE_FAULT_INSIDE") == "" {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("none", "/proc/pressure", "tmpfs", 0, ""); err != nil {
			return err
		}
		return syscall.Exec("/proc/self/exe", os.Args, append(os.Environ(), "ANOLE_FAULT_INSIDE=1"))
	}
	return report(dir, prefix, true)
}

// has fails the test unless some line holds all words.
func has(t *testing.T, lines []string, words ...string) {
	t.Helper()
next:
	for _, l := range lines {
		for _, w := range words {
			if !strings.Contains(l, w) {
				continue next
			}
		}
		return
	}
	t.Errorf("no line with %q in\n%s", words, strings.Join(lines, "\n"))
}

func pair(n *groups.Node) (ls, be *groups.Group) {
	ls, be = n.Make("ls.service"), n.Make("be.service")
	ls.Sleep()
	be.Sleep()
	return ls, be
}

func TestReadOnlyHierarchies(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := pair(n)
	was := groups.Snapshot(ls, be)
	lines := answer(t, child(t, "readonly", t.TempDir(), n))
	has(t, lines, "degraded: cpu priority: "+"no_privilege", "read-only")
	has(t, lines, "degraded: limit "+be.Rel, "read-only")
	has(t, lines, "mechanism: priority: off", "writable /sys/fs/cgroup")
	has(t, lines, "decision: ", be.Rel, "error: ", "read-only")
	has(t, lines, "pending: 0")
	same(t, was, ls, be)
}

func TestNoBPF(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := pair(n)
	was := groups.Snapshot(ls, be)
	lines := answer(t, child(t, "nobpf", t.TempDir(), n))
	has(t, lines, "degraded: run queue: no_privilege")
	has(t, lines, "mechanism: run queue: off")
	has(t, lines, "decision: ", be.Rel+"/cpu.idle", ": ok") // the rest goes on
	has(t, lines, "pending: 0")
	same(t, was, ls, be)
}

func TestNoPSI(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := pair(n)
	was := groups.Snapshot(ls, be)
	lines := answer(t, child(t, "nopsi", t.TempDir(), n))
	has(t, lines, "degraded: pressure: no_kernel", "psi=1")
	has(t, lines, "mechanism: pressure: off")
	has(t, lines, "decision: ", be.Rel+"/cpu.idle", ": ok")
	has(t, lines, "pending: 0")
	same(t, was, ls, be)
}

// policyOff is the operator's way to do without the sensors: nothing is
// degraded then.
func TestSensorsOffByPolicy(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	pair(n)
	e, j, err := engine(t.TempDir(), policy(n.Prefix), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	defer e.Close()
	until(t, e, "a cap", func() bool { return e.Status().Cap != nil })
	var s qos.Status
	if s = e.Status(); len(s.Degraded) > 0 {
		t.Errorf("degraded: %v", s.Degraded)
	}
}
