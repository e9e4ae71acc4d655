package sim

import (
	"fmt"
	"math"
)

// Machine is one node.
type Machine struct {
	ID     string
	CPUs   float64
	Memory float64 // in hundredths of the fleet's largest machine, as in the trace
}

// Service is one latency-sensitive container.
type Service struct {
	ID, App string
	Machine int     // index in Fleet.Machines
	Request float64 // cores
	Limit   float64 // cores, 0 without one
	Memory  float64 // what it was given, in units of Machine.Memory
	// CPU and Mem are its use in each sample, in hundredths of a percent of
	// Request and Memory.
	CPU, Mem []uint16
}

// Full is a sample of 100 %.
const Full = 10_000

// Task is a part of a Job: Instances equal pieces of work.
type Task struct {
	Job       int32
	Instances int32
	Start     int32   // seconds; a task without Deps does not start before
	Seconds   float64 // an instance's duration with all the CPU it asks for
	CPU       float64 // cores that an instance asks for
	Memory    float64 // that an instance uses
	Deps      []int32 // tasks of the same Job that must be done before, as indices in Fleet.Tasks
}

// Work is the CPU time of one instance, in core-seconds.
func (t *Task) Work() float64 { return t.Seconds * t.CPU }

// Job is a graph of tasks: Tasks[First : First+Count] of the Fleet.
type Job struct {
	Name         string
	First, Count int32
}

// Fleet is the input of a simulation. Services are in the order of their
// machines, jobs in that of their first start.
type Fleet struct {
	Machines []Machine
	Services []Service
	Jobs     []Job
	Tasks    []Task
	Seconds  int // length
	Sample   int // seconds between two samples of a Service
}

// Cores sums the machines' CPUs.
func (f *Fleet) Cores() (sum float64) {
	for i := range f.Machines {
		sum += f.Machines[i].CPUs
	}
	return sum
}

// Validate names the first thing that cannot be simulated.
func (f *Fleet) Validate() error {
	switch {
	case len(f.Machines) == 0:
		return fmt.Errorf("fleet: no machines")
	case f.Sample <= 0:
		return fmt.Errorf("fleet: sample %d s: want at least 1", f.Sample)
	case f.Seconds < f.Sample:
		return fmt.Errorf("fleet: length %d s: want at least one sample of %d s", f.Seconds, f.Sample)
	}
	for i := range f.Machines {
		if m := &f.Machines[i]; !positive(m.CPUs, m.Memory) {
			return fmt.Errorf("machine %s: %v CPUs and memory %v: want both above 0", m.ID, m.CPUs, m.Memory)
		}
	}
	if err := f.validateServices(); err != nil {
		return err
	}
	return f.validateJobs()
}

func (f *Fleet) validateServices() error {
	at, samples := 0, f.samples()
	for i := range f.Services {
		s := &f.Services[i]
		switch {
		case s.Machine < at || s.Machine >= len(f.Machines):
			return fmt.Errorf("service %s: machine %d: want the order of machines, 0 to %d", s.ID, s.Machine, len(f.Machines)-1)
		case !positive(s.Request) || !(s.Limit >= 0) || math.IsInf(s.Limit, 0) || !(s.Memory >= 0) || math.IsInf(s.Memory, 0):
			return fmt.Errorf("service %s: request %v, limit %v, memory %v", s.ID, s.Request, s.Limit, s.Memory)
		case len(s.CPU) < samples || len(s.Mem) < samples:
			return fmt.Errorf("service %s: %d CPU and %d memory samples: want %d", s.ID, len(s.CPU), len(s.Mem), samples)
		}
		at = s.Machine
	}
	return nil
}

func (f *Fleet) validateJobs() error {
	next := int32(0)
	for i := range f.Jobs {
		j := &f.Jobs[i]
		if j.First != next || j.Count <= 0 || int(j.First)+int(j.Count) > len(f.Tasks) {
			return fmt.Errorf("job %s: tasks %d+%d of %d", j.Name, j.First, j.Count, len(f.Tasks))
		}
		next = j.First + j.Count
		for k := j.First; k < next; k++ {
			if err := f.validateTask(j, k); err != nil {
				return fmt.Errorf("job %s, task %d: %w", j.Name, k-j.First, err)
			}
		}
	}
	if int(next) != len(f.Tasks) {
		return fmt.Errorf("fleet: %d tasks belong to no job", len(f.Tasks)-int(next))
	}
	return nil
}

// validateTask holds dependencies to earlier tasks, so there is no cycle.
func (f *Fleet) validateTask(j *Job, k int32) error {
	t := &f.Tasks[k]
	if t.Instances <= 0 || !positive(t.CPU, t.Seconds) || !(t.Memory >= 0) || math.IsInf(t.Memory, 0) || t.Start < 0 {
		return fmt.Errorf("%d instances of %v cores for %v s, memory %v, start %d", t.Instances, t.CPU, t.Seconds, t.Memory, t.Start)
	}
	for _, d := range t.Deps {
		if d < j.First || d >= k {
			return fmt.Errorf("depends on task %d: want an earlier one of the job", d-j.First)
		}
	}
	return nil
}

// samples is how many a Service needs: one at each end of each stretch.
func (f *Fleet) samples() int { return (f.Seconds+f.Sample-1)/f.Sample + 1 }

func positive(v ...float64) bool {
	for _, x := range v {
		if !(x > 0) || math.IsInf(x, 0) {
			return false
		}
	}
	return true
}
