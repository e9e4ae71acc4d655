package module

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/burst"
)

type planFlags struct {
	cpus         string
	burst, stall time.Duration
	groups       int
	use          float64
	distribution string
	seed         uint64
	periods      int
	deep         bool
}

func planCommand() *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use:   "plan-burst --cpus N --burst DURATION",
		Short: "Plan CPU Burst: bank, bound on use in any window, worst stall, chance of overload",
		Long: `Prints period, quota and burst that give a group of --cpus CPUs a bank of
--burst CPU time on this kernel, the bound on its use in any window, the longest
wait when the bank is empty, and, by Monte Carlo over --groups such groups on
one node, how often they would ask for more than the node has.`,
		Example: "  anole qos plan-burst --cpus 0.3 --burst 300ms\n  anole qos plan-burst --cpus 2 --burst 1s --max-stall 200ms --groups 20 --use 0.7",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return plan(cmd, f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.cpus, "cpus", "", "long-run limit in CPUs, such as 0.3 or 300m")
	fl.DurationVar(&f.burst, "burst", 0, "CPU time to bank")
	fl.DurationVar(&f.stall, "max-stall", 0, "longest wait of a group whose bank is empty; 0 is no bound")
	fl.IntVar(&f.groups, "groups", 20, "Monte Carlo: groups on the node, each with an equal share as its limit; 0 leaves it out")
	fl.Float64Var(&f.use, "use", 0.7, "Monte Carlo: mean use of each group, as a share of its limit")
	fl.StringVar(&f.distribution, "demand", "exponential", "Monte Carlo: exponential or pareto")
	fl.Uint64Var(&f.seed, "seed", 1, "Monte Carlo: seed; the same seed gives the same figures")
	fl.IntVar(&f.periods, "periods", 200_000, "Monte Carlo: periods to draw")
	fl.BoolVar(&f.deep, "anck", false, "plan for a kernel whose burst may exceed the quota (ANCK) instead of this one")
	_ = c.MarkFlagRequired("cpus")
	_ = c.MarkFlagRequired("burst")
	return c
}

// planResult is the output of plan-burst -o json.
type planResult struct {
	Plan       burst.Plan      `json:"plan"`
	MonteCarlo *burst.MCResult `json:"monte_carlo,omitempty"`
}

func plan(cmd *cobra.Command, f planFlags) error {
	env := core.EnvFrom(cmd.Context())
	limit, err := burst.ParseCPUs(f.cpus)
	if err != nil {
		return core.Exit(core.ExitUsage, fmt.Errorf("--cpus: %w", err))
	}
	limits, cpus := qos.Kernel(env.Root)
	if f.deep {
		limits = burst.ANCK()
	}
	p, err := burst.NewPlan(burst.Spec{Limit: limit, Burst: f.burst, MaxStall: f.stall, CPUs: cpus, Limits: limits})
	if err != nil {
		return core.Exit(core.ExitUsage, fmt.Errorf("plan: %w", err))
	}
	out := planResult{Plan: p}
	if f.groups > 0 {
		if out.MonteCarlo, err = monteCarlo(cmd, f, p); err != nil {
			return err
		}
	}
	if env.JSON {
		return env.PrintJSON(out)
	}
	for _, line := range p.Explain() {
		fmt.Fprintln(env.Out, line)
	}
	if mc := out.MonteCarlo; mc != nil {
		fmt.Fprintf(env.Out, "\n%d such groups filling a node, %s demand, mean use %.0f %% of the limit:\n", f.groups, f.distribution, f.use*100)
		writeMonteCarlo(env.Out, mc)
	}
	return nil
}

func writeMonteCarlo(w io.Writer, r *burst.MCResult) {
	line := func(what string, e burst.Estimate, unit string, scale float64) {
		fmt.Fprintf(w, "  %-44s %.4g%s  (95 %%: %.4g to %.4g)\n", what, e.Mean*scale, unit, e.Low*scale, e.High*scale)
	}
	line("P(all together ask for more than the node)", r.Overload, " %", 100)
	line("periods until admitted work has run (WCET)", r.WCET, "", 1)
	line("  as a ratio to the same without burst", r.WCETRatio, "", 1)
	line("periods throttled with the bank", r.Throttled, " %", 100)
	line("periods throttled without", r.ThrottledBase, " %", 100)
	fmt.Fprintf(w, "  %-44s %.1f %%\n", "mean node use", r.NodeUse*100)
}

func monteCarlo(cmd *cobra.Command, f planFlags, p burst.Plan) (*burst.MCResult, error) {
	env := core.EnvFrom(cmd.Context())
	bar := term.NewProgress(env.Err, "Monte Carlo", 100)
	defer bar.Done()
	r, err := burst.MonteCarlo(cmd.Context(), burst.MCOptions{
		Groups: f.groups, Utilisation: f.use, Burst: float64(p.Burst) / float64(p.Quota), Distribution: burst.Distribution(f.distribution),
		Periods: f.periods, Seed: f.seed, Progress: func(done, total int) { bar.Set(int64(done * 100 / total)) },
	})
	if err != nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("run Monte Carlo: %w", err))
	}
	return &r, nil
}
