package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Shape tunes Generate. The zero value of every field works. The defaults follow
// what was published of Alibaba's co-located clusters (trace v2018): machines of
// 96 CPUs, all alike, services with a daily cycle and almost constant memory
// that takes most of a machine's (Guo et al., "Who limits the resource
// efficiency of my datacenter", IWQoS 2019; Jiang et al., "Characterizing
// co-located workloads in Alibaba Cloud datacenters", IEEE TCC 2022), batch
// tasks whose instance counts have a power-law tail and whose graphs are
// shallow and sparse (Tian et al., "Characterizing and synthesizing task
// dependencies of data-parallel jobs in Alibaba Cloud", SoCC 2019). What these
// do not tell (bursts, limits, surges) is a guess, and an option.
type Shape struct {
	Seed     uint64
	Nodes    int     // 0 = 100
	Hours    float64 // 0 = 24
	Sample   int     // seconds between samples; 0 = 60
	CPUs     int     // of a node; 0 = 96
	Services int     // on a node; 0 = 12
	Request  float64 // CPUs that services ask for, as a share of the node, on the mean; 0 = 0.6
	LS       float64 // CPU use of services as a share of the fleet, on the mean; 0 = 0.2
	Swing    float64 // daily amplitude of a service's use, as a share of its mean; 0 = 0.5, below 0 none
	BE       float64 // CPU time of batch work as a share of the fleet's; 0 = 0.4, below 0 none
	Seconds  float64 // median duration of an instance; 0 = 60
}

func (s Shape) defaults() Shape {
	f := func(v *float64, def float64) {
		if *v == 0 {
			*v = def
		}
	}
	n := func(v *int, def int) {
		if *v == 0 {
			*v = def
		}
	}
	n(&s.Nodes, 100)
	n(&s.Sample, 60)
	n(&s.CPUs, 96)
	n(&s.Services, 12)
	f(&s.Hours, 24)
	f(&s.Request, 0.6)
	f(&s.LS, 0.2)
	f(&s.Swing, 0.5)
	f(&s.BE, 0.4)
	f(&s.Seconds, 60)
	s.BE, s.Swing = max(0, s.BE), max(0, s.Swing)
	return s
}

func (s *Shape) validate() error {
	for _, c := range []struct {
		name         string
		v, low, high float64
	}{
		{"nodes", float64(s.Nodes), 1, 1e6},
		{"hours", s.Hours, 0.1, 24 * 366},
		{"sample", float64(s.Sample), 1, 3600},
		{"cpus", float64(s.CPUs), 1, 4096},
		{"services", float64(s.Services), 1, 1000},
		{"request", s.Request, 0.01, 2},
		{"ls", s.LS, 0.001, 1},
		{"swing", s.Swing, 0, 1},
		{"be", s.BE, 0, 2},
		{"seconds", s.Seconds, 1, 86400},
	} {
		if !(c.v >= c.low && c.v <= c.high) {
			return fmt.Errorf("generate: %s %v: want %v to %v", c.name, c.v, c.low, c.high)
		}
	}
	if n := float64(s.Nodes) * float64(s.Services) * s.Hours * 3600 / float64(s.Sample); n > mostSamples {
		return fmt.Errorf("generate: %.2g samples take %.0f GiB: want fewer nodes, services or hours, or a longer time between samples", n, n*4/(1<<30))
	}
	if s.LS >= s.Request {
		return fmt.Errorf("generate: ls %v: want below request %v, of which it is a part", s.LS, s.Request)
	}
	return nil
}

// mostSamples bounds what is held in memory, at four bytes a sample.
const mostSamples = 1 << 32

// Generate makes a fleet: the same shape gives the same fleet. Its figures are
// such as the trace's files can hold, so that it can be written and read back.
func Generate(s Shape) (*Fleet, error) {
	s = s.defaults()
	if err := s.validate(); err != nil {
		return nil, err
	}
	f := &Fleet{Sample: s.Sample}
	f.Seconds = max(1, int(math.Round(s.Hours*3600/float64(s.Sample)))) * s.Sample
	apps := s.apps(f)
	for i := range s.Nodes {
		m := Machine{ID: fmt.Sprintf("m_%d", i+1), CPUs: float64(s.CPUs), Memory: 100}
		f.Machines = append(f.Machines, m)
		s.services(f, i, apps)
	}
	if s.BE > 0 {
		s.jobs(f)
	}
	return f, nil
}

func stream(seed uint64, name string) *rand.Rand { return rand.New(rand.NewPCG(seed, name64(name))) }

const day = 86400

// app is a group of services that serve the same users.
type app struct {
	name  string
	mean  float64 // use, as a share of its request
	swing float64
	peak  float64 // time of day, s
	surge []surge
}

// surge is a time of more load on a whole app.
type surge struct{ from, to, factor float64 }

// apps makes one for about 20 services.
func (s *Shape) apps(f *Fleet) []app {
	r := stream(s.Seed, "apps")
	out := make([]app, max(1, s.Nodes*s.Services/20))
	for i := range out {
		a := app{name: fmt.Sprintf("app_%d", i+1)}
		a.mean = min(0.8, math.Exp(0.4*r.NormFloat64()-0.08)*s.LS/s.Request)
		a.swing = min(0.95, max(0, s.Swing*(1+0.25*r.NormFloat64())))
		a.peak = (20 + 1.5*r.NormFloat64()) * 3600
		for t := r.ExpFloat64() * day / 2; t < float64(f.Seconds); t += r.ExpFloat64() * day / 2 {
			a.surge = append(a.surge, surge{t, t + 600 + 1800*r.Float64(), 1.3 + 0.7*r.Float64()})
		}
		out[i] = a
	}
	return out
}

