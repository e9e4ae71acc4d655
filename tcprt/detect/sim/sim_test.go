package sim

import (
	"math"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// Windows of a pool are what the requests themselves would have made.
func TestWindowsAreOfRequests(t *testing.T) {
	for f := range Faults {
		s := Random(5, f, 0)
		s.Rate, s.Pool = 2000, 20_000
		g := New(s)
		var w tcprt.Window
		var windows, records tcprt.Totals
		for range 20 {
			g.Next(&w)
			windows.Merge(&w.Totals)
		}
		for _, r := range g.Samples(20_000) {
			records.Add(&r)
		}
		for p := range windows.Phases {
			a, b := windows.Phases[p].Mean().Seconds(), records.Phases[p].Mean().Seconds()
			// The server's time wanders, and the hour of the day has its own.
			if math.Abs(a-b) > 0.35*b+2e-6 {
				t.Errorf("%v: %v is %v in windows, %v in records", f, tcprt.Phase(p), a, b)
			}
		}
		for name, c := range map[string][2]uint64{
			"zero windows": {windows.ZeroWindows, records.ZeroWindows}, "aborted": {windows.AbortedRequests, records.AbortedRequests},
		} {
			a, b := float64(c[0])/float64(windows.Requests), float64(c[1])/float64(records.Requests)
			if math.Abs(a-b) > 0.15*b+0.001 {
				t.Errorf("%v: %s %v in windows, %v in records", f, name, a, b)
			}
		}
	}
}

// The same Spec makes the same windows, and the fault begins in its window.
func TestSameSpec(t *testing.T) {
	a, b := New(Random(9, Loss, 3)), New(Random(9, Loss, 3))
	var v, w tcprt.Window
	for i := range 6 {
		if a.Faulty() != (i >= 3) {
			t.Errorf("window %d: faulty %v", i, a.Faulty())
		}
		a.Next(&v)
		b.Next(&w)
		if v != w {
			t.Fatalf("window %d differs", i)
		}
	}
}

func TestFlights(t *testing.T) {
	for segments, want := range map[int]int{1: 1, 10: 1, 11: 2, 30: 2, 31: 3, 70: 3, 71: 4} {
		if got := flights(segments); got != want {
			t.Errorf("%d segments take %d flights, want %d", segments, got, want)
		}
	}
}

func TestLite(t *testing.T) {
	s := Random(1, None, 0)
	s.Lite = true
	g := New(s)
	var w tcprt.Window
	g.Next(&w)
	if w.Phases[tcprt.Queue].Count() != 0 || w.Phases[tcprt.Send].Count() != 0 || w.Phases[tcprt.Processing].Count() == 0 {
		t.Errorf("%d %d %d", w.Phases[tcprt.Queue].Count(), w.Phases[tcprt.Send].Count(), w.Phases[tcprt.Processing].Count())
	}
	if r := g.Samples(1)[0]; r.Read != 0 || r.Last != 0 {
		t.Errorf("%+v", r)
	}
}
