package module

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/sim"
	"github.com/anole-os/anole/qos/sim/trace"
)

type simulateFlags struct {
	shape   sim.Shape
	model   sim.Options
	policy  string
	compare []string
	trace   string
	from    time.Duration
	sample  time.Duration
	write   string
	plot    string
	bursts  time.Duration
	noise   float64
	meddle  float64
}

func simulateCommand() *cobra.Command {
	var f simulateFlags
	c := &cobra.Command{
		Use:   "simulate",
		Short: "What a policy makes of a fleet and a day, in simulated time, by the agent's own controllers",
		Long: `Runs a fleet of nodes with services and batch work in simulated time. The
controllers are those of the agent, under the policy of --policy; beside it, on
the same load, run the policies of --compare and two baselines: no co-location,
and batch work that nothing holds back.

The load is made from a seed, or read from a trace in the schema of Alibaba's
cluster trace v2018 (--trace). The same seed gives the same report, byte for
byte, on any number of CPUs. What the model has and what it leaves out is in
the documentation of package qos/sim.`,
		Example: "  anole qos simulate --nodes 1000 --hours 24 --plot day.svg\n" +
			"  anole qos simulate --policy tight.yaml --compare loose.yaml -o json\n" +
			"  anole qos simulate --trace /data/cluster-trace-v2018 --from 24h --nodes 500",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return simulate(cmd, &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.policy, "policy", "", "policy `file`, as for \"anole qos apply\"; the default policy without")
	fl.StringSliceVar(&f.compare, "compare", nil, "further policy `files` to run on the same load")
	fl.BoolVar(&f.model.NoBaselines, "no-baselines", false, "leave out the two ways of doing without a policy")
	fl.Uint64Var(&f.shape.Seed, "seed", 1, "seed of load, noise and bursts")
	fl.IntVar(&f.shape.Nodes, "nodes", 100, "nodes; of a trace the first ones, 0 for all")
	fl.Float64Var(&f.shape.Hours, "hours", 24, "length")
	fl.StringVar(&f.trace, "trace", "", "read the load from a trace in this `directory`")
	fl.DurationVar(&f.from, "from", 0, "begin so long after the beginning of the trace")
	fl.StringVar(&f.write, "write-trace", "", "write the load as a trace into this `directory`, and do not simulate")
	fl.StringVar(&f.plot, "plot", "", "draw into this `file`: .svg or .html")
	fl.DurationVar(&f.sample, "sample", time.Minute, "time between two samples of a service's load")
	fl.IntVar(&f.shape.CPUs, "cpus", 96, "load from seed: CPUs of a node")
	fl.IntVar(&f.shape.Services, "services", 12, "load from seed: services on a node")
	fl.Float64Var(&f.shape.Request, "request", 0.6, "load from seed: CPUs that services ask for, as a share")
	fl.Float64Var(&f.shape.LS, "ls", 0.2, "load from seed: mean use by services, as a share")
	fl.Float64Var(&f.shape.BE, "be", 0.4, "load from seed: batch work that arrives, as a share")
	fl.Float64Var(&f.shape.Swing, "swing", 0.5, "load from seed: daily amplitude of services, as a share of their mean")
	fl.DurationVar(&f.model.Tick, "tick", time.Second, "length of a tick; with 100ms the controllers keep the agent's pace")
	fl.Float64Var(&f.noise, "noise", 0.08, "deviation of a service's use from its samples, as a share")
	fl.DurationVar(&f.bursts, "burst-every", 10*time.Minute, "mean time between bursts of a service; 0 is none")
	fl.DurationVar(&f.model.Service, "service-time", time.Millisecond, "mean CPU time of a request")
	fl.Float64Var(&f.model.SLO, "slo", 2, "objective of a request's p99, in units of its p99 on an idle node")
	fl.Float64Var(&f.meddle, "interference", 0.1, "by how much a request grows dearer on a node full of batch work, as a share")
	fl.Float64Var(&f.model.Pack, "pack", 0.95, "share of a node that placement fills")
	return c
}

func simulate(cmd *cobra.Command, f *simulateFlags) error {
	env := core.EnvFrom(cmd.Context())
	if err := f.check(); err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	if err := f.policies(cmd); err != nil {
		return core.Exit(core.ExitUsage, err)
	}
	fleet, sum, err := f.fleet(cmd)
	if err != nil {
		return err
	}
	if f.write != "" {
		if err := trace.Write(cmd.Context(), fleet, f.write); err != nil {
			return err
		}
		return tell(env, map[string]any{"trace": f.write, "nodes": len(fleet.Machines), "hours": float64(fleet.Seconds) / 3600},
			"%s: %d nodes, %.4g h; simulate it with --trace %s\n", f.write, len(fleet.Machines), float64(fleet.Seconds)/3600, f.write)
	}
	bar := term.NewProgress(env.Err, "simulate", 1000)
	f.model.Progress = func(done, total int) { bar.Set(int64(done) * 1000 / int64(total)) }
	r, err := sim.Run(cmd.Context(), fleet, f.model)
	bar.Done()
	var bad *sim.OptionsError
	if errors.As(err, &bad) {
		return core.Exit(core.ExitUsage, err)
	}
	if err != nil {
		return err
	}
	if err := f.draw(r); err != nil {
		return err
	}
	if env.JSON {
		return env.PrintJSON(simulation{Report: r, Trace: sum})
	}
	return writeSimulation(env.Out, r, sum)
}

// simulation is the output of simulate -o json.
type simulation struct {
	*sim.Report
	Trace *trace.Summary `json:"trace,omitempty"`
}

// check looks at what flags cannot mean, alone and together, and puts them into
// the library's options.
func (f *simulateFlags) check() error {
	switch ext := filepath.Ext(f.plot); {
	case f.plot != "" && ext != ".svg" && ext != ".html":
		return fmt.Errorf("--plot %s: want a name that ends in .svg or .html", f.plot)
	case f.sample < time.Second || f.sample%time.Second != 0:
		return fmt.Errorf("--sample %v: want whole seconds", f.sample)
	case f.from%time.Second != 0 || f.from < 0:
		return fmt.Errorf("--from %v: want whole seconds", f.from)
	case f.trace == "" && f.from != 0:
		return errors.New("--from: only with --trace")
	case f.trace != "" && f.write != "":
		return errors.New("--write-trace: only without --trace")
	case f.trace == "" && f.shape.Nodes < 1:
		return fmt.Errorf("--nodes %d: want at least 1", f.shape.Nodes)
	}
	if dir := filepath.Dir(f.plot); f.plot != "" {
		if st, err := os.Stat(dir); err != nil || !st.IsDir() {
			return fmt.Errorf("--plot: %s: want a directory that is there", dir)
		}
	}
	if err := f.signs(); err != nil {
		return err
	}
	f.model.Seed = f.shape.Seed
	f.shape.Sample = int(f.sample / time.Second)
	f.shape.BE, f.shape.Swing = orNone(f.shape.BE), orNone(f.shape.Swing)
	f.model.Noise, f.model.Interference, f.model.BurstEvery = orNone(f.noise), orNone(f.meddle), orNone(f.bursts)
	return nil
}

// signs holds each number to its side of 0.
func (f *simulateFlags) signs() error {
	for name, v := range map[string]float64{
		"hours": f.shape.Hours, "cpus": float64(f.shape.CPUs), "services": float64(f.shape.Services), "request": f.shape.Request, "ls": f.shape.LS,
		"tick": f.model.Tick.Seconds(), "service-time": f.model.Service.Seconds(), "slo": f.model.SLO, "pack": f.model.Pack,
	} {
		if !(v > 0) {
			return fmt.Errorf("--%s %v: want above 0", name, v)
		}
	}
	for name, v := range map[string]float64{
		"be": f.shape.BE, "swing": f.shape.Swing, "noise": f.noise, "burst-every": f.bursts.Seconds(), "interference": f.meddle,
	} {
		if !(v >= 0) {
			return fmt.Errorf("--%s %v: want 0 or above", name, v)
		}
	}
	return nil
}

// orNone turns 0 into what the library takes for none: its 0 is the default.
func orNone[T float64 | time.Duration](v T) T {
	if v == 0 {
		return -1
	}
	return v
}

// policies reads the files.
func (f *simulateFlags) policies(cmd *cobra.Command) error {
	f.model.Policies = []sim.Contender{{Name: "default policy", Policy: qos.DefaultPolicy()}}
	files := f.compare
	if f.policy != "" {
		f.model.Policies = nil
		files = append([]string{f.policy}, files...)
	}
	for _, file := range files {
		src, name, err := readFile(cmd, file)
		if err != nil {
			return err
		}
		p, err := qos.ParsePolicy(src, name)
		if err != nil {
			return err
		}
		f.model.Policies = append(f.model.Policies, sim.Contender{Name: strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)), Policy: p})
	}
	return nil
}