// at gives the app's use at a time, as a share of its request.
func (a *app) at(t float64) float64 {
	x := a.mean * (1 + a.swing*math.Cos(2*math.Pi*(t-a.peak)/day))
	for _, s := range a.surge {
		if t >= s.from && t < s.to {
			x *= s.factor
		}
	}
	return x
}

// services fills one node.
func (s *Shape) services(f *Fleet, machine int, apps []app) {
	r := stream(s.Seed, "services of "+f.Machines[machine].ID)
	weight := make([]float64, s.Services)
	sum := 0.0
	for i := range weight {
		weight[i] = math.Exp(0.6 * r.NormFloat64())
		sum += weight[i]
	}
	cores := s.Request * float64(s.CPUs) * (0.7 + 0.6*r.Float64())
	memory := 45 + 20*r.Float64() // of 100, in use by services
	for _, w := range weight {
		a := &apps[r.IntN(len(apps))]
		request := max(1, math.Round(cores*w/sum*2)/2)
		limit := request * []float64{1, 1.5, 2}[r.IntN(3)]
		use := 0.7 + 0.2*r.Float64()
		v := Service{
			ID: fmt.Sprintf("c_%d", len(f.Services)+1), App: a.name, Machine: machine,
			Request: request, Limit: limit, Memory: math.Round(memory*w/sum/use*100) / 100,
		}
		v.CPU, v.Mem = make([]uint16, f.samples()), make([]uint16, f.samples())
		drift := 0.0
		for k := range v.CPU {
			drift = 0.9*drift + 0.05*r.NormFloat64()
			x := a.at(float64(k*f.Sample)) * (1 + drift)
			v.CPU[k] = percent(min(x, 0.95*limit/request))
			v.Mem[k] = percent(use + 0.01*r.NormFloat64())
		}
		f.Services = append(f.Services, v)
	}
}

// percent rounds to a whole one, as the trace has it; 101 % means there that a
// value is missing.
func percent(x float64) uint16 {
	p := math.Round(min(max(x, 0), 6) * 100)
	if p == 101 {
		p = 102
	}
	return uint16(p) * 100
}

// jobs makes batch work until its CPU time is what was asked for, and then lets
// it arrive as a Poisson process that is busiest at 3 at night.
func (s *Shape) jobs(f *Fleet) {
	r := stream(s.Seed, "jobs")
	want := s.BE * f.Cores() * float64(f.Seconds)
	for sum := 0.0; sum < want; {
		sum += s.job(f, r)
	}
	at := make([]float64, len(f.Jobs))
	for i := range at {
		at[i] = r.Float64()
	}
	slices.Sort(at)
	k, below, step := 0, 0.0, 60.0
	total := 0.0
	for t := 0.0; t < float64(f.Seconds); t += step {
		total += night(t)
	}
	for t := 0.0; t < float64(f.Seconds) && k < len(at); t += step {
		w := night(t) / total
		for ; k < len(at) && (at[k] < below+w || t+step >= float64(f.Seconds)); k++ {
			start := int32(min(t+step*(at[k]-below)/w, float64(f.Seconds-1)))
			for i := f.Jobs[k].First; i < f.Jobs[k].First+f.Jobs[k].Count; i++ {
				f.Tasks[i].Start = start
			}
		}
		below += w
	}
}

// night is how much batch work is begun by the time of day.
func night(t float64) float64 { return 1 + 0.3*math.Cos(2*math.Pi*(t-3*3600)/day) }

// job makes one and gives its CPU time. Half of them are a single task.
func (s *Shape) job(f *Fleet, r *rand.Rand) (work float64) {
	j := Job{Name: fmt.Sprintf("j_%d", len(f.Jobs)+1), First: int32(len(f.Tasks)), Count: 1}
	if r.Float64() < 0.5 {
		j.Count = int32(min(20, 2+math.Floor(3*r.ExpFloat64())))
	}
	for i := range j.Count {
		t := Task{
			Job: int32(len(f.Jobs)), Instances: instances(r), CPU: []float64{0.5, 1, 1, 2}[r.IntN(4)],
			Seconds: math.Round(min(7200, max(5, s.Seconds*math.Exp(r.NormFloat64())))),
			Memory:  math.Round(20+40*r.Float64()) / 100,
		}
		if i > 0 && r.Float64() < 0.8 {
			t.Deps = append(t.Deps, j.First+r.Int32N(i))
			if i > 1 && r.Float64() < 0.3 {
				t.Deps = append(t.Deps, j.First+r.Int32N(i))
			}
			slices.Sort(t.Deps)
			t.Deps = slices.Compact(t.Deps)
		}
		work += t.Work() * float64(t.Instances)
		f.Tasks = append(f.Tasks, t)
	}
	f.Jobs = append(f.Jobs, j)
	return work
}

// instances has a power-law tail from 4 to 1000.
func instances(r *rand.Rand) int32 {
	const low, high, alpha = 4, 1000, 1.1
	u := r.Float64()
	cut := 1 - math.Pow(float64(low)/high, alpha)
	return int32(min(high, math.Floor(low*math.Pow(1-u*cut, -1/alpha))))
}
