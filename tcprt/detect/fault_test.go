package detect

import (
	"testing"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect/sim"
)

// found gives how many windows after the onset an event began; 0 for none.
func found(s sim.Spec, o MonitorOptions, within int) int {
	g, m := sim.New(s), NewMonitor(o)
	var w tcprt.Window
	for i := range s.Onset + within {
		g.Next(&w)
		if e, ok := m.Observe(&w, 0); ok && e.Ongoing() && i >= s.Onset {
			return i - s.Onset + 1
		}
	}
	return 0
}

// intime gives the share of runs in which the fault was found in five windows.
func intime(t *testing.T, f sim.Fault, o MonitorOptions, runs int) float64 {
	n, sum := 0, 0
	for seed := range uint64(runs) {
		if d := found(sim.Random(unseen+seed, f, 150), o, 30); d > 0 && d <= 5 {
			n++
			sum += d
		}
	}
	t.Logf("%v: %d of %d in five windows, after %.1f on average", f, n, runs, float64(sum)/float64(max(1, n)))
	return float64(n) / float64(runs)
}

func TestFound(t *testing.T) {
	for f := sim.None + 1; f < sim.Faults; f++ {
		if share := intime(t, f, MonitorOptions{}, 12); share < 0.75 {
			t.Errorf("%v was found in five windows in %.0f %% of the runs", f, share*100)
		}
	}
}

func TestFoundOften(t *testing.T) {
	testkit.Select(t, "slow")
	for _, cauchy := range []bool{false, true} {
		t.Log("Cauchy ", cauchy)
		for f := sim.None + 1; f < sim.Faults; f++ {
			if share := intime(t, f, MonitorOptions{Cauchy: cauchy}, 200); !cauchy && share < 0.95 {
				t.Errorf("%v was found in five windows in %.1f %% of the runs, want 95", f, share*100)
			}
		}
	}
}
