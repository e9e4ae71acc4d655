package sim

import (
	"math"
	"slices"
)

// Schema is the version of a Report's JSON form.
const Schema = 1

// Report is what a run gives. All shares are between 0 and 1, all figures
// rounded to six digits after the point; times are in seconds.
type Report struct {
	Schema    int        `json:"schema"`
	Fleet     FleetInfo  `json:"fleet"`
	Model     Model      `json:"model"`
	Scenarios []Scenario `json:"scenarios"`
}

// FleetInfo sums up the input.
type FleetInfo struct {
	Nodes     int     `json:"nodes"`
	Cores     float64 `json:"cores"`
	Services  int     `json:"services"`
	Jobs      int     `json:"jobs"`
	Tasks     int     `json:"tasks"`
	Instances int     `json:"instances"`
	// Work is the CPU time that all instances take, as a share of the fleet's.
	Work    float64 `json:"work_share"`
	Request float64 `json:"service_request_share"` // of the fleet's CPUs, by all services
	Seconds int     `json:"seconds"`
	Sample  int     `json:"sample_seconds"`
}

// Model gives the options that were in force.
type Model struct {
	Seed         uint64  `json:"seed"`
	Tick         float64 `json:"tick_seconds"`
	Schedule     float64 `json:"schedule_seconds"`
	Bin          float64 `json:"bin_seconds"`
	Noise        float64 `json:"noise"`
	BurstEvery   float64 `json:"burst_every_seconds"`
	BurstFactor  float64 `json:"burst_factor"`
	Service      float64 `json:"service_seconds"`
	SLO          float64 `json:"slo"`
	Timeout      float64 `json:"timeout_seconds"`
	Interference float64 `json:"interference"`
	Yield        float64 `json:"yield_seconds"`
	Slice        float64 `json:"slice_seconds"`
	Pack         float64 `json:"pack"`
	Bundle       int     `json:"bundle"`
	Starve       float64 `json:"starve_seconds"`
}

// Scenario is what became of the fleet under one policy.
type Scenario struct {
	Name   string `json:"name"`
	About  string `json:"about"`
	CPU    Use    `json:"cpu"`
	Memory Mean   `json:"memory"`
	LS     LS     `json:"ls"`
	BE     BE     `json:"be"`
	Series Series `json:"series"`
	Nodes  Nodes  `json:"nodes"`
}

// Mean is one share.
type Mean struct {
	Mean float64 `json:"mean"`
}

// Use is CPU use, as a share of the fleet.
type Use struct {
	Mean float64 `json:"mean"`
	LS   float64 `json:"ls"`
	BE   float64 `json:"be"`
	// Percentiles over all ticks of all nodes, to one hundredth, rounded down.
	P5  float64 `json:"p5"`
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	// Reclaimable is what LS left.
	Reclaimable float64 `json:"reclaimable"`
}

// LS is how the services fared.
type LS struct {
	Violation float64 `json:"violation"` // share of service-seconds with the p99 beyond the objective
	Throttled float64 `json:"throttled"` // share of enforcement periods of limited services that ran out of quota
	Lost      float64 `json:"lost"`      // share of the work that was given up
	Grants    uint64  `json:"credit_grants"`
}

// BE is how batch work fared. Instances that were evicted are queued again.
type BE struct {
	Arrived   int     `json:"instances_arrived"`
	Done      int     `json:"instances_done"`
	Running   int     `json:"instances_running"`
	Waiting   int     `json:"instances_waiting"` // also those whose task waits for another
	Evicted   int     `json:"evicted"`           // for memory
	Starved   int     `json:"starved"`
	JobsDone  int     `json:"jobs_done"`
	JobsOpen  int     `json:"jobs_open"`
	Span      float64 `json:"job_seconds_mean"` // of the jobs that are done, from their start to the end of the last task
	Work      float64 `json:"core_seconds_done"`
	Wasted    float64 `json:"core_seconds_wasted"` // done by what was evicted
	Filled    float64 `json:"filled"`              // CPU used, as a share of what LS left
	QueueWait float64 `json:"queue_seconds_mean"`  // of an instance until it was placed
	Capped    float64 `json:"capped"`              // share of node-time in which a cap held work back
}

// Series are means over the fleet in each bin of time.
type Series struct {
	LS        []float64 `json:"cpu_ls"`
	BE        []float64 `json:"cpu_be"`
	Violation []float64 `json:"violation"`
}

// Nodes are figures of single nodes, each sorted, at 101 points from the lowest
// to the highest: their distribution.
type Nodes struct {
	CPU       []float64 `json:"cpu"`
	Violation []float64 `json:"violation"`
}

