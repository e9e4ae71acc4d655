package run

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos"
)

// Run runs a command in a workload of its own and blocks until it ended and
// nothing of it is left. Errors before the start are *FlagError, *ExecError,
// one that wraps ErrNameTaken, or *feature.UnsupportedError (no_privilege for
// all but root); Result.ExitCode tells the command's faults from others. An
// error after the start says what could not be removed: the Result is valid
// then, and the guard, or the next Sweep, tries again.
//
// When ctx is done the command gets SIGTERM and, after Options.Grace, SIGKILL.
// A context that signals cancel must not be passed: they are the command's.
//
// Several Runs may be in progress in one process. They must not share it with
// code that waits for any child (wait4 of -1).
func Run(ctx context.Context, o Options) (Result, error) {
	none := Result{ExitCode: -1}
	if err := o.Check(); err != nil {
		return none, err
	}
	asked := o.Burst
	o.defaults()
	tree, err := cgroup.Detect(o.Root)
	if err != nil {
		return none, err
	}
	if err := newSite(tree, homeOf(o.Class), "any").permitted(); err != nil {
		return none, err
	}
	path, err := lookup(o.Argv[0], o.Dir, o.Env)
	if err != nil {
		return Result{ExitCode: codeOf(err)}, err
	}
	r := &runner{asked: asked, o: &o}
	if _, err := Sweep(o.RunDir); err != nil {
		r.note(err.Error()) // what others left is not this run's fault
	}
	if err := r.claim(tree); err != nil {
		return none, err
	}
	return r.run(ctx, path)
}

func codeOf(err error) int {
	var e *ExecError
	if errors.As(err, &e) {
		return e.code()
	}
	return -1
}

// runner is one run.
type runner struct {
	o       *Options
	site    *site
	asked   qos.BurstMode // burst as given, before defaults
	rec     *record
	guard   *guard
	started Started
}

func (r *runner) note(lines ...string) { r.started.Notes = append(r.started.Notes, lines...) }

// claim takes a name: the one asked for, or one that is free.
func (r *runner) claim(tree *cgroup.Tree) (err error) {
	if r.o.Name != "" {
		return r.claimName(tree, r.o.Name)
	}
	for range 10 {
		if err = r.claimName(tree, makeName(r.o.Argv[0])); !errors.Is(err, ErrNameTaken) {
			break
		}
	}
	return err
}

func (r *runner) claimName(tree *cgroup.Tree, name string) (err error) {
	r.site = newSite(tree, homeOf(r.o.Class), name)
	if r.rec, err = newRecord(r.o.Class, name, r.site.dirs()); err != nil {
		return err
	}
	r.rec.Burst, r.rec.Labels = r.asked, r.o.Labels
	for range 3 {
		if _, serr := os.Lstat(r.rec.file(r.o.RunDir)); errors.Is(serr, fs.ErrNotExist) {
			if err := r.site.foreign(); err != nil {
				return err
			}
		}
		err = r.rec.claim(r.o.RunDir)
		if !errors.Is(err, fs.ErrExist) {
			break
		}
		// Somebody has it, or somebody's removal is not over: look, waiting for that.
		if _, err := sweepOne(r.rec.file(r.o.RunDir), r.rec.BootID, true); err != nil {
			return fmt.Errorf("take name %s: %w", name, err)
		}
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("--name %q: %w: %s is running", name, ErrNameTaken, r.rec.id())
	}
	if err != nil {
		return fmt.Errorf("record workload: %w", denied(err))
	}
	r.started.Name, r.started.Cgroup = name, r.site.rel
	return nil
}

// run sets up, runs, and removes. Whatever happens, the record outlives the
// cgroups.
func (r *runner) run(ctx context.Context, path string) (res Result, err error) {
	res = Result{ExitCode: -1, Cgroup: r.site.rel}
	signals, uncatch := r.catch() // before there is anything to leave behind
	defer uncatch()
	defer func() { err = errors.Join(err, r.finish()) }()
	if r.guard, err = startGuard(r.o.Guard, r.rec.file(r.o.RunDir)); err != nil {
		return res, err
	}
	if err := r.setUp(); err != nil {
		return res, err
	}
	if done(ctx) != nil && ctx.Err() != nil {
		return res, ctx.Err()
	}
	pid, err := r.launch(path)
	if err != nil {
		res.ExitCode = codeOf(err)
		return res, err
	}
	r.started.PID = pid
	if r.o.OnStart != nil {
		r.o.OnStart(r.started)
	}
	err = r.await(ctx, pid, signals, &res)
	res.Usage = r.site.usage()
	return res, err
}

func (r *runner) setUp() error {
	if err := r.site.make(); err != nil {
		return err
	}
	if err := r.limit(r.o.AgentRunning()); err != nil {
		return err
	}
	return r.guard.await()
}

// catch begins to collect signals.
func (r *runner) catch() (<-chan os.Signal, func()) {
	if r.o.Signals != nil {
		return r.o.Signals, func() {}
	}
	c := make(chan os.Signal, 64)
	signal.Notify(c, forwarded()...)
	return c, func() { signal.Stop(c) }
}

// await waits for the command and says how it ended.
func (r *runner) await(ctx context.Context, pid int, signals <-chan os.Signal, res *Result) error {
	c := &child{pid: pid}
	stop, idle := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(idle)
		r.attend(ctx, c, signals, stop)
	}()
	ws, err := c.wait()
	close(stop)
	<-idle
	if err != nil {
		return fmt.Errorf("wait for command: %w", err)
	}
	res.ExitCode = ws.ExitStatus()
	if ws.Signaled() {
		res.Signal = ws.Signal()
		res.ExitCode = 128 + int(ws.Signal())
	}
	return nil
}

// finish kills what the command left and removes the workload.
func (r *runner) finish() error {
	err := removeAll(r.site.made)
	removeHomes(r.rec.Cgroups) // also one whose workload could not be made
	if err == nil {
		if err = os.Remove(r.rec.file(r.o.RunDir)); errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
	}
	r.guard.dismiss(err == nil)
	// A runner inside this workload was just killed, perhaps with its guard.
	_, _ = Sweep(r.o.RunDir)
	if err != nil {
		return fmt.Errorf("clean up %s: %w", r.rec.id(), err)
	}
	return nil
}
