package qos

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/actuate"
)

// fileRTRuntime is a v1 group's real-time bandwidth (RT_GROUP_SCHED,
// Documentation/scheduler/sched-rt-group.rst): 0 until it is written, and the
// groups below one parent may not have more than the parent.
const fileRTRuntime = "cpu.rt_runtime_us"

// laneBandwidth is the share of each CPU that all lanes together may use, below
// the kernel's own 95 %.
const laneBandwidth = 0.9

// laneShares gives the part of the bandwidth for each group in the lane and for
// each of its parents: as much as the groups below it have.
func (e *Engine) laneShares() map[string]float64 {
	out := map[string]float64{}
	n := 0
	for _, g := range e.order {
		if !g.WantLane {
			continue
		}
		n++
		out[g.w.Path]++
		for _, p := range parents(g.w.Path) {
			out[p]++
		}
	}
	for rel := range out {
		out[rel] *= laneBandwidth / float64(n)
	}
	return out
}

// shareRT makes room when the lanes have become more: what was given before
// shrinks, children first, and what no lane needs any more is put back.
func (e *Engine) shareRT() {
	if !e.laneDirty {
		return
	}
	e.laneDirty = false
	was := e.laneShare
	e.laneShare = e.laneShares()
	if maps.Equal(was, e.laneShare) && !e.laneRetry {
		return
	}
	e.laneRetry = false
	rels := slices.SortedFunc(maps.Keys(e.rtGiven), func(a, b string) int {
		return cmp.Or(strings.Count(b, "/")-strings.Count(a, "/"), strings.Compare(a, b))
	})
	for _, rel := range rels {
		if err := e.shrinkRT(rel, e.laneShare[rel]); err != nil && !cgroup.Gone(err) {
			e.degrade("rt lane", fmt.Errorf("share real-time bandwidth of %s: %w", rel, err))
			e.laneDirty, e.laneRetry = true, true
		}
	}
}

func (e *Engine) shrinkRT(rel string, share float64) error {
	a, err := actuate.OpenGroup(e.tree, rel)
	if err != nil || a.CPU.Ino() != e.rtGiven[rel] {
		delete(e.rtGiven, rel)
		if err == nil {
			err = a.Close()
		}
		return err
	}
	defer a.Close()
	if share == 0 {
		delete(e.rtGiven, rel)
		return e.undoRT(a)
	}
	return e.setRT(a, share, func(now, want uint64) bool { return now > want })
}

// undoRT puts a group's own bandwidth back.
func (e *Engine) undoRT(a *actuate.Group) error {
	ino := a.CPU.Ino()
	for _, err := range e.w.Restore(func(en *journal.Entry) bool {
		return en.Op == journal.OpWrite && en.Ino == ino && strings.HasSuffix(en.Path, "/"+fileRTRuntime)
	}) {
		return err
	}
	return nil
}

// allowRT gives the group and its ancestors real-time bandwidth where the
// kernel asks for it: parents first, as a child may not exceed its parent. What
// somebody else gave stays.
func (e *Engine) allowRT(g *group) error {
	if !g.cpu.CPU.Has(fileRTRuntime) {
		return nil
	}
	chain, err := e.ancestors(g)
	defer func() {
		for _, a := range chain[1:] {
			_ = a.Close()
		}
	}()
	if err != nil {
		return err
	}
	for _, a := range slices.Backward(chain) {
		mine := e.rtGiven[a.Rel] == a.CPU.Ino()
		err := e.setRT(a, e.laneShare[a.Rel], func(now, want uint64) bool { return now == 0 || mine && now < want })
		if err != nil {
			return fmt.Errorf("allow real-time threads in %s: %w", a.Rel, err)
		}
	}
	return nil
}

// setRT gives a group a share of each CPU if due says so of what it has.
func (e *Engine) setRT(a *actuate.Group, share float64, due func(now, want uint64) bool) error {
	period, err := a.Number("cpu.rt_period_us")
	if err != nil {
		return err
	}
	now, err := a.Number(fileRTRuntime)
	want := uint64(float64(period) * share)
	if err != nil || !due(now, want) {
		return err
	}
	if _, err = e.w.Set(cgroup.Edit{Dir: a.CPU, File: fileRTRuntime, Value: fmt.Sprint(want)}); err == nil {
		e.rtGiven[a.Rel] = a.CPU.Ino()
	}
	return err
}

// ancestors opens the group's parents below the root, nearest first, after the
// group itself.
func (e *Engine) ancestors(g *group) ([]*actuate.Group, error) {
	out := []*actuate.Group{g.cpu}
	for _, rel := range parents(g.w.Path) {
		a, err := actuate.OpenGroup(e.tree, rel)
		if err != nil {
			return out, err
		}
		out = append(out, a)
	}
	return out, nil
}

// parents lists the paths above rel without the root, nearest first.
func parents(rel string) []string {
	var out []string
	for i := len(rel) - 1; i > 0; i-- {
		if rel[i] == '/' {
			out = append(out, rel[:i])
		}
	}
	return out
}
