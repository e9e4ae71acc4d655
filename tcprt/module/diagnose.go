package module

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt/observer"
)

func diagnoseCommand() *cobra.Command {
	var of string
	var most int
	c := &cobra.Command{
		Use:   "diagnose",
		Short: "Which services are slower than usual, why, and what speaks for it",
		Long: `Names the services that are not as they were, what changed, who is to blame
(the client, the path, the program, the node or what the program asks for), and the
figures that say so. The exit code is 3 while a service is amiss.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v found
			if err := ask(cmd.Context(), "anomalies", nil, &v); err != nil {
				return err
			}
			all := slices.DeleteFunc(v.Anomalies, func(a observer.Anomaly) bool { return of != "" && a.Name != of })
			going := 0
			for i := range all {
				if all[i].End == nil {
					going++
				}
			}
			env := core.EnvFrom(cmd.Context())
			var err error
			if env.JSON {
				err = env.PrintJSON(all)
			} else {
				err = writeDiagnosis(env.Out, all, most)
			}
			if err == nil && going > 0 {
				return core.Exit(core.ExitNo, nil)
			}
			return err
		},
	}
	c.Flags().StringVar(&of, "of", "", "only of this service")
	c.Flags().IntVar(&most, "limit", 5, "so many that are over at most")
	return c
}

// writeDiagnosis explains what goes on, and lists what is over.
func writeDiagnosis(w io.Writer, all []observer.Anomaly, most int) error {
	var over []observer.Anomaly
	going := 0
	for i := range all {
		if all[i].End != nil {
			over = append(over, all[i])
			continue
		}
		going++
		writeAnomaly(w, &all[i])
	}
	if going == 0 {
		fmt.Fprintln(w, "every service is as usual")
	}
	if len(over) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("OVER", "SERVICE", "ROLE", "LASTED", "SIGNAL", "USUAL", "THEN", "CAUSE", "WHO")
	for i := range over[:min(most, len(over))] {
		a := &over[i]
		t.Row(a.End.Format(time.TimeOnly), fmt.Sprintf("%s:%d", a.Name, a.Port), a.Role, term.Duration(a.End.Sub(a.Start)), a.Signal,
			signal(a.Signal, a.Usual), signal(a.Signal, a.Now), a.Cause, a.Component)
	}
	return t.Write(w)
}

func writeAnomaly(w io.Writer, a *observer.Anomaly) {
	head := fmt.Sprintf("%s:%d (%s)", a.Name, a.Port, a.Role)
	fmt.Fprintf(w, "%s  since %s: %s is %s, usually %s\n", term.Paint(w, term.Bold, term.Clean(head)), a.Start.Format(time.TimeOnly),
		strings.ReplaceAll(a.Signal, "_", " "), signal(a.Signal, a.Now), signal(a.Signal, a.Usual))
	cause := fmt.Sprintf("  cause: %s at %s, %.0f %% sure", strings.ReplaceAll(a.Cause, "_", " "), a.Component, 100*a.Sure)
	fmt.Fprintln(w, term.Paint(w, term.Yellow, term.Fold(w, term.Clean(cause), "    ")))
	for _, e := range a.Evidence {
		fmt.Fprintln(w, term.Fold(w, term.Clean("  - "+e), "    "))
	}
	for _, e := range a.Where {
		fmt.Fprintln(w, term.Fold(w, term.Clean("  where: "+e), "    "))
	}
	if rest := others(a); rest != "" {
		fmt.Fprintln(w, term.Fold(w, term.Clean("  shares: "+rest), "    "))
	}
}

// others lists the causes by what they explain.
func others(a *observer.Anomaly) string {
	type part struct {
		cause string
		share float64
	}
	var parts []part
	for c, v := range a.Shares {
		parts = append(parts, part{c, v})
	}
	slices.SortFunc(parts, func(a, b part) int {
		return cmp.Or(cmp.Compare(b.share, a.share), strings.Compare(a.cause, b.cause))
	})
	var out []string
	for _, p := range parts {
		out = append(out, fmt.Sprintf("%s %.0f %%", strings.ReplaceAll(p.cause, "_", " "), 100*p.share))
	}
	return strings.Join(out, ", ")
}

// signal writes a signal's value: a share in percent, or a time.
func signal(name string, v float64) string {
	if name == "failures" || name == "retransmits" {
		return fmt.Sprintf("%.1f %%", 100*v)
	}
	return span(v)
}
