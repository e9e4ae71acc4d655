package module

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/run"
)

// Hidden verbs, the other processes of a run.
const (
	stageVerb = "exec-in"
	guardVerb = "guard"
)

type runFlags struct {
	class, name, cpus, memory, burst string
	labels                           []string
}

func runCommand() *cobra.Command {
	var f runFlags
	var verbose bool
	c := &cobra.Command{
		Use:   "run --class ls|be [flags] -- cmd…",
		Short: "Run a command in a workload of its own",
		Long: `Runs a command in a cgroup of its own, in a class, with or without a running
agent. Exit code and signals are passed through. When the command ends, what it
left running is killed and the cgroup removed, also after kill -9 of anole.

Rules of the agent's policy match the command by --label too, as in
match: {label: {app: web}}, and go before --class, whatever they match by: the
policy is the node owner's word.`,
		Example: "  anole qos run --class be -- make -j8\n  anole qos run --class ls --cpus 0.5 --burst auto -- ./server\n  anole qos run --class ls --label app=web --label tier=front -- ./server",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd)
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			o.Argv = args
			if verbose {
				o.OnStart = func(s run.Started) { tellStart(cmd, s) }
			}
			return finish(run.Run(context.WithoutCancel(cmd.Context()), o))
		},
	}
	fl := c.Flags()
	fl.SetInterspersed(false)
	fl.StringVar(&f.class, "class", "", "ls (latency-sensitive) or be (best effort)")
	fl.StringVar(&f.name, "name", "", "name of the workload; the command's own with random digits by default")
	fl.StringVar(&f.cpus, "cpus", "", "long-run CPU limit, such as 0.5 or 500m")
	fl.StringVar(&f.memory, "memory", "", "memory limit, such as 512MiB")
	fl.StringVar(&f.burst, "burst", "", "bank unused CPU: off, auto, or the CPU time to bank such as 300ms")
	fl.StringArrayVar(&f.labels, "label", nil, "`key=value` by which rules of the policy find the workload; may be given more than once")
	fl.BoolVarP(&verbose, "verbose", "v", false, "say on standard error what was set up")
	_ = c.MarkFlagRequired("class")
	_ = c.RegisterFlagCompletionFunc("class", cobra.FixedCompletions([]string{"ls", "be"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("burst", cobra.FixedCompletions([]string{"auto", "off"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

func (f *runFlags) options(cmd *cobra.Command) (o run.Options, err error) {
	env := core.EnvFrom(cmd.Context())
	o = run.Options{Name: f.name, RunDir: env.RunDir, Root: env.Root, AgentRunning: func() bool { return agentRuns(env) }}
	if o.Class, err = class.Parse(f.class); err != nil {
		return o, fmt.Errorf("--class: %w", err)
	}
	if f.cpus != "" {
		if o.CPUs, err = burst.ParseCPUs(f.cpus); err != nil {
			return o, fmt.Errorf("--cpus: %w", err)
		}
	}
	if f.memory != "" {
		b, err := yamlx.ParseBytes(f.memory)
		if err != nil {
			return o, fmt.Errorf("--memory %w", err)
		}
		if b == 0 {
			return o, fmt.Errorf("--memory %s: a limit of nothing would kill the command at once", f.memory)
		}
		o.Memory = int64(b)
	}
	if f.burst != "" {
		if o.Burst, err = qos.ParseBurst(f.burst); err != nil {
			return o, fmt.Errorf("--%w", err)
		}
	}
	if o.Labels, err = run.ParseLabels(f.labels); err != nil {
		return o, err
	}
	self, err := os.Executable()
	if err != nil {
		return o, fmt.Errorf("find own program: %w", err)
	}
	o.Stage = []string{self, "qos", stageVerb}
	o.Guard = []string{self, "qos", guardVerb}
	return o, nil
}

// agentRuns says whether an agent answers that takes care of classes.
func agentRuns(env *core.Env) bool {
	if env.Agent == nil {
		return false
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://anole/api/v1/qos/policy", nil)
	if err != nil {
		return false
	}
	resp, err := env.Agent.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func tellStart(cmd *cobra.Command, s run.Started) {
	w := core.EnvFrom(cmd.Context()).Err
	fmt.Fprintf(w, "anole: %s (process %d) in cgroup %s\n", s.Name, s.PID, s.Cgroup)
	for _, n := range s.Notes {
		fmt.Fprintf(w, "anole: %s\n", n)
	}
}

// finish turns the outcome into anole's exit code: the command's own.
func finish(r run.Result, err error) error {
	var flag *run.FlagError
	switch {
	case r.ExitCode > 0:
		return core.Exit(r.ExitCode, err)
	case errors.As(err, &flag), errors.Is(err, run.ErrNameTaken):
		return core.Exit(core.ExitUsage, err)
	}
	return err
}

// stage is the process that becomes the command. The runner has been told by
// then what went wrong, and says so.
func stage(args []string) error {
	if err := run.Stage(args); err != nil {
		return core.Exit(127, err)
	}
	return nil
}