// fleet makes or reads the load.
func (f *simulateFlags) fleet(cmd *cobra.Command) (*sim.Fleet, *trace.Summary, error) {
	if f.trace == "" {
		fleet, err := sim.Generate(f.shape)
		if err != nil {
			err = core.Exit(core.ExitUsage, err)
		}
		return fleet, nil, err
	}
	nodes := f.shape.Nodes
	if !cmd.Flags().Changed("nodes") {
		nodes = 0
	}
	var bar *term.Progress
	var at string
	defer func() {
		if bar != nil {
			bar.Done()
		}
	}()
	fleet, sum, err := trace.Read(cmd.Context(), trace.Options{
		Dir: f.trace, From: int(f.from / time.Second), Hours: f.shape.Hours, Sample: f.shape.Sample, Nodes: nodes,
		Progress: func(table string, read, size int64) {
			if table != at {
				if bar != nil {
					bar.Done()
				}
				at, bar = table, term.NewProgress(core.EnvFrom(cmd.Context()).Err, table, size)
			}
			bar.Set(read)
		},
	})
	if err != nil && cmd.Context().Err() == nil {
		err = core.Exit(core.ExitUsage, err) // as for a recording
	}
	return fleet, sum, err
}

func (f *simulateFlags) draw(r *sim.Report) error {
	if f.plot == "" {
		return nil
	}
	page := r.SVG()
	if filepath.Ext(f.plot) == ".html" {
		page = r.HTML()
	}
	if err := os.WriteFile(f.plot, []byte(page), 0o644); err != nil {
		return fmt.Errorf("draw plot: %w", err)
	}
	return nil
}

