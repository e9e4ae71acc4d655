package qos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/cpi"
	"github.com/anole-os/anole/test/fault/groups"
)

// countable makes a test's group countable: on a node with cgroup v1 by a group
// of the same name in the hierarchy of perf_event, or in the unified one where
// that has it, as systemd makes them.
func countable(t *testing.T, n *groups.Node, g *groups.Group) {
	t.Helper()
	home := cpi.Home(n.Tree)
	if n.Unified() || home == "" {
		return
	}
	path := filepath.Join(home, g.Rel)
	if err := os.Mkdir(path, 0o755); err != nil && !os.IsExist(err) {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cgroup.Remove(path, home) })
	for _, pid := range g.Threads() {
		if err := cgroup.Move(pid, path); err != nil {
			t.Fatal(err)
		}
	}
}

// openCPIRig is an Engine that counts by the software pair: the same way through
// the kernel that cycles and instructions take, on any machine.
func openCPIRig(t *testing.T, n *groups.Node, change func(*Policy)) *rig {
	t.Helper()
	p := testPolicy(n)
	p.CPI.Mode = "off"
	r := openRig(t, n, p, nil)
	r.cpi.pair = cpi.Software()
	r.cpi.outlier = control.OutlierOptions{
		Every: 2 * time.Second, Least: 4 * time.Second, Memory: time.Hour, Window: time.Minute, Hits: 1, Sigmas: 1e9, Margin: 1e9,
	}
	r.set(change)
	return r
}

func TestKernelCPIByClass(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Run("sh", "-c", "while :; do sleep 0.01; done")
	be.Run("sh", "-c", "while :; do sleep 0.01; done")
	countable(t, n, ls)
	countable(t, n, be)
	testkit.Need(t, cpi.Probe(cpi.Software()))
	r := openCPIRig(t, n, func(p *Policy) { p.CPI.Mode = "on" })
	count := func(c class.Class) float64 { return r.Totals().Class[c].CPI }
	r.until("a quotient for both classes", func() bool { return count(class.LS) > 0 && count(class.BE) > 0 })
	if d := r.degradedBy("cpi"); len(d) > 0 {
		t.Errorf("degraded: %q", d)
	}
	for _, m := range r.Status().Mechanisms {
		if m.Name == "cpi" && (m.Using != "perf counters" || !strings.Contains(m.Why, "2 workloads")) {
			t.Errorf("%+v", m)
		}
	}
	ls.Remove()
	r.until("LS is gone", func() bool { return r.class(ls) == "" })
	r.until("and so is its quotient", func() bool { return count(class.LS) == 0 })
	fds := openFiles(t)
	r.set(func(p *Policy) { p.CPI.Mode = "off" })
	if now := openFiles(t); now >= fds {
		t.Errorf("%d files are open, %d before it was switched off", now, fds)
	}
	if count(class.BE) != 0 {
		t.Error("a quotient that nobody counts")
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	l, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(l)
}

// The way from the counters to what the suppressor is told; what it does then is
// TestCPIObjectiveCuts. Whether the cap falls cannot be seen here: on a busy
// machine it is at its floor already.
func TestKernelCPIReachesTheSuppressor(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Run("sh", "-c", "while :; do sleep 0.01; done")
	be.Sleep()
	countable(t, n, ls)
	countable(t, n, be)
	r := openCPIRig(t, n, func(p *Policy) { p.CPI.Mode, p.CPI.Objective = "auto", 1 })
	told := func() control.Signals {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.signals(time.Now(), time.Second)
	}
	r.until("learned what is usual", func() bool { return told().CPI >= 0 })
	if in := told(); in.CPI > 1 || !strings.Contains(in.CPIOf, "ls.service") {
		t.Errorf("factor %v of %q", in.CPI, in.CPIOf)
	}
	r.mu.Lock()
	for _, c := range r.cpi.of {
		if c.x != nil {
			o := r.cpi.outlier
			o.Sigmas, o.Margin = 0, -0.9 // a tenth of the usual is an outlier
			c.x.SetOptions(o)
		}
	}
	r.mu.Unlock()
	r.until("an anomaly", func() bool { return told().CPI > 1 })
	if p, _ := r.Policy(); p.suppress(r.mechanism).CPI != 1 {
		t.Error("the suppressor has no objective")
	}
}

func TestKernelCPIUnsupportedIsToldWhenAskedFor(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	r := openRig(t, n, testPolicy(n), nil)
	if d := r.degradedBy("cpi"); len(d) > 0 {
		t.Errorf("nobody asked for it: %q", d)
	}
	if err := cpi.Probe(cpi.Hardware()); err == nil {
		return // this machine has the counters
	}
	r.set(func(p *Policy) { p.CPI.Mode = "on" })
	if d := r.degradedBy("cpi"); len(d) != 1 {
		t.Errorf("asked for, missing, and not told: %q", d)
	}
	r.set(func(p *Policy) { p.CPI.Mode = "auto" })
	if d := r.degradedBy("cpi"); len(d) > 0 {
		t.Errorf("no longer asked for, and still told: %q", d)
	}
}
