package qos

import (
	"errors"
	"fmt"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
)

// tidyTasks keeps the threads of the workloads in the resctrl groups of their
// classes. What a thread starts is in its group by itself, so only those are
// looked for that come into a workload from outside, or leave one.
type tidyTasks struct {
	p    *cachePart
	turn rounds
	todo []*group
	seen map[int]bool // threads of workloads in this round
	// lost are threads in a group of ours that no workload had in the last
	// round; so in the next one too, they have left.
	lost map[int]bool
	had  map[*group]bool // groups with threads in a group of ours
	last bool            // the round ended
}

func (t *tidyTasks) reset() {
	t.seen, t.lost, t.had, t.todo = map[int]bool{}, nil, map[*group]bool{}, nil
	t.turn = rounds{every: memberRound}
}

func (t *tidyTasks) drop(g *group) {
	t.turn.forget(g)
	delete(t.had, g)
	for i, x := range t.todo {
		if x == g {
			t.todo[i] = nil
		}
	}
}

// due selects the groups whose turn it is.
func (t *tidyTasks) due(dt time.Duration) {
	if t.seen == nil {
		t.reset()
	}
	t.turn.next(t.p.e.order, dt, func(g *group) { t.todo = append(t.todo, g) })
	t.last = t.last || t.turn.done
}

// move looks at the groups that are due.
func (t *tidyTasks) move() error {
	todo := t.todo
	t.todo = t.todo[:0]
	var err error
	for _, g := range todo {
		if g != nil {
			err = errors.Join(err, t.place(g))
		}
	}
	if !t.last {
		return err
	}
	t.last = false
	return errors.Join(err, t.sweep())
}

// home is where the threads of a group belong, nil for the default group.
func (t *tidyTasks) home(g *group) *cacheGroup {
	switch {
	case g.Class == class.BE:
		return t.p.be
	case g.Class.Sensitive():
		return t.p.ls
	}
	return nil
}

// place moves the threads of one group to where they belong.
func (t *tidyTasks) place(g *group) error {
	to := t.home(g)
	if to == nil && !t.had[g] {
		return nil
	}
	tids, err := g.cpu.CPU.AllThreads()
	if err != nil {
		if cgroup.Gone(err) {
			return nil // the next look at the tree settles it
		}
		return err
	}
	moved := 0
	var refused error // the last one: one thread must not keep the others
	for _, tid := range tids {
		if t.p.foreign[tid] {
			continue
		}
		t.seen[tid] = true
		did, err := t.p.carry(tid, to)
		if did {
			moved++
		}
		if err != nil {
			refused = err
		}
	}
	if t.had[g] = true; to == nil {
		delete(t.had, g)
	}
	if moved > 0 {
		t.tell(g.w.ID, to, moved, g.Class.String())
	}
	return refused
}

func (t *tidyTasks) tell(whom string, to *cacheGroup, n int, of string) {
	dir := t.p.fs.Mount.Dir
	if to != nil {
		dir = to.Dir()
	}
	t.p.record(whom, change{file: dir + "/tasks", new: fmt.Sprintf("%d threads", n)}, "class "+of, nil)
}

// sweep ends a round: threads in our groups that no workload has had for two
// rounds go back to the default group.
func (t *tidyTasks) sweep() error {
	lost := map[int]bool{}
	n := 0
	for _, g := range []*cacheGroup{t.p.be, t.p.ls} {
		if g == nil {
			continue
		}
		for tid := range g.tids {
			switch {
			case t.seen[tid]:
			case !t.lost[tid]:
				lost[tid] = true
			default:
				if _, err := t.p.carry(tid, nil); err != nil {
					return err
				}
				n++
			}
		}
	}
	t.lost = lost
	clear(t.seen)
	if n > 0 {
		t.tell("no workload", nil, n, "NONE")
	}
	return nil
}

// carry moves a thread into a group, nil being the default one, unless it is
// there. Into a group that only counts it goes by way of the default one, whose
// part that is.
func (p *cachePart) carry(tid int, to *cacheGroup) (moved bool, err error) {
	in := func(g *cacheGroup) bool { return g != nil && g.tids[tid] }
	switch {
	case to != nil && to.tids[tid], to == nil && !in(p.be) && !in(p.ls):
		return false, nil
	case to == nil, to == p.ls && in(p.be):
		err = p.fs.Release(tid)
	}
	if err == nil && to != nil {
		err = to.Add(tid)
	}
	if err != nil {
		return false, err
	}
	for _, g := range []*cacheGroup{p.be, p.ls} {
		if g != nil {
			delete(g.tids, tid)
		}
	}
	if to != nil {
		to.tids[tid] = true
	}
	return true, nil
}
