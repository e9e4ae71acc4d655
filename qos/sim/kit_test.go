package sim

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/anole-os/anole/qos"
)

// flat is a service whose load never moves.
func flat(id string, machine int, request, limit, cores float64, seconds int) Service {
	s := Service{ID: id, App: "app", Machine: machine, Request: request, Limit: limit, Memory: 10}
	for range seconds/60 + 2 {
		s.CPU, s.Mem = append(s.CPU, uint16(cores/request*Full)), append(s.Mem, Full)
	}
	return s
}

// one is a node of 10 CPUs with a service that uses some cores, and jobs of one
// task each.
func one(cores float64, seconds int, tasks ...Task) *Fleet {
	f := &Fleet{Machines: []Machine{{ID: "m", CPUs: 10, Memory: 100}}, Seconds: seconds, Sample: 60}
	f.Services = []Service{flat("s", 0, 10, 0, cores, seconds)}
	for i, t := range tasks {
		t.Job = int32(i)
		f.Tasks = append(f.Tasks, t)
		f.Jobs = append(f.Jobs, Job{Name: "j", First: int32(i), Count: 1})
	}
	return f
}

// quiet has no noise, no bursts, and work that disturbs nobody.
func quiet(p ...Contender) Options {
	return Options{Policies: p, Noise: -1, BurstEvery: -1, Interference: -1, Seed: 1}
}

func policy(name string, change func(*qos.Policy)) Contender {
	p := qos.DefaultPolicy()
	if change != nil {
		change(&p)
	}
	return Contender{Name: name, Policy: p}
}

func run(t testing.TB, f *Fleet, o Options) *Report {
	t.Helper()
	r, err := Run(context.Background(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// find gives a scenario by name.
func (r *Report) find(t testing.TB, name string) *Scenario {
	t.Helper()
	for i := range r.Scenarios {
		if r.Scenarios[i].Name == name {
			return &r.Scenarios[i]
		}
	}
	t.Fatalf("no scenario %q", name)
	return nil
}

func generate(t testing.TB, s Shape) *Fleet {
	t.Helper()
	f, err := Generate(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func encode(t testing.TB, r *Report) string {
	t.Helper()
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func near(t testing.TB, what string, got, want, within float64) {
	t.Helper()
	if !(got >= want-within && got <= want+within) {
		t.Errorf("%s: %v, want %v ± %v", what, got, want, within)
	}
}

// nodes makes a runner that the test steps itself.
func nodes(t testing.TB, f *Fleet, o Options) *runner {
	t.Helper()
	o = o.defaults()
	if err := o.validate(f); err != nil {
		t.Fatal(err)
	}
	r := newRunner(f, o)
	t.Cleanup(r.stop)
	return r
}

const hour = time.Hour / time.Second
