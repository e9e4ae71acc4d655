package sim

import "time"

// sched is the batch scheduler of one world: input of the simulation, not a
// part of anole. First come, first served.
type sched struct {
	next    int     // first job that has not arrived
	missing []int32 // dependencies of each task that are not done
	toPlace []int32 // instances of each task that are not placed
	toDo    []int32 // that are not done
	jobLeft []int32 // tasks of each job that are not done
	after   [][]int32
	ready   []int32 // tasks with instances to place, in order
	later   []int32 // tasks that must not start yet, in the order of Start
	queued  []bool  // the task is in ready
	heap    []spot

	// Counts of instances; blocked are those whose task waits for others.
	arrived, blocked, waiting, running, done, placed int
	evictions, starvations                           int
	jobs, jobsOpen, jobsDone                         int
	wasted, finished                                 float64 // core-s
	spans                                            float64 // of the jobs that are done, from their start, s
	wait                                             float64 // sum over placed instances of the time in the queue, s
	readyAt                                          []int32
}

// spot is a node as placement sees it.
type spot struct {
	node int32
	free float64 // reclaimable cores that nobody asks for
}

func (s *sched) init(f *Fleet, after [][]int32) {
	s.missing, s.toPlace, s.toDo = make([]int32, len(f.Tasks)), make([]int32, len(f.Tasks)), make([]int32, len(f.Tasks))
	s.queued, s.readyAt = make([]bool, len(f.Tasks)), make([]int32, len(f.Tasks))
	s.jobLeft = make([]int32, len(f.Jobs))
	s.after = after
	for i := range f.Tasks {
		s.missing[i] = int32(len(f.Tasks[i].Deps))
		s.toPlace[i], s.toDo[i] = f.Tasks[i].Instances, f.Tasks[i].Instances
	}
	for i := range f.Jobs {
		s.jobLeft[i] = f.Jobs[i].Count
	}
}

// dependents lists, for each task, those that wait for it.
func dependents(f *Fleet) [][]int32 {
	out := make([][]int32, len(f.Tasks))
	for i := range f.Tasks {
		for _, d := range f.Tasks[i].Deps {
			out[d] = append(out[d], int32(i))
		}
	}
	return out
}

// schedule settles what happened on the nodes, lets work arrive and places it.
func (w *world) schedule(tick int) {
	now := int32(time.Duration(tick) * w.o.Tick / time.Second)
	for i := range w.nodes {
		n := &w.nodes[i]
		for _, e := range n.out {
			w.settle(e, now)
		}
		n.out = n.out[:0]
	}
	w.arrive(now)
	w.assign(tick, now)
}

// settle books what became of a slot.
func (w *world) settle(e event, now int32) {
	s := &w.sched
	c := int(e.n)
	s.running -= c
	if e.why != done {
		if e.why == evicted {
			s.evictions += c
		} else {
			s.starvations += c
		}
		s.wasted += e.work
		s.waiting += c
		s.toPlace[e.task] += e.n
		s.push(e.task, now)
		return
	}
	s.done += c
	s.finished += e.work
	s.toDo[e.task] -= e.n
	if s.toDo[e.task] == 0 {
		w.finish(e.task, now)
	}
}

// finish lets the tasks start that waited for this one.
func (w *world) finish(task, now int32) {
	s := &w.sched
	for _, d := range s.after[task] {
		if s.missing[d]--; s.missing[d] == 0 {
			s.blocked -= int(s.toPlace[d])
			s.waiting += int(s.toPlace[d])
			s.push(d, now)
		}
	}
	j := w.fleet.Tasks[task].Job
	if s.jobLeft[j]--; s.jobLeft[j] == 0 {
		s.jobsOpen--
		s.jobsDone++
		s.spans += float64(now - w.fleet.start(&w.fleet.Jobs[j]))
	}
}

func (s *sched) push(task, now int32) {
	if !s.queued[task] {
		s.queued[task] = true
		s.readyAt[task] = now
		s.ready = append(s.ready, task)
	}
}

