package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/qos/load"
)

// DemoOptions describe a demo. The zero value of all but Options works.
type DemoOptions struct {
	Options
	Duration time.Duration // of each phase; 8 s when 0
	Rate     float64       // requests a second; 150 a CPU when 0
	// Progress is told the phase and how much of it is done, 0 to 1.
	Progress func(phase string, done float64)
}

// DemoPhase is one line of the demo's table. Latencies are in nanoseconds.
type DemoPhase struct {
	Name     string        `json:"name"`
	Requests int64         `json:"requests"`
	P50      time.Duration `json:"p50_ns"`
	P99      time.Duration `json:"p99_ns"`
	P999     time.Duration `json:"p999_ns"`
	// BEWork is best-effort work done, as a share of the idle capacity: what
	// the burners alone do in a second, less the share of the node that the
	// service and its clients used.
	BEWork  float64 `json:"be_work"`
	NodeCPU float64 `json:"node_cpu"` // share of all CPUs
	// Note says what disturbed the phase, "" if nothing did.
	Note string `json:"note,omitempty"`
}

// Phases of the demo.
const (
	Solo        = "solo"
	Unprotected = "unprotected"
	Protected   = "protected"
)

func demoPhases(o DemoOptions, cpus int) []phase {
	pid := os.Getpid()
	a, b := fmt.Sprintf("/anole-demo-a-%d", pid), fmt.Sprintf("/anole-demo-b-%d", pid)
	threads := 2 * cpus
	return []phase{
		{name: "best effort alone", be: b, threads: threads, duration: o.Duration / 2},
		{name: Solo, ls: a, rate: o.Rate, duration: o.Duration},
		{name: Unprotected, ls: a, be: b, threads: threads, rate: o.Rate, duration: o.Duration},
		{name: Protected, ls: fmt.Sprintf("/anole-ls/demo-%d", pid), be: fmt.Sprintf("/anole-be/demo-%d", pid), threads: threads, protected: true, rate: o.Rate, duration: o.Duration},
	}
}

// Demo measures an LS service alone, beside best-effort work in an equal group,
// and beside the same work with an agent. A disturbed phase is marked, not
// repeated: it is a demo.
func Demo(ctx context.Context, o DemoOptions) ([]DemoPhase, error) {
	r, err := openRig(o.Options)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if o.Duration == 0 {
		o.Duration = 8 * time.Second
	}
	if o.Rate == 0 {
		o.Rate = 150 * float64(r.cpus)
	}
	var out []DemoPhase
	alone := 0.0
	for _, p := range demoPhases(o, r.cpus) {
		p.seed = 1
		if o.Progress != nil {
			p.progress = func(done float64) { o.Progress(p.name, done) }
		}
		m, check, err := r.mixed(ctx, p)
		if err != nil {
			return out, fmt.Errorf("%s: %w", p.name, err)
		}
		if p.ls == "" {
			alone = m.beUnits
			continue
		}
		d := DemoPhase{
			Name: p.name, Requests: m.Requests, P50: m.Latency.P50, P99: m.Latency.P99, P999: m.Latency.P999,
			NodeCPU: m.usage.Node / 100,
		}
		if p.be != "" {
			d.BEWork = beWork(m, alone, r.cpus)
		}
		if check != nil {
			d.Note = check.Error()
		}
		out = append(out, d)
	}
	return out, nil
}

// beWork is best-effort work as a share of the idle capacity.
func beWork(m outcome, alone float64, cpus int) float64 {
	node := m.window.Seconds() * float64(cpus)
	idle := 1 - (m.lsCPU+genShare(m.Result, m.window)).Seconds()/node
	if alone <= 0 || idle <= 0 {
		return 0
	}
	return m.beUnits / (alone * idle)
}

// genShare is the generator's CPU time within the window: its own figure
// covers warm-up and drain too.
func genShare(g load.Result, window time.Duration) time.Duration {
	total := g.Measured + warmup
	if total <= 0 {
		return 0
	}
	return time.Duration(float64(g.CPU) * window.Seconds() / total.Seconds())
}
