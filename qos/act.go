package qos

import (
	"cmp"
	"errors"
	"slices"
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
	e.round++
	for i := range intents {
		e.hold(now, &intents[i])
	}
	for _, key := range e.loose(now) {
		k := e.knobs[key]
		if limit, ok := k.(*bandwidthKnob); ok && limit.touched {
			e.sets = append(e.sets, limitSet{key: key, k: limit, in: unwanted(key)})
			continue
		}
		e.release(now, key, k)
	}
	e.setLimits(now, e.sets)
	clear(e.sets)
	e.sets = e.sets[:0]
}

// loose lists the knobs of which no intent speaks any more, last set first:
// what has to be there before another one (memory's wait before its bound) sorts
// before it, and so goes after it.
func (e *Engine) loose(now time.Time) (keys []string) {
	for key, k := range e.knobs {
		if h := k.common(); h.round != e.round && !e.resting(h, now) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	slices.Reverse(keys)
	return keys
}

// stayer is a knob that at times cannot be put back yet; it is tried again in
// the next Step.
type stayer interface{ stays() bool }

// unwanted is the intent of nobody.
func unwanted(key string) *control.Intent {
	return &control.Intent{Group: groupOf(key), File: key, Controller: strings.Fields(key)[0], Why: "no longer wanted"}
}

// hold makes the node hold what one intent says; limits are only collected,
// they are set together.
func (e *Engine) hold(now time.Time, in *control.Intent) {
	k := e.knobs[in.File]
	if k == nil {
		return
	}
	h := k.common()
	h.round = e.round
	e.lookAfter(k, now)
	if k.holding() == in.Value || e.resting(h, now) {
		return
	}
	h.touched = true
	if limit, ok := k.(*bandwidthKnob); ok {
		e.sets = append(e.sets, limitSet{key: in.File, k: limit, in: in})
		return
	}
	changes, err := k.set(e.w, in)
	if err != nil {
		h.value = "" // part of it may be done: the node holds no known value
	}
	e.record(in, changes, err)
	e.settle(h, in.File, now, err)
}

// ownedEvery is how often files that others may write are compared.
const ownedEvery = time.Second

// lookAfter notices that somebody else (systemd, an operator) wrote a file that
// is held: theirs is what a restore leaves, and the set is done again on top of
// it. Limits have a look of their own, see lookAtLimit: what is written there is
// a new limit.
func (e *Engine) lookAfter(k knob, now time.Time) {
	h := k.common()
	if _, limit := k.(*bandwidthKnob); limit || h.value == "" || now.Sub(h.looked) < cmp.Or(h.every, ownedEvery) && !h.looked.After(now) {
		return
	}
	first := h.looked.IsZero()
	h.looked = now
	if first || !k.drifted() {
		return
	}
	var changes []change
	for _, s := range k.state() {
		changes = append(changes, change{file: s.File, old: s.Wanted, new: s.Current, adopted: true})
	}
	e.record(&h.last, changes, nil)
	e.journalled(k.adopt(e.w))
}

// release puts one knob back and forgets it. One that the kernel refuses to
// put back is tried again later.
func (e *Engine) release(now time.Time, key string, k knob) {
	if !k.common().touched {
		e.forget(key, k)
		return
	}
	if s, ok := k.(stayer); ok && s.stays() {
		return
	}
	err := k.reset(e.w)
	in := unwanted(key)
	var changes []change
	for _, s := range k.state() {
		changes = append(changes, change{file: s.File, old: s.Wanted, new: s.Current})
	}
	e.record(in, changes, err)
	if err != nil && !cgroup.Gone(err) {
		e.settle(k.common(), key, now, err)
		return
	}
	e.forget(key, k)
}

// forget drops a knob, closing what it opened for itself.
func (e *Engine) forget(key string, k knob) {
	k.common().close()
	switch k := k.(type) {
	case *yieldKnob:
		if g := e.groups[k.owner()]; g == nil || g.cpu != k.g {
			_ = k.g.Close()
		}
	case *keyedKnob:
		k.closeFiles()
		_ = k.dir.Close()
	case *bandwidthKnob:
		if k.mine {
			_ = k.g.Close()
		}
	case placed:
		_ = k.place().Close()
	}
	delete(e.knobs, key)
	delete(e.degraded, key)
}

func groupOf(key string) string {
	_, rel, _ := strings.Cut(key, " ")
	return rel
}

// resting says whether a knob that failed is not to be tried yet.
func (e *Engine) resting(h *held, now time.Time) bool {
	return h.fails > 0 && now.Before(h.retry) && h.retry.Sub(now) < time.Hour
}

// settle books the outcome of a set.
func (e *Engine) settle(h *held, key string, now time.Time, err error) {
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

// record tells what was written and why.
func (e *Engine) record(in *control.Intent, changes []change, err error) {
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
		d := Decision{
			Time: time.Now().UnixMilli(), Controller: in.Controller, Workload: in.Group, File: c.file, Old: c.old, New: c.new, Why: in.Why, Result: result,
		}
		if c.adopted {
			d.Why, d.Result = "somebody else wrote it: the group's own from now on", "adopted"
		} else {
			e.totals.wrote(c.file, result)
		}
		e.history.add(d)
	}
}

func trim(b []byte) string { return strings.TrimSpace(string(b)) }
