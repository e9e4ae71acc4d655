package detect

import (
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect/sim"
)

// BenchmarkObserve is of one window of a service, all signals.
func BenchmarkObserve(b *testing.B) {
	g, m := sim.New(sim.Random(1, sim.None, 0)), NewMonitor(MonitorOptions{})
	windows := make([]tcprt.Window, 300)
	for i := range windows {
		g.Next(&windows[i])
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		w := &windows[i%len(windows)]
		w.Start = w.Start.Add(time.Duration(len(windows)) * time.Second)
		m.Observe(w, 0)
		i++
	}
}
