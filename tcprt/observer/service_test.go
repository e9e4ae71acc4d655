package observer

import (
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// A service that was forgotten and came again counts on, from nothing.
func TestServiceComesAgain(t *testing.T) {
	var s service
	var w tcprt.Totals
	now := time.Now()
	for i, c := range []struct{ kernel, window, total uint64 }{{1000, 1000, 1000}, {1004, 4, 1004}, {1, 1, 1005}, {3, 2, 1007}} {
		s.take(&tcprt.Totals{Requests: c.kernel, Opened: 1}, now.Add(time.Duration(i)*time.Second), &w)
		if w.Requests != c.window || s.totals.Requests != c.total || s.rate != float64(c.window) {
			t.Errorf("step %d: %d in the window, %d in all, %v a second", i, w.Requests, s.totals.Requests, s.rate)
		}
	}
}
