package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/qos/load"
)

// Options of a bench or demo. Self and Agent are needed.
type Options struct {
	// Self is the argv prefix of a process that calls LoadMain with the rest.
	Self []string
	// Agent is the argv prefix of the agent; "up", --config, --state-dir and
	// --run-dir are appended.
	Agent []string
	// Say tells what goes on, one line at a time; silent when nil.
	Say func(string)
	// Limits of disturbance; DefaultLimits when zero.
	Limits load.Limits
}

// DefaultLimits bound the disturbance of a round: foreign CPU above 5 % makes
// it worthless, and so does a hypervisor that takes 2 %.
var DefaultLimits = load.Limits{Foreign: 5, Steal: 2}

// rig is what all scenarios share.
type rig struct {
	Options
	tree        *cgroup.Tree
	dir         string // for files
	keep        bool   // an agent's journal in dir is still needed
	calibration load.Calibration
	cpus        int
	groups      []*group
	space       *lab.Space // where processes begin; nil is the machine's own network
	spawns      chan func()
	stop        chan struct{}
}

func openRig(o Options) (*rig, error) {
	if os.Geteuid() != 0 {
		return nil, &feature.UnsupportedError{Feature: "qos bench", Reason: feature.NoPrivilege, Need: "root, to make cgroups", Fix: "run it with sudo"}
	}
	if o.Limits == (load.Limits{}) {
		o.Limits = DefaultLimits
	}
	if o.Say == nil {
		o.Say = func(string) {}
	}
	tree, err := cgroup.Detect("")
	if err != nil {
		return nil, err
	}
	sweep(tree)
	r := &rig{Options: o, tree: tree, cpus: runtime.NumCPU(), spawns: make(chan func()), stop: make(chan struct{})}
	if r.dir, err = os.MkdirTemp("", "anole-bench-"); err != nil {
		return nil, err
	}
	o.Say("calibrating the unit of work")
	if r.calibration, err = load.Calibrate(false); err != nil {
		return nil, errors.Join(fmt.Errorf("calibrate: %w", err), os.RemoveAll(r.dir))
	}
	go r.spawner()
	return r, nil
}

// spawner starts all processes from one thread, see rig.spawn.
func (r *rig) spawner() {
	runtime.LockOSThread()
	for {
		select {
		case f := <-r.spawns:
			f()
		case <-r.stop:
			return
		}
	}
}

func (r *rig) close() {
	for i := len(r.groups) - 1; i >= 0; i-- {
		r.groups[i].remove()
	}
	close(r.stop)
	if !r.keep {
		_ = os.RemoveAll(r.dir)
	}
}

// drop removes a group before the end.
func (r *rig) drop(g *group) {
	g.remove()
	for i, x := range r.groups {
		if x == g {
			r.groups = append(r.groups[:i], r.groups[i+1:]...)
			return
		}
	}
}

// pause waits unless ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retries is how often a disturbed round is done again.
const retries = 4

// quiet runs f until its round was not disturbed.
func (r *rig) quiet(ctx context.Context, what string, f func() (check error, err error)) error {
	var check error
	for i := range retries {
		var err error
		if check, err = f(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		if check == nil {
			return nil
		}
		r.Say(fmt.Sprintf("%s: disturbed, again (%d of %d): %v", what, i+1, retries, check))
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return &NotJudgedError{What: what, Err: check}
}

// NotJudgedError says that the node was never quiet enough.
type NotJudgedError struct {
	What string
	Err  error
}

// NotJudged marks errors of benches that refuse to judge.
func (*NotJudgedError) NotJudged() {}

func (e *NotJudgedError) Error() string {
	return fmt.Sprintf("%s not judged: the node is too busy: %v", e.What, e.Err)
}

// Unwrap gives the last disturbance.
func (e *NotJudgedError) Unwrap() error { return e.Err }