// arrive takes the jobs whose first task may start by now, and the tasks whose
// own time has come.
func (w *world) arrive(now int32) {
	s, f := &w.sched, w.fleet
	rest := s.later[:0]
	for _, t := range s.later {
		if f.Tasks[t].Start > now {
			rest = append(rest, t)
			continue
		}
		s.release(t, f, now)
	}
	s.later = rest
	for ; s.next < len(f.Jobs); s.next++ {
		j := &f.Jobs[s.next]
		if f.start(j) > now {
			return
		}
		s.jobs++
		s.jobsOpen++
		for t := j.First; t < j.First+j.Count; t++ {
			s.arrived += int(f.Tasks[t].Instances)
			s.blocked += int(f.Tasks[t].Instances)
			switch {
			case s.missing[t] > 0:
			case f.Tasks[t].Start > now:
				s.later = append(s.later, t)
			default:
				s.release(t, f, now)
			}
		}
	}
}

func (s *sched) release(t int32, f *Fleet, now int32) {
	s.blocked -= int(f.Tasks[t].Instances)
	s.waiting += int(f.Tasks[t].Instances)
	s.push(t, now)
}

// start is when the first task of a job may.
func (f *Fleet) start(j *Job) int32 {
	first := f.Tasks[j.First].Start
	for t := j.First + 1; t < j.First+j.Count; t++ {
		first = min(first, f.Tasks[t].Start)
	}
	return first
}

// skips is how many tasks that fit nowhere are passed over before the scheduler
// gives up for now.
const skips = 16

// assign places ready tasks until nothing fits.
func (w *world) assign(tick int, now int32) {
	s := &w.sched
	if len(s.ready) == 0 {
		return
	}
	w.spots()
	kept, at := 0, 0
	for ; at < len(s.ready) && kept < skips && len(s.heap) > 0; at++ {
		t := s.ready[at]
		if w.spread(t, tick, now) {
			s.queued[t] = false
			continue
		}
		s.ready[kept] = t
		kept++
	}
	// Those passed over go back to the head of what was not looked at.
	copy(s.ready[at-kept:at], s.ready[:kept])
	s.ready = s.ready[at-kept:]
}

// spots orders the nodes by what they can take.
func (w *world) spots() {
	s := &w.sched
	s.heap = s.heap[:0]
	for i := range w.nodes {
		n := &w.nodes[i]
		if free := w.o.Pack*n.cpus - n.calm - n.asked; free > 0 && !n.full() {
			s.heap = append(s.heap, spot{int32(i), free})
		}
	}
	for i := len(s.heap)/2 - 1; i >= 0; i-- {
		s.sink(i)
	}
}

// before orders spots: most free first, then by node.
func (a spot) before(b spot) bool { return a.free > b.free || a.free == b.free && a.node < b.node }

func (s *sched) sink(i int) {
	for h := s.heap; ; {
		k := 2*i + 1
		if k >= len(h) {
			return
		}
		if k+1 < len(h) && h[k+1].before(h[k]) {
			k++
		}
		if !h[k].before(h[i]) {
			return
		}
		h[i], h[k] = h[k], h[i]
		i = k
	}
}

// spread places all instances of a task that fit, and says whether that was all.
func (w *world) spread(t int32, tick int, now int32) bool {
	s := &w.sched
	task := &w.fleet.Tasks[t]
	for s.toPlace[t] > 0 {
		if len(s.heap) == 0 {
			return false
		}
		top := s.heap[0]
		n := &w.nodes[top.node]
		c := min(s.toPlace[t], int32(w.o.Bundle), int32(min(top.free/task.CPU, 1<<30)))
		if task.Memory > 0 {
			c = min(c, int32(max(0, min((spare*n.memory-n.lsMemory-n.held)/task.Memory, 1<<30))))
		}
		if c <= 0 {
			if top.free < task.CPU {
				return false // nobody has more
			}
			// No memory here: others may have, with less CPU. The node is out
			// for this round.
			s.drop()
			continue
		}
		n.place(t, task, c, tick)
		s.toPlace[t] -= c
		s.waiting -= int(c)
		s.running += int(c)
		s.placed += int(c)
		s.wait += float64(c) * float64(now-s.readyAt[t])
		if n.full() {
			s.drop()
			continue
		}
		s.heap[0].free -= task.CPU * float64(c)
		s.sink(0)
	}
	return true
}

// spare is the share of a node's memory that placement fills.
const spare = 0.95

func (s *sched) drop() {
	last := len(s.heap) - 1
	s.heap[0] = s.heap[last]
	s.heap = s.heap[:last]
	s.sink(0)
}
