package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/load"
)

func TestBEWorkIsAShareOfTheIdle(t *testing.T) {
	m := outcome{window: 10 * time.Second, lsCPU: 9 * time.Second, beUnits: 1000}
	m.CPU, m.Measured = 1100*time.Millisecond, 10*time.Second // 1 s of it in the window
	// Two CPUs for 10 s: service and generator used half, so half of the 2,000
	// units that burners do alone was to be had.
	if got := beWork(m, 2000, 2); math.Abs(got-1) > 0.01 {
		t.Errorf("work %v, want 1", got)
	}
	if beWork(m, 0, 2) != 0 {
		t.Error("a share of nothing")
	}
}

func TestReactions(t *testing.T) {
	start := time.UnixMilli(1_000_000)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	steps := []load.Step{{At: time.Second}, {At: 4 * time.Second}, {At: 8 * time.Second}, {At: 11 * time.Second}}
	log := []capWrite{
		// First step: 130 ms to within 0.2 of 0.25; one deeper dip decides nothing.
		{at(990), 1.5}, {at(1080), 1.0}, {at(1130), 0.3}, {at(1400), 0.01}, {at(1500), 0.25},
		{at(7990), 1.5}, {at(8040), 0.2},
	}
	got, err := reactions(start, steps, log, 2)
	if err != nil || len(got) != 2 || got[0] != 130 || got[1] != 40 {
		t.Errorf("reactions %v, %v; want 130 and 40", got, err)
	}
	if _, err := reactions(start, steps, log[:6], 2); err == nil {
		t.Error("a step without a write was passed over")
	}
}

func TestQuotaCores(t *testing.T) {
	for _, c := range []struct {
		file, value string
		want        float64
		ok          bool
	}{
		{"/a/cpu.cfs_quota_us", "150000", 1.5, true},
		{"/a/cpu.max", "50000 100000", 0.5, true},
		{"/a/cpu.cfs_quota_us", "-1", 0, false},
		{"/a/cpu.max", "max 100000", 0, false},
		{"/a/cpu.idle", "1", 0, false},
	} {
		if got, ok := quotaCores(qos.Decision{File: c.file, New: c.value}); got != c.want || ok != c.ok {
			t.Errorf("%s %q: %v %v", c.file, c.value, got, ok)
		}
	}
}

func TestDisturbedRoundsAreDoneAgainAndThenGivenUp(t *testing.T) {
	r := &rig{Options: Options{Say: func(string) {}}}
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // no pauses
	busy := errors.New("busy")
	if err := r.quiet(ctx, "x", func() (error, error) { return busy, nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if err := r.quiet(ctx, "x", func() (error, error) { return nil, nil }); err != nil {
		t.Errorf("a quiet round: %v", err)
	}
	if err := r.quiet(ctx, "x", func() (error, error) { return nil, busy }); !errors.Is(err, busy) {
		t.Errorf("a broken round: %v", err)
	}
	err := error(&NotJudgedError{What: "x", Err: busy})
	if !errors.Is(err, busy) || !strings.Contains(err.Error(), "too busy") {
		t.Errorf("%v", err)
	}
}

func TestLateGeneratorSpoilsARound(t *testing.T) {
	o := outcome{}
	o.Scheduler = "fifo"
	if o.faulty() != nil {
		t.Error(o.faulty())
	}
	o.Lateness.P99 = 2 * maxLateness
	if o.faulty() == nil {
		t.Error("a late generator was believed")
	}
}

func TestRefusesUnknownCases(t *testing.T) {
	if err := Bench(context.Background(), CaseOptions{Cases: []string{"latncy"}}); err == nil || !strings.Contains(err.Error(), "latency") {
		t.Errorf("got %v", err)
	}
	if os.Geteuid() != 0 {
		err := Bench(context.Background(), CaseOptions{})
		var u *feature.UnsupportedError
		if !errors.As(err, &u) {
			testkit.Need(t, err)
		}
	}
}

func TestLoadMainRefuses(t *testing.T) {
	for _, args := range [][]string{nil, {"burn"}, {"nonsense", "{}"}, {"burn", "{"}, {"generate", "[]"}, {"service", "7"}} {
		if err := LoadMain(context.Background(), args, strings.NewReader("\n"), &strings.Builder{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	if err := LoadMain(context.Background(), []string{"burn", "{}"}, strings.NewReader(""), &strings.Builder{}); err == nil {
		t.Error("went ahead without the word")
	}
}
