package qos

import (
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cfs"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/control"
)

// limitSet is one change of a limit in a Step. An intent without a value puts
// back what was there.
type limitSet struct {
	key string
	k   *bandwidthKnob
	in  *control.Intent
}

func (s *limitSet) back() bool { return s.in.Value == "" }

// setLimits changes the limits of one Step together: the kernel compares those
// of related groups, so their order is a matter of all.
func (e *Engine) setLimits(now time.Time, sets []limitSet) {
	var changes []actuate.Change
	ready := sets[:0]
	for _, s := range sets {
		if s.k.drifted() {
			e.yieldTo(s)
			continue
		}
		to, err := s.k.goal(s.in)
		if err != nil {
			e.settleLimit(now, s, nil, err)
			continue
		}
		ready, changes = append(ready, s), append(changes, actuate.Change{Group: s.k.g, To: to})
	}
	if len(changes) == 0 {
		return
	}
	wrote, errs := actuate.Apply(e.w, changes, e.limits.BurstMayExceedQuota)
	for i, s := range ready {
		var err error
		if errs != nil {
			err = errs[i]
		}
		s.k.reached(s.in, changes[i].To, err)
		var mine []cgroup.Wrote
		mine, wrote = split(wrote, s.k.g.CPU)
		e.settleLimit(now, s, changesOf(mine), err)
	}
	for _, w := range wrote {
		rel, _ := e.tree.Rel("cpu", w.Dir.Path())
		in := &control.Intent{Group: rel, File: "limit " + rel, Controller: "burst", Why: "made way for a change of the limit above"}
		e.record(in, changesOf([]cgroup.Wrote{w}), nil)
	}
}

// yieldTo leaves alone what somebody else wrote since the last look: it is the
// group's own limit from now on, on which the next Step decides.
func (e *Engine) yieldTo(s limitSet) {
	e.journalled(s.k.adopt(e.w))
	if s.back() {
		e.forget(s.key, s.k)
		return
	}
	e.lookAgain(s.k)
}

// settleLimit books the outcome of one change.
func (e *Engine) settleLimit(now time.Time, s limitSet, changes []change, err error) {
	var above *cfs.AboveError
	if (errors.Is(err, unix.EINVAL) || errors.As(err, &above)) && !s.back() && e.boundAbove(s.k, now) {
		return // the next split stays below that
	}
	e.record(s.in, changes, err)
	if !s.back() {
		e.settle(s.k.common(), s.key, now, err)
		return
	}
	if err != nil && (!cgroup.Gone(err) || s.k.g.CPU.Alive()) {
		e.settle(s.k.common(), s.key, now, err)
		return
	}
	e.journalled(s.k.adopt(e.w)) // it has its own again
	e.forget(s.key, s.k)
}

// split takes the writes to one group out.
func split(wrote []cgroup.Wrote, d *cgroup.Dir) (mine, rest []cgroup.Wrote) {
	for _, w := range wrote {
		if w.Dir == d {
			mine = append(mine, w)
		} else {
			rest = append(rest, w)
		}
	}
	return mine, rest
}

func changesOf(wrote []cgroup.Wrote) (out []change) {
	for _, w := range wrote {
		out = append(out, change{file: filepath.Join(w.Dir.Path(), w.File), old: w.Old, new: w.New})
	}
	return out
}
