package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"runtime/pprof"
	"time"

	"github.com/anole-os/anole/core"
)

// runner calls a module's methods so that neither a panic nor a hang in one
// takes the agent along. Each call runs in a goroutine that carries the
// module's name as a profiler label, which the goroutines it starts inherit:
// that is how those that outlive their module are found.
type runner struct {
	log     *slog.Logger
	timeout time.Duration // of one Stop
}

// errHung says that a call did not return in time.
var errHung = errors.New("it did not return in time")

// labelKey is the profiler label that names the module of a goroutine.
const labelKey = "anole_module"

// errPanic says that a module panicked.
var errPanic = errors.New("panic")

// guard calls f and turns a panic into an error.
func (r *runner) guard(u *unit, verb string, f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			r.log.Error("module panicked", "module", u.info.Name, "verb", verb, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
		if err != nil {
			err = fmt.Errorf("%s %s: %w", verb, u.info.Name, err)
		}
	}()
	return f()
}

// call runs f in a labelled goroutine and waits for it, or for ctx and then
// grace more.
func (r *runner) call(ctx context.Context, u *unit, verb string, grace time.Duration, f func(context.Context) error) error {
	done := make(chan error, 1)
	go pprof.Do(ctx, pprof.Labels(labelKey, u.info.Name), func(ctx context.Context) {
		done <- r.guard(u, verb, func() error { return f(ctx) })
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-done:
		return err
	case <-time.After(grace):
		return fmt.Errorf("%s %s: %w", verb, u.info.Name, errHung)
	}
}

// start calls Start. The context that the module gets lives until after its
// Stop, so work that was started with it goes on; during Start it ends with
// ctx.
func (r *runner) start(ctx context.Context, u *unit) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("start %s: %w", u.info.Name, err)
	}
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, cancel)
	defer detach()
	if err := r.call(own, u, "start", r.timeout, u.mod.Start); err != nil {
		cancel()
		switch {
		case errors.Is(err, errHung):
			r.log.Error("module does not start", "module", u.info.Name, "stacks", stacksOf(u.info.Name))
		case errors.Is(err, errPanic):
			// Unlike an error, a panic leaves things behind.
			ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
			defer cancel()
			err = errors.Join(err, r.call(ctx, u, "stop", r.timeout/20, u.mod.Stop))
		}
		return err
	}
	u.cancel = cancel
	return nil
}

// stop calls Stop on a running unit. When it takes too long, the stacks of the
// module's goroutines are logged and the unit is given up.
func (r *runner) stop(u *unit) error {
	if !u.running() {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	err := r.call(ctx, u, "stop", r.timeout/20, u.mod.Stop)
	if u.cancel != nil {
		u.cancel()
	}
	u.set(core.Stopped, nil)
	switch {
	case errors.Is(err, errHung):
		u.set(core.Failed, err)
		r.log.Error("module does not stop", "module", u.info.Name, "after", r.timeout, "stacks", stacksOf(u.info.Name))
	case err != nil:
		u.set(core.Failed, err)
		r.log.Error("module stopped with an error", "module", u.info.Name, "error", err)
	default:
		r.leak(u)
	}
	return err
}

// leak reports goroutines that the module left behind although Stop returned.
// Those already on their way out get a moment.
func (r *runner) leak(u *unit) {
	var stacks string
	for wait := time.Millisecond; wait < 200*time.Millisecond; wait *= 2 {
		if stacks = stacksOf(u.info.Name); stacks == "" {
			return
		}
		time.Sleep(wait)
	}
	r.log.Warn("module left goroutines behind", "module", u.info.Name, "stacks", stacks)
}