func writeSimulation(w io.Writer, r *sim.Report, sum *trace.Summary) error {
	i := r.Fleet
	fmt.Fprintf(w, "%d nodes, %.0f CPUs, %.4g h: %d services that ask for %.0f %% of the CPUs, %d jobs of %d instances that take %.0f %%\n\n",
		i.Nodes, i.Cores, float64(i.Seconds)/3600, i.Services, i.Request*100, i.Jobs, i.Instances, i.Work*100)
	t := term.NewTable(sim.Columns()...)
	for k := range r.Scenarios {
		row := r.Scenarios[k].Row()
		cells := make([]any, len(row))
		for c := range row {
			cells[c] = row[c]
		}
		t.Row(cells...)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nLS violation: share of the services' time with their p99 beyond the objective. Throttled: of enforcement periods, services' alone.\nQueue: of an instance until it was placed. Job: from start to end, mean. Idle filled: share of what services leave.")
	if sum != nil {
		writeTrace(w, sum)
	}
	return nil
}

// writeTrace says what a trace itself recorded, and what of it was left out.
func writeTrace(w io.Writer, s *trace.Summary) {
	if s.CPU > 0 {
		fmt.Fprintf(w, "The trace recorded %.1f %% CPU and %.1f %% memory in use on these machines.\n", s.CPU*100, s.Memory*100)
	}
	for _, x := range []struct {
		n    int
		what string
	}{
		{s.WithoutUse, "containers without usage in this time are left out"},
		{s.WithoutRequest, "containers without a CPU request are left out"},
		{s.OtherMachines, "containers on other machines are left out"},
		{s.Moved, "rows move a container to another machine; it stays"},
		{s.WithoutDuration, "tasks without an end are left out"},
		{s.WithoutDemand, "tasks without a plan are taken to ask for one core"},
		{s.MissingDeps, "tasks' dependencies are on tasks that are not there"},
	} {
		if x.n > 0 {
			fmt.Fprintf(w, "%d %s.\n", x.n, x.what)
		}
	}
}
