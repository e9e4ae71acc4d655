package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/node"
)

func (a *app) config() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Check the configuration, or show the default one"}
	check := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Say whether the agent would accept the configuration",
		Long: "Read the configuration, with its conf.d, and let every module check its part.\n" +
			"Nothing on the node is touched. The exit code is 2 if it would be refused.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			opt := a.nodeOptions()
			if len(args) == 1 {
				opt.Config, opt.Required = args[0], true
			}
			cfg, err := node.Check(opt)
			if err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			if a.env.JSON {
				return a.env.PrintJSON(map[string]any{"ok": true, "files": cfg.Files})
			}
			if len(cfg.Files) == 0 {
				fmt.Fprintf(a.env.Out, "%s is not there: the defaults are in force\n", opt.Config)
			}
			for _, f := range cfg.Files {
				fmt.Fprintf(a.env.Out, "%s: good\n", f)
			}
			return nil
		},
	}
	defaults := &cobra.Command{
		Use:   "default",
		Short: "Print a configuration file that holds all defaults, with comments",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			infos, err := a.opt.Registry.Ordered()
			if err != nil {
				return err
			}
			b, err := node.DefaultConfigFile(infos)
			if err != nil {
				return err
			}
			_, err = a.env.Out.Write(b)
			return err
		},
	}
	c.AddCommand(check, defaults)
	return c
}
