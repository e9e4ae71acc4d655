package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/node"
	"github.com/anole-os/anole/internal/term"
)

func (a *app) up() *cobra.Command {
	var listen string
	c := &cobra.Command{
		Use:   "up",
		Short: "Run the agent in the foreground",
		Long: "Run the agent in the foreground until SIGINT or SIGTERM, then put the node back.\n" +
			"SIGHUP, and any change of the configuration files, reloads them.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			opt := a.nodeOptions()
			opt.Listen = listen
			n := node.New(opt)
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			go func() {
				for {
					select {
					case <-hup:
						n.Hangup()
					case <-c.Context().Done():
						return
					}
				}
			}()
			return n.Run(c.Context())
		},
	}
	c.Flags().StringVar(&listen, "listen", "", "`address` of the console, instead of agent.console.listen")
	return c
}

func (a *app) status() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show how the agent and its modules are",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var st api.Status
			if err := a.call(c.Context(), http.MethodGet, "/api/v1/status", &st); err != nil {
				return err
			}
			if a.env.JSON {
				return a.env.PrintJSON(st)
			}
			return a.printStatus(st)
		},
	}
}

func (a *app) printStatus(st api.Status) error {
	w := a.env.Out
	fmt.Fprintf(w, "anole %s is %s, up %s, process %d\n", st.Version,
		term.Paint(w, stateStyle(st.State), string(st.State)), term.Duration(time.Duration(st.Uptime*float64(time.Second))), st.PID)
	fmt.Fprintf(w, "configuration %s, generation %d\n", st.Config.File, st.Config.Generation)
	if st.Console.Address != "" {
		fmt.Fprintf(w, "console http://%s\n", st.Console.Address)
	}
	if st.History.Enabled {
		fmt.Fprintf(w, "history %s\n", st.History.State)
	}
	for _, key := range st.Config.RestartFor {
		fmt.Fprintf(w, "%s takes effect at the next start\n", key)
	}
	for _, p := range st.Problems {
		fmt.Fprintln(w, term.Paint(w, term.Yellow, "! "+p))
	}
	if len(st.Modules) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("MODULE", "STATE", "SUMMARY")
	for _, m := range st.Modules {
		t.Row(m.Name, term.Cell{Text: string(m.State), Style: stateStyle(m.State)}, m.Summary)
	}
	return t.Write(w)
}

func stateStyle(s core.State) term.Style {
	switch s {
	case core.Running:
		return term.Green
	case core.Failed:
		return term.Red
	case core.Degraded, core.Unsupported:
		return term.Yellow
	}
	return term.Dim
}

func (a *app) reload() *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the agent read its configuration again",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var r api.Reloaded
			if err := a.call(c.Context(), http.MethodPost, "/api/v1/reload", &r); err != nil {
				return err
			}
			if a.env.JSON {
				return a.env.PrintJSON(r)
			}
			fmt.Fprintf(a.env.Out, "generation %d is in force; changed: %v\n", r.Generation, r.Changed)
			return nil
		},
	}
}

func (a *app) revert() *cobra.Command {
	return &cobra.Command{
		Use:   "revert",
		Short: "Put the node back as it was before anole",
		Long: "Put the node back as it was before anole: a running agent is asked to stop and restore,\n" +
			"then everything that any earlier run left is undone. The exit code is 1 if something\n" +
			"could not be put back.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			rep, err := a.revertAll(c.Context())
			if err != nil {
				return err
			}
			return a.printReverted(rep)
		},
	}
}

// revertAll asks a running agent, waits until it is gone, and then restores
// what is left, which is nothing after a good stop.
func (a *app) revertAll(ctx context.Context) (api.Reverted, error) {
	var rep api.Reverted
	err := a.call(ctx, http.MethodPost, "/api/v1/revert", &rep)
	if err != nil && core.ExitCode(err) != core.ExitUnreachable {
		return rep, err
	}
	for end := time.Now().Add(goneTimeout); ; {
		again, err := node.RevertOffline(ctx, a.nodeOptions())
		var locked *journal.LockedError
		if errors.As(err, &locked) && time.Now().Before(end) && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		rep.Restored += again.Restored
		rep.Gone += again.Gone
		rep.Failed = again.Failed // what failed before was tried again
		return rep, err
	}
}

// goneTimeout is how long an agent that was asked to stop may take for it.
const goneTimeout = 15 * time.Second

func (a *app) printReverted(rep api.Reverted) error {
	if rep.Stopped == nil {
		rep.Stopped = []string{}
	}
	if a.env.JSON {
		if err := a.env.PrintJSON(rep); err != nil {
			return err
		}
	} else {
		for _, m := range rep.Stopped {
			fmt.Fprintf(a.env.Out, "stopped %s, which put back its changes\n", m)
		}
		fmt.Fprintf(a.env.Out, "put back from the journal: %d, no longer there: %d, not possible: %d\n", rep.Restored, rep.Gone, len(rep.Failed))
	}
	var errs []error
	for _, f := range rep.Failed {
		errs = append(errs, errors.New(f))
	}
	return errors.Join(errs...)
}
