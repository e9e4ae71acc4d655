package sim

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/anole-os/anole/qos"
)

// Contender is a policy that takes part.
type Contender struct {
	Name   string
	Policy qos.Policy
}

// Options tunes Run. The zero value of every field but Policies works.
type Options struct {
	Policies []Contender
	// NoBaselines leaves out the two ways of doing without: no best-effort work
	// at all, and best-effort work that nothing holds back.
	NoBaselines bool
	Seed        uint64
	Tick        time.Duration // 0 = 1 s
	// Schedule is how often the batch scheduler places work; 0 = 10 s.
	Schedule time.Duration
	// Bin is the resolution of the report's series; 0 = 5 min.
	Bin time.Duration

	Noise       float64       // standard deviation of use around its series; 0 = 0.08, below 0 none
	BurstEvery  time.Duration // between bursts of a service; 0 = 10 min, below 0 none
	BurstFactor float64       // of the largest burst; 0 = 3
	Service     time.Duration // mean CPU time of an LS request; 0 = 1 ms
	SLO         float64       // objective of an LS request's p99, in units of its p99 alone; 0 = 2
	Timeout     time.Duration // after which a waiting request is given up; 0 = 5 s
	// Interference is by how much a request grows dearer on a node that is full
	// of best-effort work; 0 = 0.1, below 0 none. This repository's bench sees
	// 0 to 0.1.
	Interference float64
	// Yield is how long a waking LS thread waits, on the mean, for best-effort
	// work that yields to leave the CPU; 0 = 50 µs. Slice is the same where it
	// does not yield: 0 = 3 ms, the kernel's base slice on 8 CPUs or more, and
	// as much again for each further task that waits on a CPU.
	Yield, Slice time.Duration
	Pack         float64       // share of a node that placement fills; 0 = 0.95
	Bundle       int           // most instances of a task in one workload; 0 = 16
	Starve       time.Duration // after which work that gets almost nothing is moved; 0 = 10 min

	Workers int // goroutines; 0 = GOMAXPROCS. The report does not hang on it.
	// Progress, when set, is called from one goroutine.
	Progress func(done, total int)

	tamper func(w *world, n *node, tick int) // of tests, before the check
}

func (o Options) defaults() Options {
	d := func(v *time.Duration, def time.Duration) {
		if *v == 0 {
			*v = def
		}
	}
	f := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	d(&o.Tick, time.Second)
	d(&o.Schedule, 10*time.Second)
	d(&o.Bin, 5*time.Minute)
	d(&o.BurstEvery, 10*time.Minute)
	d(&o.Service, time.Millisecond)
	d(&o.Timeout, 5*time.Second)
	d(&o.Yield, 50*time.Microsecond)
	d(&o.Slice, 3*time.Millisecond)
	d(&o.Starve, 10*time.Minute)
	f(&o.Noise, 0.08)
	f(&o.BurstFactor, 3)
	f(&o.SLO, 2)
	f(&o.Interference, 0.1)
	f(&o.Pack, 0.95)
	if o.Bundle == 0 {
		o.Bundle = 16
	}
	o.Noise, o.Interference = max(0, o.Noise), max(0, o.Interference)
	return o
}

// validate checks options after defaults against a fleet.
func (o *Options) validate(f *Fleet) error {
	var bad []error
	say := func(format string, a ...any) { bad = append(bad, fmt.Errorf(format, a...)) }
	sample := time.Duration(f.Sample) * time.Second
	between := func(name string, v, low, high float64) {
		if !(v >= low && v <= high) {
			say("%s %v: want %v to %v", name, v, low, high)
		}
	}
	switch {
	case o.Tick < 10*time.Millisecond || o.Tick > 10*time.Second:
		say("tick %v: want 10ms to 10s", o.Tick)
	case sample%o.Tick != 0:
		say("tick %v: does not divide the sample of %v", o.Tick, sample)
	case o.Schedule < o.Tick || o.Schedule%o.Tick != 0:
		say("schedule %v: want a multiple of the tick %v", o.Schedule, o.Tick)
	case o.Bin < o.Schedule || o.Bin%o.Schedule != 0:
		say("bin %v: want a multiple of the schedule %v", o.Bin, o.Schedule)
	case time.Duration(f.Seconds)*time.Second%o.Schedule != 0:
		say("length %d s: want a multiple of the schedule %v", f.Seconds, o.Schedule)
	}
	if o.Service <= 0 || o.Timeout <= 0 || o.Yield < 0 || o.Slice < 0 || o.Starve <= 0 {
		say("service, timeout and starve: want above 0; yield and slice not below 0")
	}
	between("noise", o.Noise, 0, 1)
	between("burst factor", o.BurstFactor, 1.5, 100)
	between("slo", o.SLO, 1.01, 1000)
	between("interference", o.Interference, 0, 1)
	between("pack", o.Pack, 0.01, 2)
	between("bundle", float64(o.Bundle), 1, math.MaxInt32)
	if len(o.Policies) == 0 && o.NoBaselines {
		say("nothing to run: no policy and no baselines")
	}
	for i := range o.Policies {
		if err := o.Policies[i].Policy.Validate(); err != nil {
			say("%s: %w", o.Policies[i].Name, err)
		}
	}
	if len(bad) > 0 {
		return &OptionsError{bad}
	}
	return nil
}

// OptionsError lists what is wrong with Options.
type OptionsError struct{ Problems []error }

func (e *OptionsError) Error() string { return "simulate: " + errors.Join(e.Problems...).Error() }

// Unwrap gives the single problems.
func (e *OptionsError) Unwrap() []error { return e.Problems }
