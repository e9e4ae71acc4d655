package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

// slow is a fake with a probe that takes its time and one after it.
type slow struct {
	fake
	ask   func() // the first probe
	asked *atomic.Int32
}

func (s *slow) Probes() []*feature.Probe {
	count := func(f func()) func() (string, error) {
		return func() (string, error) { s.asked.Add(1); f(); return "", nil }
	}
	return []*feature.Probe{
		feature.NewProbe(s.name, "first", "", count(s.ask)),
		feature.NewProbe(s.name, "second", "", count(func() {})),
	}
}

func TestStopWaitsForTheProbeBeingAsked(t *testing.T) {
	var asked atomic.Int32
	var recorded atomic.Value
	asking, stopping := make(chan struct{}), make(chan struct{})
	var a *agent
	ask := func() {
		close(asking)
		<-stopping
		time.Sleep(50 * time.Millisecond) // an agent that does not wait has ended by then
		err := a.journal.Record(journal.Entry{Op: journal.OpWrite, Path: "/probe", Old: []byte("1")})
		recorded.Store(&err)
	}
	m := info("a", func() core.Module {
		stop := func(context.Context) error { close(stopping); return nil }
		return &slow{fake{name: "a", t: &trace{}, stop: stop}, ask, &asked}
	})
	a = run(t, options(t, registry(t, m), quiet))
	<-asking
	if err := a.finish(); err != nil {
		t.Fatal(err)
	}
	switch err, _ := recorded.Load().(*error); {
	case err == nil:
		t.Error("the agent ended before its probe")
	case *err != nil:
		t.Errorf("the journal was closed before the probe ended: %v", *err)
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d probes asked, want none after the stop began", n-1)
	}
	if r := a.Features(context.Background()); r == nil || len(r) != 0 || asked.Load() != 1 {
		t.Errorf("asked after the end: %v", r)
	}
}

func TestProbeThatHangsIsReportedAtStop(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	asking := make(chan struct{})
	m := info("a", func() core.Module {
		return &slow{fake{name: "a", t: &trace{}}, func() { close(asking); _ = stubborn(release) }, new(atomic.Int32)}
	})
	opt := options(t, registry(t, m), quiet)
	opt.StopTimeout = 50 * time.Millisecond
	a := run(t, opt)
	<-asking
	if err := a.finish(); !errors.Is(err, errHung) {
		t.Errorf("error %v", err)
	}
	if log := opt.Log.(*testkit.Buffer).String(); !strings.Contains(log, "a probe does not end") || !strings.Contains(log, "stubborn") {
		t.Errorf("the log does not show the guilty stack:\n%s", log)
	}
}

func TestReloadDoesNotPileUpProbes(t *testing.T) {
	var first, asked atomic.Int32
	release := make(chan struct{})
	asking := make(chan struct{})
	m := info("a", func() core.Module {
		return &slow{fake{name: "a", t: &trace{}}, func() {
			if first.Add(1) == 1 {
				close(asking)
				<-release
			}
		}, &asked}
	})
	opt := options(t, registry(t, m), quiet)
	a := run(t, opt)
	<-asking
	for _, v := range []string{"1", "2"} {
		write(t, opt.Config, quiet+"a: {value: "+v+"}\n")
		if _, err := a.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("%d probes are asked at once", n)
	}
	close(release)
	eventually(t, "the newest are asked", func() bool { return asked.Load() >= 4 })
}
