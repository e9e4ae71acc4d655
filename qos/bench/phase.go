package bench

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/anole-os/anole/qos/load"
)

// phase is one measured stretch of the mixed workload: an LS service under an
// open-loop Poisson load, and best-effort burners.
type phase struct {
	name   string
	ls, be string // cgroups; "" leaves that part out
	// policy, when set, is that of an agent which runs for the phase.
	protected bool
	policy    string
	rate      float64
	duration  time.Duration
	seed      uint64
	threads   int // of the burners
	progress  func(done float64)
}

// outcome is what a phase measured.
type outcome struct {
	load.Result
	usage   load.Usage
	beUnits float64       // units of best-effort work a second
	lsCPU   time.Duration // of the LS group, over window
	beCPU   time.Duration // of the best-effort group
	agent   time.Duration // of the agent
	window  time.Duration
}

const warmup = time.Second

// maxLateness is how late the generator may be at its p99 for a round to say
// anything about the service.
const maxLateness = time.Millisecond

// mixed runs a phase. check says why its round is worthless, if it is.
func (r *rig) mixed(ctx context.Context, p phase) (o outcome, check, err error) {
	own := load.MeterOptions{PIDs: []int{os.Getpid()}}
	var a *agent
	if p.protected {
		if a, err = r.agent(p.policy); err != nil {
			return o, nil, err
		}
		defer a.stop()
		own.PIDs = append(own.PIDs, a.pid())
	}
	var svc *group
	url := ""
	if p.ls != "" {
		if svc, err = r.group(p.ls); err != nil {
			return o, nil, err
		}
		defer r.drop(svc)
		c, u, err := r.service(svc, load.ServiceOptions{})
		if err != nil {
			return o, nil, err
		}
		defer c.kill()
		url = u
		own.Cgroups = append(own.Cgroups, svc.meterDir())
	}
	var work *burner
	var g *group
	if p.be != "" {
		if g, err = r.group(p.be); err != nil {
			return o, nil, err
		}
		defer r.drop(g)
		if work, err = r.burner(g, p.threads); err != nil {
			return o, nil, err
		}
		defer work.kill()
		own.Cgroups = append(own.Cgroups, g.meterDir())
	}
	// The agent's tracer loads, the burners spread: not part of any phase.
	if err := pause(ctx, warmup/2); err != nil {
		return o, nil, err
	}
	before := g.used()
	beganAt := time.Now()
	var agentBefore time.Duration
	if a != nil {
		agentBefore = a.cpu()
	}
	o, check, err = r.measure(ctx, p, url, own, svc, work)
	if scale := o.window.Seconds() / time.Since(beganAt).Seconds(); err == nil {
		o.beCPU = time.Duration(float64(g.used()-before) * scale)
		if a != nil {
			o.agent = time.Duration(float64(a.cpu()-agentBefore) * scale)
		}
	}
	return o, check, err
}

// measure runs the generator, or just waits, and samples around it.
func (r *rig) measure(ctx context.Context, p phase, url string, own load.MeterOptions, svc *group, work *burner) (o outcome, check, err error) {
	var gen *child
	if url != "" {
		gen, err = r.start(nil, "generate", load.GenOptions{
			URL: url, Rate: p.rate, Duration: p.duration, Warmup: warmup, Seed: p.seed, SchedFIFO: true, Timeout: 30 * time.Second,
		})
		if err != nil {
			return o, nil, err
		}
		defer gen.kill()
		own.PIDs = append(own.PIDs, gen.pid())
	}
	if err := pause(ctx, warmup); err != nil {
		return o, nil, err
	}
	m, err := load.OpenMeter(own)
	if err != nil {
		return o, nil, err
	}
	began := time.Now()
	units, used := work.done(), svc.used()
	if err := r.await(ctx, p, began); err != nil {
		return o, nil, err
	}
	if o.usage, err = m.Sample(); err != nil {
		return o, nil, err
	}
	o.window = time.Since(began)
	o.beUnits = (work.done() - units) / o.window.Seconds()
	o.lsCPU = svc.used() - used
	check = r.Limits.Check(o.usage)
	if gen == nil {
		return o, check, nil
	}
	if err := gen.read(&o.Result); err != nil {
		return o, nil, err
	}
	return o, firstOf(check, o.faulty()), nil
}

func (r *rig) await(ctx context.Context, p phase, began time.Time) error {
	for {
		left := p.duration - time.Since(began)
		if p.progress != nil {
			p.progress(min(1, 1-left.Seconds()/p.duration.Seconds()))
		}
		if left <= 0 {
			return nil
		}
		if err := pause(ctx, min(left, 100*time.Millisecond)); err != nil {
			return err
		}
	}
}

// faulty says what in the round was the generator's own fault.
func (o *outcome) faulty() error {
	switch {
	case o.Scheduler != "fifo":
		return fmt.Errorf("the generator could not get a real-time priority: %s", o.SchedulerError)
	case o.Lateness.P99 > maxLateness:
		return fmt.Errorf("the generator itself was late: p99 %v", o.Lateness.P99)
	}
	return nil
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *burner) done() float64 {
	if b == nil {
		return 0
	}
	return b.units()
}

func (g *group) used() time.Duration {
	if g == nil {
		return 0
	}
	return g.usage()
}
