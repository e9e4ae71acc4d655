package qos

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
)

// On v2 a group's own cpu.pressure tells who waits.
func TestKernelPressure(t *testing.T) {
	n := groups.Open(t)
	n.V2()
	ls := n.Make("ls.service")
	for range 4 { // more than the node has CPUs for, so that some wait
		ls.Spin()
	}
	p := testPolicy(n)
	p.Control.PressureFrom = "auto"
	r := openRig(t, n, p, nil)
	r.until("pressure is seen", func() bool {
		for _, c := range r.Status().Classes {
			if c.Class == class.LS && c.PSI > 0 {
				return true
			}
		}
		return false
	})
	if d := r.degradedBy("pressure"); len(d) > 0 {
		t.Error(d)
	}
}

// On v1 it takes a shadow group on cgroup v2.
func TestKernelPressureShadow(t *testing.T) {
	n := groups.Open(t)
	n.V1()
	p := testPolicy(n)
	p.Control.PressureFrom = "auto"
	n.Make("ls.service")
	inner := n.Make("ls.service/inner") // part of the same workload
	pid := inner.Sleep().Process.Pid
	where := func() string {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		_, rest, _ := strings.Cut(string(b), "0::")
		return strings.TrimSpace(rest)
	}
	home := where()
	r := openRig(t, n, p, nil)
	r.until("measured", func() bool { return len(r.pressure.files) > 0 })
	if home != "/" {
		t.Logf("the test's own processes are in %s: no shadow is needed", home)
		return
	}
	r.until("in the shadow", func() bool { return where() == "/"+shadowName })
	r.set(func(p *Policy) { p.Rules[0].Class = class.None })
	r.until("out of the shadow", func() bool { return where() == "/" })
	r.set(func(p *Policy) { p.Rules[0].Class = class.LS })
	r.until("in the shadow", func() bool { return where() == "/"+shadowName })
	r.close()
	if where() != "/" {
		t.Errorf("the process was left in %s", where())
	}
	if _, err := os.Stat(n.Tree.Path(cgroup.Unified, shadowName)); err == nil {
		t.Error("the shadow group is still there")
	}
}
