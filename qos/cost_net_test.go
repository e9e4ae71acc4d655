package qos

import (
	"fmt"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/test/fault/groups"
)

// TestCostOfNetwork reports what a shared interface adds to a step beside 200
// workloads with a process each.
func TestCostOfNetwork(t *testing.T) {
	testkit.Select(t, "slow")
	n := groups.Open(t)
	n.Either()
	openNetwork(t)
	for i := range 200 {
		name := fmt.Sprintf("be%d.service", i)
		if i%4 == 0 {
			name = fmt.Sprintf("ls%d.service", i)
		}
		n.Make(name).Sleep()
	}
	p := netPolicy(n)
	p.Control.Interval = yamlx.Duration(100 * time.Millisecond)
	r := openRig(t, n, p, nil)
	now := time.Now()
	cost := func() time.Duration {
		const steps = 600 // a minute: each workload is looked at twice
		for range 300 {
			now = now.Add(100 * time.Millisecond)
			r.Step(now)
		}
		used := cpuTime(t)
		for range steps {
			now = now.Add(100 * time.Millisecond)
			r.Step(now)
		}
		return (cpuTime(t) - used) / steps
	}
	r.until("settled", func() bool { return r.Status().Cap != nil })
	with := cost()
	r.set(func(p *Policy) { p.Net.Use = "off" })
	without := cost()
	t.Logf("CPU of a step: %v with a shared interface, %v without: %.3f %% of a core at 100 ms", with, without, (with-without).Seconds()/0.1*100)
	if d := r.degradedBy("net"); len(d) > 0 {
		t.Errorf("degraded: %v", d)
	}
}
