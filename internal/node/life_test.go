package node

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
)

func TestStartOrderAndReverseStop(t *testing.T) {
	tr := &trace{}
	for _, order := range [][]core.Info{
		{plain(tr, "a", "c"), plain(tr, "b"), plain(tr, "c", "b")},
		{plain(tr, "c", "b"), plain(tr, "b"), plain(tr, "a", "c")},
	} {
		a := run(t, options(t, registry(t, order...), quiet))
		wantTrace(t, tr, "start b 0", "start c 0", "start a 0")
		if err := a.finish(); err != nil {
			t.Fatal(err)
		}
		wantTrace(t, tr, "stop a", "stop c", "stop b")
	}
}

func TestFailedStartStopsAllBefore(t *testing.T) {
	tr := &trace{}
	r := registry(t, plain(tr, "a"), plain(tr, "b"), plain(tr, "c"), plain(tr, "d"))
	opt := options(t, r, quiet+"c: {failStart: true}\n")
	err := New(opt).Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "start c: no luck") {
		t.Fatalf("error %v", err)
	}
	wantTrace(t, tr, "start a 0", "start b 0", "start c fails", "stop b", "stop a")
	if _, err := os.Lstat(opt.RunDir + "/" + SocketName); err == nil {
		t.Error("the socket is still there")
	}
	j, err := journal.Open(JournalDir(opt.StateDir))
	if err != nil {
		t.Fatalf("the lock is still held: %v", err)
	}
	_ = j.Close()
}

func TestUnsupportedModuleLetsAgentRun(t *testing.T) {
	tr := &trace{}
	u := info("b", func() core.Module {
		return &fake{name: "b", t: tr, start: func(context.Context) error {
			return &feature.UnsupportedError{Feature: "b", Reason: feature.NoKernel, Need: "Linux 99"}
		}}
	})
	dependent := plain(tr, "c")
	dependent.Needs = []string{"b"}
	a := run(t, options(t, registry(t, plain(tr, "a"), u, dependent), quiet))
	st := a.Status()
	if stateOf(st, "a") != core.Running || stateOf(st, "b") != core.Unsupported || stateOf(st, "c") != core.Unsupported {
		t.Fatalf("states %+v", st.Modules)
	}
	if st.State != core.Running || !strings.Contains(st.Modules[1].Summary, "Linux 99") || !strings.Contains(st.Modules[2].Summary, "module b") {
		t.Errorf("status %+v", st)
	}
	if err := a.finish(); err != nil {
		t.Fatal(err)
	}
	wantTrace(t, tr, "start a 0", "start b 0", "stop a")
}

func TestStopWithinDeadlineLogsStack(t *testing.T) {
	tr := &trace{}
	release := make(chan struct{})
	defer close(release)
	hung := info("b", func() core.Module {
		return &fake{name: "b", t: tr, stop: func(context.Context) error { return stubborn(release) }}
	})
	opt := options(t, registry(t, plain(tr, "a"), hung), quiet)
	opt.StopTimeout = 50 * time.Millisecond
	a := run(t, opt)
	if err := a.finish(); !errors.Is(err, errHung) {
		t.Fatalf("error %v", err)
	}
	wantTrace(t, tr, "start a 0", "start b 0", "stop b", "stop a")
	log := opt.Log.(*testkit.Buffer).String()
	if !strings.Contains(log, "module does not stop") || !strings.Contains(log, "module=b") || !strings.Contains(log, "stubborn") {
		t.Errorf("the log does not show the guilty stack:\n%s", log)
	}
}

func stubborn(release chan struct{}) error { <-release; return nil }

func TestGoroutinesLeftBehindAreReported(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	leaky := info("a", func() core.Module {
		return &fake{name: "a", t: &trace{}, start: func(context.Context) error { go func() { _ = stubborn(release) }(); return nil }}
	})
	opt := options(t, registry(t, leaky), quiet)
	if err := run(t, opt).finish(); err != nil {
		t.Fatal(err)
	}
	if log := opt.Log.(*testkit.Buffer).String(); !strings.Contains(log, "left goroutines behind") || !strings.Contains(log, "stubborn") {
		t.Errorf("log\n%s", log)
	}
}

func TestContextOfStartLivesUntilStop(t *testing.T) {
	ended := make(chan struct{})
	var early atomic.Bool
	m := info("a", func() core.Module {
		f := &fake{name: "a", t: &trace{}}
		f.start = func(ctx context.Context) error {
			context.AfterFunc(ctx, func() { close(ended) })
			return nil
		}
		f.stop = func(context.Context) error {
			select {
			case <-ended:
				early.Store(true)
			default:
			}
			return nil
		}
		return f
	})
	if err := run(t, options(t, registry(t, m), quiet)).finish(); err != nil {
		t.Fatal(err)
	}
	if early.Load() {
		t.Error("the context ended before Stop")
	}
	select {
	case <-ended:
	case <-time.After(time.Minute):
		t.Error("the context did not end")
	}
}

func TestPanicBecomesAnError(t *testing.T) {
	tr := &trace{}
	m := info("b", func() core.Module {
		return &fake{name: "b", t: tr, start: func(context.Context) error { panic("oh") }}
	})
	err := New(options(t, registry(t, plain(tr, "a"), m), quiet)).Run(context.Background())
	if err == nil || !strings.Contains(err.Error(), "start b: panic: oh") {
		t.Fatalf("error %v", err)
	}
	wantTrace(t, tr, "start a 0", "start b 0", "stop b", "stop a")
}

func TestTwoAgents(t *testing.T) {
	opt := options(t, registry(t), quiet)
	run(t, opt)
	err := New(opt).Run(context.Background())
	var locked *journal.LockedError
	if !errors.As(err, &locked) || locked.PID != os.Getpid() {
		t.Fatalf("the second agent said %v", err)
	}
	if core.ExitCode(err) != core.ExitFailed {
		t.Errorf("exit code %d", core.ExitCode(err))
	}
	other := opt
	other.StateDir += "2" // the lock is free, the socket is not
	if err := New(other).Run(context.Background()); err == nil || !strings.Contains(err.Error(), "another agent answers") {
		t.Errorf("an agent on the same socket said %v", err)
	}
}

func TestRestoresWhatADeadRunLeft(t *testing.T) {
	tr := &trace{}
	opt := options(t, registry(t, plain(tr, "a")), quiet)
	j, err := journal.Open(JournalDir(opt.StateDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{"/x/1", "/x/2", "/x/gone", "/x/stuck"} {
		if err := j.Record(journal.Entry{Op: journal.OpWrite, Path: p, Old: []byte("7")}); err != nil {
			t.Fatal(err)
		}
	}
	_ = j.Close()
	opt.Undo = func(e *journal.Entry) error {
		tr.add("undo %s", e.Path)
		switch e.Path {
		case "/x/gone":
			return journal.ErrGone
		case "/x/stuck":
			return errors.New("device says no")
		}
		return nil
	}
	a := run(t, opt)
	did := tr.take()
	if len(did) < 5 || did[len(did)-1] != "start a 0" {
		t.Fatalf("modules started before the restore: %q", did)
	}
	if st := a.Status(); st.State != core.Degraded || len(st.Problems) == 0 || !strings.Contains(st.Problems[0], "/x/stuck") {
		t.Errorf("status %+v", st)
	}
	if n := len(a.journal.Pending()); n != 1 {
		t.Errorf("%d entries pending, want the stuck one", n)
	}
	if err := a.finish(); err == nil || !strings.Contains(err.Error(), "device says no") {
		t.Errorf("the agent ended with %v", err)
	}
}
