package qos

import (
	"errors"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/control"
)

// act makes the node hold what the intents say and puts back what no intent
// speaks of any more. A refused write is tried again with growing pauses; the
// rest goes on.
func (e *Engine) act(now time.Time, intents []control.Intent) {
	wanted := make(map[string]bool, len(intents))
	for i := range intents {
		in := &intents[i]
		wanted[in.File] = true
		k := e.knobs[in.File]
		if k == nil || k.holding() == in.Value || e.resting(k, now) {
			continue
		}
		changes, err := k.set(e.w, in)
		e.record(now, in, changes, err)
		e.settle(k, in.File, now, err)
	}
	for key, k := range e.knobs {
		if wanted[key] {
			continue
		}
		if k.holding() != "" {
			e.release(now, key, k)
		}
		e.forget(key, k)
	}
}

// release puts one knob back.
func (e *Engine) release(now time.Time, key string, k knob) {
	err := k.reset(e.w)
	in := &control.Intent{Group: groupOf(key), File: key, Controller: strings.Fields(key)[0], Why: "no longer wanted"}
	var changes []change
	for _, s := range k.state() {
		changes = append(changes, change{file: s.File, old: s.Wanted, new: s.Current})
	}
	e.record(now, in, changes, err)
}

// forget drops a knob, closing what it opened for itself.
func (e *Engine) forget(key string, k knob) {
	switch k := k.(type) {
	case *yieldKnob:
		if g := e.groups[k.owner()]; g == nil || g.cpu != k.g {
			_ = k.g.Close()
		}
	case *cpusetKnob:
		_ = k.set_.Close()
	}
	delete(e.knobs, key)
}

func groupOf(key string) string {
	_, rel, _ := strings.Cut(key, " ")
	return rel
}

// resting says whether a knob that failed is not to be tried yet.
func (e *Engine) resting(k knob, now time.Time) bool {
	h := heldOf(k)
	return h.fails > 0 && now.Before(h.retry) && h.retry.Sub(now) < time.Hour
}

// settle books the outcome of a set.
func (e *Engine) settle(k knob, key string, now time.Time, err error) {
	h := heldOf(k)
	if err == nil {
		if h.fails > 0 {
			delete(e.degraded, key)
		}
		h.fails = 0
		return
	}
	h.fails++
	h.retry = now.Add(min(time.Minute, time.Second<<min(h.fails, 6)))
	if !cgroup.Gone(err) {
		e.degrade(key, err)
	}
}

func heldOf(k knob) *held {
	switch k := k.(type) {
	case *yieldKnob:
		return &k.held
	case *bandwidthKnob:
		return &k.held
	case *cpusetKnob:
		return &k.held
	}
	return &held{}
}

// record tells what was written and why.
func (e *Engine) record(now time.Time, in *control.Intent, changes []change, err error) {
	result := "ok"
	switch {
	case err == nil:
	case cgroup.Gone(err), errors.Is(err, journal.ErrGone):
		result = "gone"
	default:
		result = "error: " + err.Error()
	}
	if err != nil && len(changes) == 0 {
		changes = []change{{file: in.File, new: in.Value}}
	}
	for _, c := range changes {
		e.totals.wrote(c.file, result)
		e.history.add(Decision{
			Time: now.UnixMilli(), Controller: in.Controller, Workload: in.Group, File: c.file, Old: c.old, New: c.new, Why: in.Why, Result: result,
		})
	}
}

// ofInode selects the journal's entries of one cgroup.
func ofInode(ino uint64) func(*journal.Entry) bool {
	return func(en *journal.Entry) bool { return en.Ino == ino }
}

func trim(b []byte) string { return strings.TrimSpace(string(b)) }
