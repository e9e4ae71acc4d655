package module

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/bench"
)

func benchCommand() *cobra.Command {
	var o bench.Options
	var results core.Bench
	list := ""
	for _, c := range bench.Cases() {
		list += fmt.Sprintf("  %-17s %s\n", c[0], c[1])
	}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the room on this node, side by side with its peers",
		Long:  "Runs interleaved rounds on one core and prints the ratios of speed, ours to the\npeer's. A round that something else on the node disturbed is done again; on a busy\nnode the bench refuses to judge. It needs gcc, what scripts/peers.sh unpacks, and\nabout five minutes.\n\nCases, sm4 for all that begin with it:\n" + list,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			var err error
			if o.Sum, err = sumProgram(cmd); err != nil {
				return err
			}
			o.Say = func(line string) { fmt.Fprintln(env.Err, line) }
			results.Brief, o.Save = o.Short, results.Save
			return results.Tell(env, bench.Bench(cmd.Context(), o))
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&o.Cases, "case", nil, "only these cases")
	fl.StringVar(&results.File, "results", "", "merge the results into this JSON `file`")
	fl.IntVar(&o.Rounds, "rounds", 11, "interleaved rounds")
	fl.DurationVar(&o.Sample, "sample", 50*time.Millisecond, "CPU time of each side in a round")
	fl.StringVar(&o.Peers, "peers", ".cache/peers", "`folder` that scripts/peers.sh filled")
	fl.BoolVar(&o.Short, "short", false, "brief, to see that it works: the figures mean nothing and are not written")
	return c
}

// sumProgram is this program's verb that hashes files, if it has one.
func sumProgram(bench *cobra.Command) ([]string, error) {
	for _, c := range bench.Parent().Commands() {
		if c.Name() != "sum" {
			continue
		}
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find own program: %w", err)
		}
		return []string{self, "gm", "sum"}, nil
	}
	return nil, nil
}
