package trace

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/anole-os/anole/qos/sim"
)

// batch is the batch work that is being read.
type batch struct {
	jobs  []job
	byJob map[string]int32
	tasks []task
	byKey map[string]int32 // job and task name
	key   []byte           // reused
}

// task finds one by the names of its job and itself.
func (b *batch) task(job, name []byte) (int32, bool) {
	b.key = append(append(append(b.key[:0], job...), 0), name...)
	i, ok := b.byKey[string(b.key)] // no copy: the map only looks
	return i, ok
}

type job struct {
	name  string
	first int32 // earliest start of its tasks
	line  int   // of its first task
	file  string
	tasks []int32
}

type task struct {
	number int32 // in the graph, 0 if it is in none
	deps   []int32
	sim.Task
	length float64 // of the whole task, s, NaN if unknown
	seen   int     // instances
	time   float64 // sum over instances, s
	work   float64 // cpu_avg · s, in hundredths of a core
	memory float64
}

func (b *batch) init() { b.byJob, b.byKey = map[string]int32{}, map[string]int32{} }

// task takes a row of batch_task that began in the time asked for.
func (r *reader) task(row *rows) error {
	start, end := row.value[5], row.value[6]
	r.until(start)
	at := start - float64(r.o.From)
	if math.IsNaN(start) || at < 0 || at >= float64(r.f.Seconds) {
		return nil
	}
	if end > 0 && end < start {
		return row.bad(6, fmt.Sprintf("the end at or after the start %v, or 0", start))
	}
	if row.value[1] > math.MaxInt32 {
		return row.bad(1, "fewer instances")
	}
	if row.value[1] == 0 {
		return nil
	}
	b := &r.batch
	name, in := string(row.fields[0]), string(row.fields[2])
	k, ok := b.byJob[in]
	if !ok {
		k = int32(len(b.jobs))
		b.byJob[in] = k
		b.jobs = append(b.jobs, job{name: in, first: int32(at), line: row.line, file: row.file})
	}
	if _, twice := b.task(row.fields[2], row.fields[0]); twice {
		return row.bad(0, "a name that its job has only once")
	}
	t := task{length: missing, memory: orZero(row.value[8])}
	t.number, t.deps = graph(name)
	t.Task = sim.Task{Instances: int32(row.value[1]), Start: int32(at), CPU: orZero(row.value[7]) / 100, Memory: orZero(row.value[8])}
	if end > 0 {
		t.length = end - start
	}
	j := &b.jobs[k]
	j.first = min(j.first, int32(at))
	j.tasks = append(j.tasks, int32(len(b.tasks)))
	b.byKey[string(b.key)] = int32(len(b.tasks))
	b.tasks = append(b.tasks, t)
	return nil
}

