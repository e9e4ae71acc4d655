package module

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
)

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "workload",
		Short: "Pods and containers of the node, and who tells of them",
		Long: `Pods and containers are known from the container runtime: it tells of them
before they start (NRI), is asked for them (CRI), or tells of those that are no
pods (containerd's events). Where two say different things of one container, the
first of these is believed.`,
	}
	c.AddCommand(statusCommand())
	return c
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "The sources: connected, containers, last word, disagreements",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			var v View
			if err := env.Ask(cmd.Context(), http.MethodGet, "workload/status", nil, nil, &v); err != nil {
				return err
			}
			if env.JSON {
				return env.PrintJSON(v)
			}
			return write(env.Out, &v)
		},
	}
}

func write(w io.Writer, v *View) error {
	t := term.NewTable("SOURCE", "CONNECTED", "CONTAINERS", "LAST WORD", "OVERRULED", "HOW, OR WHY NOT")
	for _, s := range v.Sources {
		state, why := term.Cell{Text: "no", Style: term.Yellow}, s.Problem
		switch {
		case s.Connected:
			state, why = term.Cell{Text: "yes", Style: term.Green}, s.Detail
		case !s.Wanted:
			state, why = term.Cell{Text: "off"}, ""
		}
		last := "never"
		if ago, ok := s.Ago(time.UnixMilli(v.Time)); ok {
			last = term.Duration(ago.Round(time.Second)) + " ago"
		}
		t.Row(string(s.Name), state, fmt.Sprint(s.Containers), last, fmt.Sprint(s.Disagreements), why)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%s\n", v.summary())
	for _, c := range v.Conflicts {
		fmt.Fprintf(w, "%s %s: %s\n", term.Paint(w, term.Yellow, "disagreement"), term.Clean(c.Pod), c.Conflict)
	}
	if v.LostRecords > 0 || v.LostLabels > 0 {
		fmt.Fprintf(w, "%d records without room, %d labels and annotations cut or left out\n", v.LostRecords, v.LostLabels)
	}
	return nil
}
