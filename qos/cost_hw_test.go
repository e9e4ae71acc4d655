package qos

import (
	"fmt"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/cpi"
	"github.com/anole-os/anole/test/fault/corefake"
	"github.com/anole-os/anole/test/fault/groups"
)

// TestCostOfCounters reports what CPI (by the software pair) and core scheduling
// (on its stand-in, so without the kernel's part) add to a step on a node with
// 200 groups of one process each. The look for new threads, which core
// scheduling and the cache have in common, is in the latter.
func TestCostOfCounters(t *testing.T) {
	testkit.Select(t, "slow")
	n := groups.Open(t)
	n.Either()
	for i := range 200 {
		name := fmt.Sprintf("be%d.service", i)
		if i%4 == 0 {
			name = fmt.Sprintf("ls%d.service", i)
		}
		g := n.Make(name)
		g.Sleep()
		countable(t, n, g)
	}
	p := testPolicy(n)
	p.Control.Interval = yamlx.Duration(100 * time.Millisecond)
	r := openRig(t, n, p, nil)
	r.cpi.pair = cpi.Software()
	for _, x := range r.parts {
		if c, ok := x.(*corePart); ok {
			c.k = corefake.New()
		}
	}
	now := time.Now()
	cost := func(what string) {
		for range 50 {
			now = now.Add(100 * time.Millisecond)
			r.Step(now)
		}
		const steps = 200
		used := cpuTime(t)
		for range steps {
			now = now.Add(100 * time.Millisecond)
			r.Step(now)
		}
		used = cpuTime(t) - used
		t.Logf("%s: CPU %v a step, %.2f %% of a core at 100 ms", what, used/steps, used.Seconds()/steps/0.1*100)
	}
	cost("neither")
	r.set(func(p *Policy) { p.CPI.Mode = "on" })
	cost("CPI")
	if len(r.cpi.of) != 200 {
		t.Errorf("%d groups are counted", len(r.cpi.of))
	}
	r.set(func(p *Policy) { p.CPI.Mode, p.Control.CoreSched = "off", "on" })
	cost("core scheduling")
}
