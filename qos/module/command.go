package module

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
)

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "qos",
		Short: "Latency-sensitive and best-effort work on one node",
		Long: `Latency-sensitive (LS) and best-effort (BE) work share the node: best-effort
work fills the idle CPU and yields at once; workloads with a CPU limit bank
unused quota for bursts.`,
	}
	c.AddCommand(statusCommand(), topCommand(), explainCommand(), applyCommand(), policyCommand(),
		planCommand(), simulateCommand(), recordCommand(), replayCommand(), runCommand(), demoCommand(), benchCommand())
	return c
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Who runs in which class, what they use and what was done",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s qos.Status
			if err := ask(cmd.Context(), http.MethodGet, "status", nil, nil, &s); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(s)
			}
			return writeStatus(env.Out, &s)
		},
	}
}

func writeStatus(w io.Writer, s *qos.Status) error {
	limit := "no cap in force"
	if s.Cap != nil {
		limit = fmt.Sprintf("best effort capped at %.2f cores (%s)", *s.Cap, s.CapWhy)
	}
	busy := fmt.Sprintf("%.2f of %.0f cores busy, %s", s.Node.Busy, s.Node.CPUs, limit)
	fmt.Fprintf(w, "%s  %s  cgroup %s\n%s\n%s\n", s.Node.Name, s.Node.Kernel, s.Node.Cgroup, term.Fold(w, busy, "  "), term.Fold(w, memoryLine(s.Node.Memory), "  "))
	if s.Node.Memory != nil {
		fmt.Fprintln(w)
	}
	t := term.NewTable("CLASS", "WORKLOADS", "CORES", "THROTTLED", "BURST", "RUNQ P50", "RUNQ P99", "PSI CPU").Spare("BURST")
	for _, c := range s.Classes {
		t.Row(classCell(c.Class.String()), fmt.Sprint(c.Workloads), fmt.Sprintf("%.2f", c.Used), percent(c.Throttled),
			seconds(c.BurstTime), microseconds(c.RunqP50), microseconds(c.RunqP99), percent(c.PSI))
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if len(s.Workloads) == 0 {
		fmt.Fprintln(w, noWorkloads)
	} else if err := workloadTable(s.Workloads, 0).Write(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	m := term.NewTable("BY", "USING", "WHY")
	for _, x := range s.Mechanisms {
		m.Row(x.Name, x.Using, x.Why)
	}
	if err := m.Write(w); err != nil {
		return err
	}
	if err := writeDisks(w, s.IO); err != nil {
		return err
	}
	if err := writeNetwork(w, s.Network); err != nil {
		return err
	}
	if len(s.Degraded) > 0 {
		fmt.Fprintln(w)
	}
	for _, d := range s.Degraded {
		writeAmiss(w, "degraded", d.Feature+": "+d.Detail)
	}
	return nil
}

const noWorkloads = "no workloads yet: start one with  anole qos run --class be -- cmd…"

// workloadTable lists workloads; most bounds the rows, 0 does not.
func workloadTable(all []qos.WorkloadStatus, most int) *term.Table {
	t := term.NewTable("WORKLOAD", "CLASS", "CORES", "LIMIT", "THROTTLED", "BANK", "MEMORY", "RULE").Spare("BANK", "RULE")
	for i, x := range all {
		if most > 0 && i >= most {
			break
		}
		limit, bank := "-", "-"
		if x.Limit != nil {
			limit = fmt.Sprintf("%.2f", *x.Limit)
		} else if x.Share != nil {
			limit = fmt.Sprintf("cap %.2f", *x.Share)
		}
		if b := x.Burst; b != nil && b.Reason == "" {
			bank = fmt.Sprintf("P=%v Q=%v B=%v", b.Period, b.Quota, b.Burst)
		}
		t.Row(x.ID, classCell(x.Class.String()), fmt.Sprintf("%.2f", x.Used), limit, percent(x.Throttled), bank, memoryCell(x.Memory), x.Rule)
	}
	return t
}

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "explain ID",
		Short: "What was done to a workload: signal, rule, file, old and new value",
		Args:  cobra.ExactArgs(1),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
			var s qos.Status
			if ask(cmd.Context(), http.MethodGet, "status", nil, nil, &s) != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var ids []string
			for _, w := range s.Workloads {
				ids = append(ids, w.ID)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var x qos.Explanation
			if err := ask(cmd.Context(), http.MethodGet, "explain", url.Values{"id": {args[0]}}, nil, &x); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(x)
			}
			return writeExplanation(env.Out, &x)
		},
	}
}

