package module

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/tcprt/bench"
)

// Hidden verbs of the bench's processes.
const (
	holdVerb   = "hold"
	victimVerb = "victim"
)

func benchCommand() *cobra.Command {
	var only []string
	var results core.Bench
	var rounds, requests int
	var short bool
	list := ""
	for _, c := range bench.Cases() {
		list += fmt.Sprintf("  %-23s %s\n", c[0], c[1])
	}
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure the room on this node, with real servers and clients",
		Long:  "Runs interleaved rounds and prints the ratios. On a busy node it refuses to judge.\nIt needs root, the servers and clients that scripts/setup.sh bench installs, and about one\nand a half hours.\n\nCases, counts for all that begin with it:\n" + list,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			if resp, err := env.Agent.Get("http://anole/healthz"); err == nil {
				_ = resp.Body.Close()
				return core.Exit(core.ExitFailed, errors.New("an agent runs on this node already and would take part; stop it first"))
			}
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find own program: %w", err)
			}
			results.Brief = short
			return results.Tell(env, bench.Bench(cmd.Context(), bench.Options{
				Cases: only, Rounds: rounds, Requests: requests, Short: short, Agent: []string{self}, Hold: []string{self, "tcprt", holdVerb}, Victim: []string{self, "tcprt", victimVerb},
				Say: func(line string) { fmt.Fprintln(env.Err, line) }, Save: results.Save,
			}))
		},
	}
	fl := c.Flags()
	fl.StringSliceVar(&only, "case", nil, "only these cases")
	fl.StringVar(&results.File, "results", "", "merge the results into this JSON `file`")
	fl.IntVar(&rounds, "rounds", 7, "interleaved rounds")
	fl.IntVar(&requests, "requests", 0, "requests of each of the counts, and of resident (default 1000000)")
	fl.BoolVar(&short, "short", false, "brief, to see that it works: the figures mean nothing and are not written")
	return c
}