func (r *runner) report() *Report {
	f, o := r.fleet, r.o
	rep := &Report{Schema: Schema, Fleet: f.info(), Model: Model{
		Seed: o.Seed, Tick: o.Tick.Seconds(), Schedule: o.Schedule.Seconds(), Bin: o.Bin.Seconds(), Noise: o.Noise,
		BurstEvery: max(0, o.BurstEvery.Seconds()), BurstFactor: o.BurstFactor, Service: o.Service.Seconds(), SLO: o.SLO,
		Timeout: o.Timeout.Seconds(), Interference: o.Interference, Yield: o.Yield.Seconds(), Slice: o.Slice.Seconds(),
		Pack: o.Pack, Bundle: o.Bundle, Starve: o.Starve.Seconds(),
	}}
	for _, w := range r.worlds {
		rep.Scenarios = append(rep.Scenarios, w.scenario())
	}
	return rep
}

func (f *Fleet) info() FleetInfo {
	i := FleetInfo{
		Nodes: len(f.Machines), Cores: f.Cores(), Services: len(f.Services), Jobs: len(f.Jobs), Tasks: len(f.Tasks), Seconds: f.Seconds, Sample: f.Sample,
	}
	work, request := 0.0, 0.0
	for k := range f.Tasks {
		t := &f.Tasks[k]
		i.Instances += int(t.Instances)
		work += t.Work() * float64(t.Instances)
	}
	for k := range f.Services {
		request += f.Services[k].Request
	}
	i.Work, i.Request = six(work/(i.Cores*float64(f.Seconds))), six(request/i.Cores)
	return i
}

// scenario sums a world, node by node in their order.
func (w *world) scenario() Scenario {
	var sum tally
	var led ledger
	var memory, wait float64
	uses, bad := make([]float64, 0, len(w.nodes)), make([]float64, 0, len(w.nodes))
	hist := make([]uint64, len(sum.use))
	cores := w.fleet.Cores()
	length := float64(w.fleet.Seconds)
	for i := range w.nodes {
		n := &w.nodes[i]
		t := &n.tally
		for k, c := range t.use {
			hist[k] += uint64(c)
		}
		sum.add(t)
		led.arrived += n.ledger.arrived
		led.lost += n.ledger.lost
		memory += t.memory / float64(max(1, t.ticks))
		uses = append(uses, (t.ls+t.be)/(n.cpus*length))
		bad = append(bad, float64(t.violated)/float64(max(1, t.serviced)))
	}
	s := &w.sched
	if s.placed > 0 {
		wait = s.wait / float64(s.placed)
	}
	return Scenario{
		Name: w.name, About: w.about, Memory: Mean{six(memory / float64(len(w.nodes)))},
		CPU: Use{
			Mean: six((sum.ls + sum.be) / (cores * length)), LS: six(sum.ls / (cores * length)), BE: six(sum.be / (cores * length)),
			P5: percentile(hist, 0.05), P50: percentile(hist, 0.5), P95: percentile(hist, 0.95), P99: percentile(hist, 0.99),
			Reclaimable: six(sum.reclaimable / (cores * length)),
		},
		LS: LS{
			Violation: six(float64(sum.violated) / float64(max(1, sum.serviced))), Throttled: six(share(sum.throttled, sum.enforced)),
			Lost: six(share(led.lost, led.arrived)), Grants: sum.grants,
		},
		BE: BE{
			Arrived: s.arrived, Done: s.done, Running: s.running, Waiting: s.waiting + s.blocked, Evicted: s.evictions, Starved: s.starvations,
			JobsDone: s.jobsDone, JobsOpen: s.jobsOpen, Work: six(s.finished), Wasted: six(s.wasted), Filled: six(share(sum.be, sum.reclaimable)),
			Span: six(s.spans / float64(max(1, s.jobsDone))), QueueWait: six(wait), Capped: six(float64(sum.capped) / float64(max(1, sum.ticks))),
		},
		Series: w.timeline(cores), Nodes: Nodes{CPU: spread(uses), Violation: spread(bad)},
	}
}

func (t *tally) add(o *tally) {
	t.ticks += o.ticks
	t.ls += o.ls
	t.be += o.be
	t.reclaimable += o.reclaimable
	t.violated += o.violated
	t.serviced += o.serviced
	t.throttled += o.throttled
	t.enforced += o.enforced
	t.grants += o.grants
	t.capped += o.capped
}

func (w *world) timeline(cores float64) Series {
	s := Series{LS: make([]float64, len(w.series)), BE: make([]float64, len(w.series)), Violation: make([]float64, len(w.series))}
	for i, p := range w.series {
		s.LS[i], s.BE[i], s.Violation[i] = six(p.ls/cores), six(p.be/cores), six(share(p.violated, p.services))
	}
	return s
}

// percentile reads a histogram by hundredths.
func percentile(hist []uint64, q float64) float64 {
	var all, below uint64
	for _, c := range hist {
		all += c
	}
	for i, c := range hist {
		if below += c; float64(below) >= q*float64(all) {
			return float64(i) / 100
		}
	}
	return 1
}

// spread gives 101 points of a distribution.
func spread(v []float64) []float64 {
	slices.Sort(v)
	out := make([]float64, 101)
	for i := range out {
		out[i] = six(v[i*(len(v)-1)/100])
	}
	return out
}

func share(a, b float64) float64 {
	if !(b > 0) {
		return 0
	}
	return a / b
}

func six(v float64) float64 { return math.Round(v*1e6) / 1e6 }
