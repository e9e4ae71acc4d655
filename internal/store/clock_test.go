package store

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestClockBackWithinWindow(t *testing.T) {
	r := newRig(t)
	r.steps(60)
	r.clock.add(-2*time.Minute - 2500*time.Millisecond)
	r.steps(10)
	r.wantState(Ready)
	r.clock.add(5 * time.Minute)
	r.step()
	if got := r.values("count_over_time(up[20m])", "job"); got["anole"] != "71" {
		t.Errorf("samples = %v, want all 71 although ten came late", got)
	}
}

func TestClockBackBeyondWindow(t *testing.T) {
	r := newRig(t)
	r.steps(60)
	r.clock.add(-time.Hour)
	r.steps(20)
	r.wantState(Waiting)
	if h := r.Health(); h.Err() == nil || !strings.Contains(h.Reason, "2026-03-01T12:05:00Z") {
		t.Errorf("reason = %q, want the time from which samples are kept again", h.Reason)
	}
	if n := strings.Count(r.log.String(), "waits for the clock"); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	if got := testutil.ToFloat64(r.met.skipped.WithLabelValues(skipClock)); got != 20 {
		t.Errorf("skipped = %v, want 20", got)
	}
	r.clock.add(time.Hour)
	r.steps(1)
	r.wantState(Ready)
	if got := r.values("count_over_time(up[2h])", "job"); got["anole"] != "61" {
		t.Errorf("samples = %v, want 61", got)
	}
}

// TestClockBackBeyondRetention: the clock was years ahead and has been set right.
func TestClockBackBeyondRetention(t *testing.T) {
	r := newRig(t)
	r.steps(10)
	r.clock.add(-10 * 365 * 24 * time.Hour)
	r.steps(settleTicks)
	r.wantState(Waiting)
	r.steps(2)
	r.wantState(Ready)
	if n := r.Health().Note; !strings.Contains(n, "clock went back") || !strings.Contains(n, asideMark) {
		t.Errorf("note = %q", n)
	}
}

func TestClockForward(t *testing.T) {
	r := newRig(t)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "."})
	r.reg.MustRegister(g)
	r.steps(10)
	r.clock.add(10 * 365 * 24 * time.Hour) // one bad reading
	r.steps(1)
	r.wantState(Waiting)
	r.clock.add(-10 * 365 * 24 * time.Hour)
	r.steps(1)
	r.wantState(Ready)
	if got := r.values("count_over_time(g[10m])", "job"); got["anole"] != "11" {
		t.Errorf("samples after a bad reading = %v, want 11", got)
	}
	r.clock.add(10 * 365 * 24 * time.Hour) // for good
	r.steps(settleTicks + 1)
	r.wantState(Ready)
	if err := r.session().housekeep(); err != nil {
		t.Fatal(err)
	}
	r.steps(3)
	r.wantState(Ready)
	if got := r.values("count_over_time(g[10m])", "job"); got["anole"] != "4" {
		t.Errorf("samples after the jump = %v, want 4", got)
	}
}

func TestClockForwardSmall(t *testing.T) {
	r := newRig(t)
	r.steps(10)
	r.clock.add(5 * time.Hour)
	r.steps(2)
	r.wantState(Ready)
	if err := r.session().housekeep(); err != nil {
		t.Fatal(err)
	}
	if got := r.values("count_over_time(up[6h])", "job"); got["anole"] != "12" {
		t.Errorf("samples = %v, want 12", got)
	}
}
