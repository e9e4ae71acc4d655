package detect

import (
	"math"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// The same rate of failures is found in as many requests, not windows.
func TestRateCountsRequests(t *testing.T) {
	for _, n := range []int{10, 100, 5000} {
		d, f := NewRate(Failures, Options{}), newFeed(n)
		for i := range 600 {
			f.failed = 0
			if i%(1+2000/n) == 0 {
				f.failed = max(1, n/2000)
			}
			if d.Observe(f.next()).Anomalous {
				t.Fatalf("%d requests a window: quiet is an anomaly", n)
			}
		}
		f.failed = max(1, n/10)
		for i := 1; ; i++ {
			if s := d.Observe(f.next()); s.Anomalous {
				if s.Now != 0.1 || s.Z <= 0 || i < 3 || i > 5 {
					t.Errorf("%d requests a window: %+v after %d", n, s, i)
				}
				break
			}
			if i > 20 {
				t.Fatalf("%d requests a window: never found", n)
			}
		}
		f.failed = 0
		if s := f.run(d, 100); s.Anomalous {
			t.Errorf("%d requests a window: it does not end", n)
		}
	}
}

// One failure, or two, of few requests is what happens.
func TestRateOfOne(t *testing.T) {
	d, f := NewRate(Failures, Options{}), newFeed(10)
	f.run(d, 200)
	for range 2 {
		f.failed = 1
		f.run(d, 1)
		f.failed = 0
		if f.run(d, 1).Anomalous {
			t.Fatal("an anomaly")
		}
	}
}

func TestRateTakesErrors(t *testing.T) {
	d, f := NewRate(Failures, Options{}), newFeed(100)
	f.run(d, 100)
	var s Score
	for range 3 {
		s = d.ObserveErrors(f.next(), 20)
	}
	if !s.Anomalous || s.Now != 0.2 {
		t.Errorf("%+v", s)
	}
}

func TestRateAdopts(t *testing.T) {
	d, f := NewRate(Failures, Options{}), newFeed(100)
	f.run(d, 100)
	f.failed = 10
	if s := f.run(d, 29*60); !s.Anomalous || s.Baseline > 0.001 {
		t.Errorf("%+v", s)
	}
	if s := f.run(d, 10*60); s.Anomalous || math.Abs(s.Baseline-0.1) > 0.01 {
		t.Errorf("%+v", s)
	}
}

func TestRetransmitsOfSegments(t *testing.T) {
	k, n := Retransmits.count(&tcprt.Totals{Requests: 10, AnswerBytes: 1448 * 90, Retransmits: 3}, 0)
	if k != 3 || n != 95 {
		t.Error(k, n)
	}
}

func TestBinomialTail(t *testing.T) {
	for _, n := range []uint64{1, 7, 40} {
		for _, p := range []float64{0.001, 0.2, 0.5, 0.97} {
			want := 1.0
			for k := uint64(0); k <= n; k++ {
				if got := binomialTail(k, n, p); math.Abs(got-want) > 1e-9+1e-6*want {
					t.Errorf("%d of %d at %v: %v, want %v", k, n, p, got, want)
				}
				want -= math.Exp(logChoose(n, k)) * math.Pow(p, float64(k)) * math.Pow(1-p, float64(n-k))
			}
		}
	}
	if got := binomialTail(3, 2, 0.5); got != 0 {
		t.Error(got)
	}
	began := time.Now()
	if got := binomialTail(500_000, 1_000_000, 0.5); math.Abs(got-0.5) > 0.001 {
		t.Error(got)
	}
	t.Log(time.Since(began))
	for p, want := range map[float64]float64{0.5: 0, 0.025: 1.96, 0.975: -1.96, 0: 37, 1: -37} {
		if got := quantile(p); math.Abs(got-want) > 0.001 {
			t.Errorf("deviation of %v is %v", p, got)
		}
	}
}

func TestRuleOfRuns(t *testing.T) {
	rule := Rule{K: 2, N: 3, Over: 1}
	var r run
	var said []bool
	for _, z := range []float64{2, 0, 2, 0, 0, 0, 2, 0, 0, 2} {
		r.step(&rule, z, true)
		said = append(said, r.Anomalous)
	}
	want := []bool{false, false, true, true, true, false, false, false, false, false}
	for i := range want {
		if said[i] != want[i] {
			t.Fatalf("%v, want %v", said, want)
		}
	}
}
