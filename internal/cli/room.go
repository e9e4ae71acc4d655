package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
)

// room adds a module's command, with the verbs that each of them has.
func (a *app) room(name string, c *cobra.Command) {
	c.AddCommand(&cobra.Command{
		Use:   "probe",
		Short: "What this node can do for the room, and why not",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := a.ask(func(r feature.Result) bool { return r.Room == name })
			return err
		},
	}, &cobra.Command{
		Use:   "revert",
		Short: "How to put the node back",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return core.Exit(core.ExitUsage, errors.New("the journal is one for the node: use \"anole revert\""))
		},
	})
	a.root.AddCommand(c)
}
