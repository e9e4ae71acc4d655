package module

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos/bench"
)

// loadVerb is the hidden verb of load processes.
const loadVerb = "load"

func loadProcess(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return bench.LoadMain(ctx, args, os.Stdin, os.Stdout)
}

// benchOptions are what demo and bench share.
func benchOptions(cmd *cobra.Command) (bench.Options, error) {
	self, err := os.Executable()
	if err != nil {
		return bench.Options{}, fmt.Errorf("find own program: %w", err)
	}
	env := core.EnvFrom(cmd.Context())
	return bench.Options{
		Self: []string{self, "qos", loadVerb}, Agent: []string{self},
		Say: func(line string) { fmt.Fprintln(env.Err, line) },
	}, nil
}

func benchCommand() *cobra.Command {
	var only []string
	var results core.Bench
	var rounds int
	var short bool
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the room on this node, side by side with its peers",
		Long:  "Runs interleaved rounds of every setting and prints the ratios. A round that\nsomething else on the node disturbed is done again; on a busy node the bench\nrefuses to judge. It needs root and about 45 minutes.\n\nCases:\n" + caseList(),
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o, err := benchOptions(cmd)
			if err != nil {
				return err
			}
			if agentRuns(core.EnvFrom(cmd.Context())) {
				return core.Exit(core.ExitFailed, errors.New("an agent runs on this node already and would take part; stop it first"))
			}
			results.Brief = short
			err = bench.Bench(cmd.Context(), bench.CaseOptions{Options: o, Cases: only, Rounds: rounds, Short: short, Save: results.Save})
			return results.Tell(core.EnvFrom(cmd.Context()), err)
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&only, "case", nil, "only these cases")
	fl.StringVar(&results.File, "results", "", "merge the results into this JSON `file`")
	fl.IntVar(&rounds, "rounds", 7, "interleaved rounds")
	fl.BoolVar(&short, "short", false, "brief, to see that it works: the figures mean nothing and are not written")
	return c
}

func caseList() string {
	out := ""
	for _, c := range bench.Cases() {
		out += fmt.Sprintf("  %-10s %s\n", c[0], c[1])
	}
	return out
}

func demoCommand() *cobra.Command {
	var d time.Duration
	var leave bool
	c := &cobra.Command{
		Use:   "demo",
		Short: "Measure an LS web service alone, beside best-effort work, and protected; then stay up with the console",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			o, err := benchOptions(cmd)
			if err != nil {
				return err
			}
			if os.Geteuid() != 0 {
				return demoWithoutRoot(cmd)
			}
			if agentRuns(env) {
				return core.Exit(core.ExitFailed, errors.New("an agent runs on this node already; stop it, or use \"anole qos top\" to watch it"))
			}
			phases, err := demo(cmd, bench.DemoOptions{Options: o, Duration: d})
			if err != nil {
				return err
			}
			if env.JSON {
				return env.PrintJSON(phases)
			}
			if err := writeDemo(env, phases); err != nil || leave {
				return err
			}
			return stay(cmd, o)
		},
	}
	c.Flags().DurationVar(&d, "duration", 8*time.Second, "length of each phase")
	c.Flags().BoolVar(&leave, "once", false, "measure and leave; do not stay up with the console")
	return c
}

// demo measures with a bar for each phase.
func demo(cmd *cobra.Command, o bench.DemoOptions) ([]bench.DemoPhase, error) {
	env := core.EnvFrom(cmd.Context())
	var bar *term.Progress
	name := ""
	o.Progress = func(phase string, done float64) {
		if phase != name {
			if bar != nil {
				bar.Done()
			}
			name, bar = phase, term.NewProgress(env.Err, fmt.Sprintf("%-18s", phase), 100)
		}
		bar.Set(int64(done * 100))
	}
	defer func() {
		if bar != nil {
			bar.Done()
		}
	}()
	return bench.Demo(cmd.Context(), o)
}

func writeDemo(env *core.Env, phases []bench.DemoPhase) error {
	fmt.Fprintln(env.Out)
	t := term.NewTable("LS WEB SERVICE", "REQUESTS", "P50", "P99", "P99.9", "BE WORK DONE", "NODE CPU")
	for _, p := range phases {
		work := "-"
		if p.BEWork > 0 {
			work = percent(p.BEWork)
		}
		t.Row(p.Name, fmt.Sprint(p.Requests), term.Duration(p.P50), term.Duration(p.P99), term.Duration(p.P999), work, percent(p.NodeCPU))
	}
	if err := t.Write(env.Out); err != nil {
		return err
	}
	fmt.Fprintln(env.Out, "\nBE work done is of the idle capacity: what the burners do alone, less what the service and its clients use.")
	for _, p := range phases {
		if p.Note != "" {
			fmt.Fprintf(env.Out, "%s %s: %s\n", term.Paint(env.Out, term.Yellow, "disturbed"), p.Name, p.Note)
		}
	}
	return nil
}

func demoWithoutRoot(cmd *cobra.Command) error {
	w := core.EnvFrom(cmd.Context()).Out
	fmt.Fprintln(w, "anole runs without root here: it can look, plan and compute, but not manage the node.")
	fmt.Fprintln(w, "\nWhat this node could do (anole doctor):")
	probe, _, err := cmd.Parent().Find([]string{"probe"})
	if err == nil {
		err = probe.RunE(probe, nil)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(w, "\nA bank for a service of 0.3 CPUs (anole qos plan-burst --cpus 0.3 --burst 300ms):")
	if err := plan(cmd, planFlags{cpus: "0.3", burst: 300 * time.Millisecond, groups: 20, use: 0.7, distribution: "exponential", seed: 1, periods: 50_000}); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nWith root, this same command runs the demo: sudo make run")
	return nil
}
