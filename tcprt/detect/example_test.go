package detect_test

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect"
)

// A server that took 2 ms takes 20 ms from the 121st second on.
func ExampleMonitor() {
	m := detect.NewMonitor(detect.MonitorOptions{})
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for second := range 130 {
		w := tcprt.Window{Service: tcprt.Service{Role: tcprt.Server, Port: 80}, Start: start.Add(time.Duration(second) * time.Second), Length: time.Second}
		took := 2 * time.Millisecond
		if second >= 120 {
			took = 20 * time.Millisecond
		}
		for range 50 {
			w.Add(&tcprt.Record{T0: time.Second, T1: time.Second, T2: time.Second + took, T3: time.Second + took})
		}
		if e, ok := m.Observe(&w, 0); ok {
			fmt.Printf("%s: ongoing %v, seen after %v, %d signals\n", e.Start.UTC().Format(time.TimeOnly), e.Ongoing(), e.Seen.Sub(e.Start), bits(e.Signals))
		}
	}
	// Output: 00:02:00: ongoing true, seen after 2s, 3 signals
}

func bits(s detect.Set) (n int) {
	s.Each(func(detect.Signal) { n++ })
	return n
}
