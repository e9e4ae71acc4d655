package module

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/selftest"
	"github.com/anole-os/anole/internal/term"
)

func selftestCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "selftest",
		Short: "Test every implementation of every algorithm with known answers",
		Long: `Tests what this program would use on this processor, and what it would not: known
answers for each implementation, the fast ones against the plain one, SM9, ZUC and key
exchange by their standards' examples, a new SM2 key pair by what it makes, and the
random bit generator with the health of its source. Other verbs begin with these tests,
all but SM9's.
Where one fails the exit code is 3.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			r := selftest.Run(cmd.Context())
			var err error
			if env.JSON {
				err = env.PrintJSON(r)
			} else {
				err = selftestTable(r).Write(env.Out)
			}
			switch bad := r.Failures(); {
			case err != nil:
				return err
			case len(bad) > 0:
				return core.Exit(core.ExitNo, fmt.Errorf("%d of %d self-tests failed: do not use this program for cryptography on this machine; GM_CPU=generic may keep what is at fault out of use", len(bad), len(r.Results)))
			case r.State != selftest.Passed:
				return errors.New("the self-test was stopped")
			}
			return nil
		},
	}
}

func selftestTable(r selftest.Report) *term.Table {
	t := term.NewTable("TEST", "IMPLEMENTATION", "TIME", "RESULT")
	for _, c := range r.Results {
		result := term.Cell{Text: "passed", Style: term.Green}
		if c.Err != nil {
			result = term.Cell{Text: "failed: " + c.Error, Style: term.Red}
		}
		t.Row(c.Name, c.Implementation, term.Duration(c.Duration), result)
	}
	return t
}