func writeExplanation(w io.Writer, x *qos.Explanation) error {
	who := fmt.Sprintf("%s is %s by %s", x.Workload.ID, x.Workload.Class, x.Workload.Rule)
	fmt.Fprintf(w, "%s\ncgroup %s\n", term.Fold(w, term.Clean(who), "  "), term.Clean(x.Workload.Cgroup))
	writeTold(w, &x.Workload)
	fmt.Fprintln(w)
	if len(x.Files) == 0 {
		fmt.Fprintln(w, "nothing was changed for it")
	} else {
		t := term.NewTable("FILE", "ORIGINAL", "NOW", "BY", "WHY")
		for _, f := range x.Files {
			t.Row(f.File, f.Original, f.Current, f.Controller, f.Why)
		}
		if err := t.Write(w); err != nil {
			return err
		}
	}
	if len(x.Decisions) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("TIME", "BY", "FILE", "OLD", "NEW", "WHY", "RESULT").Spare("BY")
	for _, d := range x.Decisions {
		t.Row(time.UnixMilli(d.Time).Format("15:04:05.000"), d.Controller, base(d.File), d.Old, d.New, d.Why, d.Result)
	}
	return t.Write(w)
}

func applyCommand() *cobra.Command {
	var reset, check bool
	c := &cobra.Command{
		Use:   "apply FILE",
		Short: "Put a policy in force, now and after a restart (- reads standard input)",
		Args: func(cmd *cobra.Command, args []string) error {
			if reset {
				return cobra.NoArgs(cmd, args)
			}
			return cobra.ExactArgs(1)(cmd, args)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			var done struct{ Generation int }
			env := core.EnvFrom(cmd.Context())
			if reset {
				if err := ask(cmd.Context(), http.MethodDelete, "policy", nil, nil, &done); err != nil {
					return err
				}
				return tell(env, map[string]any{"generation": done.Generation}, "the policy of the configuration is in force again (generation %d)\n", done.Generation)
			}
			src, name, err := readFile(cmd, args[0])
			if err != nil {
				return err
			}
			if _, err := qos.ParsePolicy(src, name); err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			if check {
				return tell(env, map[string]any{"ok": true}, "%s is a valid policy\n", name)
			}
			if err := ask(cmd.Context(), http.MethodPost, "policy", url.Values{"name": {name}}, src, &done); err != nil {
				return err
			}
			return tell(env, map[string]any{"generation": done.Generation}, "in force (generation %d); back to the configuration with: anole qos apply --reset\n", done.Generation)
		},
	}
	c.Flags().BoolVar(&reset, "reset", false, "go back to the policy of the configuration")
	c.Flags().BoolVar(&check, "check", false, "only check the file")
	return c
}

// tell prints for people or, with -o json, the value.
func tell(env *core.Env, v any, format string, args ...any) error {
	if env.JSON {
		return env.PrintJSON(v)
	}
	_, err := fmt.Fprintf(env.Out, format, args...)
	return err
}

func readFile(cmd *cobra.Command, path string) (src []byte, name string, err error) {
	if path == "-" {
		src, err = io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPolicy))
		return src, "standard input", err
	}
	src, err = os.ReadFile(path)
	if err != nil {
		err = core.Exit(core.ExitUsage, fmt.Errorf("read policy: %w", err))
	}
	return src, path, err
}

func policyCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "policy",
		Short: "Print the policy in force",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var p struct {
				YAML       string `json:"yaml"`
				Generation int    `json:"generation"`
				From       string `json:"from"`
			}
			if err := ask(cmd.Context(), http.MethodGet, "policy", nil, nil, &p); err != nil {
				return err
			}
			return tell(core.EnvFrom(cmd.Context()), p, "# generation %d, from %s\n%s", p.Generation, p.From, p.YAML)
		},
	}
}
