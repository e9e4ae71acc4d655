package module

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
)

// implementation is one that was chosen.
type implementation struct {
	Algorithm      string `json:"algorithm"`
	Implementation string `json:"implementation"`
}

func implementations() []implementation {
	return []implementation{{"SM3", sm3.Implementation()}, {"SM4", sm4.Implementation()}}
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Which implementations are in use",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			all := implementations()
			if env.JSON {
				return env.PrintJSON(map[string]any{"implementations": all})
			}
			for _, i := range all {
				if _, err := fmt.Fprintf(env.Out, "%-5s %s\n", i.Algorithm, i.Implementation); err != nil {
					return fmt.Errorf("write output: %w", err)
				}
			}
			return nil
		},
	}
}