// graph reads a task's name: letters, its number, and the numbers of those it
// waits for; what follows after those is of no matter. Number 0 is no graph.
func graph(name string) (number int32, deps []int32) {
	parts := strings.Split(name, "_")
	digits := strings.TrimLeft(parts[0], "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
	if digits == parts[0] {
		return 0, nil
	}
	if number = positive(digits); number == 0 {
		return 0, nil
	}
	for _, p := range parts[1:] {
		d := positive(p)
		if d == 0 {
			break
		}
		if d != number && !slices.Contains(deps, d) {
			deps = append(deps, d)
		}
	}
	return number, deps
}

// positive reads a number from 1, 0 if it is none.
func positive(s string) int32 {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return int32(n)
}

// instance adds a row of batch_instance to its task.
func (r *reader) instance(row *rows) error {
	start, end := row.value[5], row.value[6]
	if end > 0 && end < start {
		return row.bad(6, fmt.Sprintf("the end at or after the start %v, or 0", start))
	}
	i, ok := r.batch.task(row.fields[2], row.fields[1])
	if !ok || !(start >= 0 && end > start) || !(row.value[10] > 0) {
		return nil
	}
	t := &r.batch.tasks[i]
	t.seen++
	t.time += end - start
	t.work += row.value[10] * (end - start)
	if m := row.value[13]; m > 0 {
		if t.seen == 1 {
			t.memory = 0
		}
		t.memory = max(t.memory, m)
	}
	r.sum.InstancesMatched++
	return nil
}

// jobs puts the fleet's together, in the order of their first start.
func (r *reader) jobs() error {
	b := &r.batch
	slices.SortStableFunc(b.jobs, func(x, y job) int { return cmp.Compare(x.first, y.first) })
	for i := range b.jobs {
		j := &b.jobs[i]
		order, err := b.sort(j, &r.sum.MissingDeps)
		if err != nil {
			return err
		}
		out := sim.Job{Name: j.name, First: int32(len(r.f.Tasks))}
		at := map[int32]int32{} // index in the fleet by that in the batch
		for _, k := range order {
			t := b.tasks[k].settle(&r.sum)
			if t.Seconds <= 0 {
				continue
			}
			t.Job = int32(len(r.f.Jobs))
			for _, d := range b.tasks[k].Deps {
				if to, ok := at[d]; ok {
					t.Deps = append(t.Deps, to)
				}
			}
			slices.Sort(t.Deps)
			at[k] = int32(len(r.f.Tasks))
			r.f.Tasks = append(r.f.Tasks, t)
		}
		if out.Count = int32(len(r.f.Tasks)) - out.First; out.Count > 0 {
			r.f.Jobs = append(r.f.Jobs, out)
		}
	}
	r.batch = batch{}
	return nil
}

// sort orders a job's tasks so that each comes after those it waits for, which
// it puts into Deps; otherwise they stay in the order of the file.
func (b *batch) sort(j *job, absent *int) ([]int32, error) {
	byNumber := map[int32]int32{}
	for _, k := range j.tasks {
		if n := b.tasks[k].number; n > 0 {
			byNumber[n] = k
		}
	}
	for _, k := range j.tasks {
		t := &b.tasks[k]
		for _, d := range t.deps {
			if on, ok := byNumber[d]; ok && on != k {
				t.Deps = append(t.Deps, on)
			} else {
				*absent++
			}
		}
	}
	if order := b.inTurn(j); order != nil {
		return order, nil
	}
	return b.topological(j)
}

// inTurn gives the order of the file if no task comes before one it waits for.
func (b *batch) inTurn(j *job) []int32 {
	placed := map[int32]bool{}
	for _, k := range j.tasks {
		if slices.ContainsFunc(b.tasks[k].Deps, func(d int32) bool { return !placed[d] }) {
			return nil
		}
		placed[k] = true
	}
	return j.tasks
}

// topological sorts by Kahn's algorithm, first come first served.
func (b *batch) topological(j *job) ([]int32, error) {
	waits, after := map[int32]int{}, map[int32][]int32{}
	var order []int32
	for _, k := range j.tasks {
		waits[k] = len(b.tasks[k].Deps)
		for _, d := range b.tasks[k].Deps {
			after[d] = append(after[d], k)
		}
		if waits[k] == 0 {
			order = append(order, k)
		}
	}
	for i := 0; i < len(order); i++ {
		for _, k := range after[order[i]] {
			if waits[k]--; waits[k] == 0 {
				order = append(order, k)
			}
		}
	}
	if len(order) < len(j.tasks) {
		return nil, &RowError{j.file, j.line, "", "job " + j.name + " with tasks that wait for each other in a circle", "a graph without one"}
	}
	return order, nil
}

// settle says what an instance is: as its instances were, or as was planned.
func (t *task) settle(sum *Summary) sim.Task {
	out := t.Task
	out.Deps = nil
	if t.seen > 0 {
		out.Seconds, out.CPU, out.Memory = t.time/float64(t.seen), t.work/t.time/100, t.memory
		return out
	}
	if !(t.length > 0) {
		sum.WithoutDuration++
		out.Seconds = 0
		return out
	}
	out.Seconds = t.length
	if !(out.CPU > 0) {
		sum.WithoutDemand++
		out.CPU = 1
	}
	return out
}
