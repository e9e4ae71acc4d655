package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// feed makes windows of one service whose total time is lognormal.
type feed struct {
	*rand.Rand
	at     time.Time
	w      tcprt.Window
	n      int // requests
	median time.Duration
	failed int
}

func newFeed(n int) *feed {
	return &feed{Rand: rand.New(rand.NewPCG(1, 2)), at: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), n: n, median: 5 * time.Millisecond}
}

func (f *feed) next() *tcprt.Window {
	f.w = tcprt.Window{Start: f.at, Length: time.Second}
	f.at = f.at.Add(time.Second)
	for range f.n {
		f.w.Phases[tcprt.Phases].Add(time.Duration(float64(f.median) * math.Exp(0.5*f.NormFloat64())))
	}
	f.w.Requests = uint64(f.n)
	f.w.AbortedAnswers = uint64(f.failed)
	return &f.w
}

func (f *feed) run(d Detector, windows int) (last Score) {
	for range windows {
		last = d.Observe(f.next())
	}
	return last
}

func detectors() map[string]Detector {
	return map[string]Detector{"robust": NewRobust(TotalP50, Options{}), "cauchy": NewCauchy(TotalP50, Options{})}
}

func TestWarmUp(t *testing.T) {
	for name, d := range detectors() {
		f := newFeed(100)
		if s := f.run(d, 60); s.Judged {
			t.Errorf("%s judges a window that it still learns from", name)
		}
		s := f.run(d, 1)
		if !s.Judged || s.Anomalous || s.Requests != 100 || math.Abs(s.Baseline-0.005) > 0.0005 || math.Abs(s.Now-0.005) > 0.001 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

// One window is nothing, three are an anomaly, and none after that ends it.
func TestRunOfWindows(t *testing.T) {
	for name, d := range detectors() {
		f := newFeed(100)
		f.run(d, 120)
		f.median *= 20
		if s := f.run(d, 1); s.Anomalous {
			t.Errorf("%s: one window is an anomaly: %+v", name, s)
		}
		if s := f.run(d, 2); !s.Anomalous {
			t.Errorf("%s: three windows are none: %+v", name, s)
		}
		f.median /= 20
		if s := f.run(d, 10); s.Anomalous {
			t.Errorf("%s: it does not end: %+v", name, s)
		}
	}
}

// What is slower by next to nothing, or in proportion by little, is no anomaly,
// however sure it is.
func TestLeastEffect(t *testing.T) {
	for _, c := range []struct{ before, after time.Duration }{{100 * time.Microsecond, 400 * time.Microsecond}, {10 * time.Millisecond, 12 * time.Millisecond}} {
		for name, d := range detectors() {
			f := newFeed(2000)
			f.median = c.before
			f.run(d, 120)
			f.median = c.after
			if s := f.run(d, 10); s.Anomalous || s.Z > 0 {
				t.Errorf("%s: %v for %v: %+v", name, c.after, c.before, s)
			}
		}
	}
}

// A window of few requests waits for the next ones, and is forgotten in time.
func TestSparse(t *testing.T) {
	d, f := NewRobust(TotalP50, Options{}), newFeed(2)
	judged := 0
	for range 800 {
		if s := d.Observe(f.next()); s.Judged {
			judged++
			if s.Requests != 10 {
				t.Fatalf("judged by %d requests", s.Requests)
			}
		}
	}
	if judged != 800/5-60 {
		t.Errorf("%d judgements", judged)
	}
	f.median *= 10
	if s := f.run(d, 20); !s.Anomalous {
		t.Errorf("%+v", s)
	}
	d, f = NewRobust(TotalP50, Options{}), newFeed(1)
	f.run(d, 5)
	f.at = f.at.Add(time.Hour)
	f.run(d, 1)
	if n := d.s.Pending.Count(); n != 1 {
		t.Errorf("%d requests wait, want the last", n)
	}
}

// A window of fewer requests than usual may be further out.
func TestFewerThanUsual(t *testing.T) {
	d, f := NewRobust(TotalP50, Options{}), newFeed(5000)
	f.run(d, 500)
	_, scale := d.baseline(f.at, 5000)
	if _, wide := d.baseline(f.at, 50); math.Abs(wide/scale-10) > 0.5 {
		t.Errorf("%v at a hundredth of the requests, %v at all", wide, scale)
	}
}

// The baseline stands still in an anomaly, until that is the new normal.
func TestFrozenThenAdopted(t *testing.T) {
	for name, d := range detectors() {
		f := newFeed(100)
		f.run(d, 300)
		f.median *= 3
		s := f.run(d, 25*60)
		if !s.Anomalous || math.Abs(s.Baseline-0.005) > 0.0005 {
			t.Errorf("%s learnt an anomaly: %+v", name, s)
		}
		adopted := 0
		for range 10 * 60 {
			if d.Observe(f.next()).Adopted {
				adopted++
			}
		}
		s = f.run(d, 1)
		if adopted != 1 || s.Anomalous || math.Abs(s.Baseline-0.015) > 0.0015 {
			t.Errorf("%s: adopted %d times, %+v", name, adopted, s)
		}
		f.median *= 3
		if s := f.run(d, 4); !s.Anomalous {
			t.Errorf("%s does not see the next one: %+v", name, s)
		}
	}
}

// A slow drift of a day is followed.
func TestDrift(t *testing.T) {
	for name, d := range detectors() {
		f := newFeed(100)
		f.run(d, 120)
		for range 4 * 3600 {
			f.median += f.median / 20_000 // twice as long in four hours
			if d.Observe(f.next()).Anomalous {
				t.Fatalf("%s: an anomaly at %v", name, f.median)
			}
		}
	}
}

// A job of each night is one on the first nights only.
func TestSeason(t *testing.T) {
	nights := func(o Options) (n int) {
		d, f := NewRobust(TotalP50, o), newFeed(0)
		f.n = 20
		before := false
		for range 5 * 24 * 360 {
			f.median = 5 * time.Millisecond
			if f.at.Hour() == 3 {
				f.median *= 3
			}
			s := d.Observe(f.next())
			f.at = f.at.Add(9 * time.Second)
			if s.Anomalous && !before {
				n++
			}
			before = s.Anomalous
		}
		return n
	}
	if n := nights(Options{}); n != 5 {
		t.Errorf("%d anomalies in five nights", n)
	}
	if n := nights(Options{Seasonal: true}); n != enough {
		t.Errorf("%d anomalies in five nights with seasons, want %d", n, enough)
	}
}

// The history is the last values, and knows their order.
func TestHistory(t *testing.T) {
	var h history
	var all []float64
	r := rand.New(rand.NewPCG(3, 4))
	for range 500 {
		x := math.Round(r.NormFloat64() * 10)
		h.push(float32(x), 1, 1)
		all = append(all, x)
		last := slices.Clone(all[max(0, len(all)-kept):])
		slices.Sort(last)
		for i, want := range last {
			if float64(h.sorted[i]) != want {
				t.Fatalf("after %d: %v at %d, want %v", len(all), h.sorted[i], i, want)
			}
		}
		if got := h.quantile(1); got != last[len(last)-1] || h.quantile(0) != last[0] {
			t.Fatal(got)
		}
	}
	again := history{ring: h.ring}
	again.order()
	if again != h {
		t.Error("order after reading is another")
	}
}
