package module

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sum"
	"github.com/anole-os/anole/internal/term"
)

// sm3sum is the program of that name. It tests SM3 alone, which is all that it has use for
// and takes less than a millisecond.
func sm3sum(args []string) error {
	if err := sm3.SelfTest(); err != nil {
		_, _ = fmt.Fprintf(os.Stderr, "sm3sum: %v\n", err)
		return core.Exit(core.ExitFailed, nil)
	}
	if code := sum.Main(context.Background(), "sm3sum", args, os.Stdin, os.Stdout, os.Stderr); code != 0 {
		return core.Exit(code, nil)
	}
	return nil
}

func sumCommand() *cobra.Command {
	var flags sum.Flags
	var progress bool
	c := &cobra.Command{
		Use:   "sum [FILE|-]…",
		Short: "Hash files by SM3, and check lists of hashes, as GNU's programs do",
		Long: `Prints the SM3 hashes of files, or of standard input; with -c, checks the files that
lists name. Files are hashed 16 side by side. Output, messages and exit codes are those
of GNU cksum -a sm3 --untagged: 0, or 1 if a file cannot be read or does not match. As a
link of the name sm3sum this program is the command alone, with GNU's usage errors too.`,
		Example: "  anole gm sum *.iso > SM3SUMS\n  anole gm sum -c --quiet SM3SUMS\n  find /usr -type f -print0 | xargs -0 anole gm sum --tag",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := flags.Valid(); err != nil {
				return core.Exit(core.ExitUsage, err)
			}
			return runSum(cmd.Context(), &flags, progress, args)
		},
	}
	for _, f := range sum.All {
		c.Flags().VarPF(&toggle{set: f.Set, of: &flags}, f.Name, f.Short, f.Doc).NoOptDefVal = "true"
	}
	c.Flags().BoolVar(&progress, "progress", false, "show on standard error how far it is; on a terminal that is so after two seconds anyway")
	return c
}

// toggle is a flag of GNU's, of which the order counts.
type toggle struct {
	set func(*sum.Flags)
	of  *sum.Flags
}

// String implements pflag.Value.
func (*toggle) String() string { return "false" }

// Type implements pflag.Value.
func (*toggle) Type() string { return "bool" }

// Set implements pflag.Value.
func (t *toggle) Set(v string) error {
	if v != "true" {
		return errors.New("it takes no value")
	}
	t.set(t.of)
	return nil
}

func runSum(ctx context.Context, flags *sum.Flags, progress bool, args []string) error {
	env := core.EnvFrom(ctx)
	t := &sum.Tool{Program: "anole", Out: env.Out, Err: env.Err}
	if progress || term.IsTerminal(env.Err) {
		m := newMeter(env.Err, progress)
		defer m.done()
		t.Progress = m.set
		t.Out, t.Err = m.over(env.Out), m.over(env.Err)
		if !flags.Check {
			m.names = args
		}
	}
	files := []summed{}
	if env.JSON {
		t.Result = func(v *sum.Verdict) error {
			files = append(files, summedOf(v))
			return nil
		}
	}
	err := flags.Run(ctx, t, args)
	if env.JSON && (err == nil || errors.Is(err, sum.ErrFailed)) {
		if err := env.PrintJSON(files); err != nil {
			return err
		}
	}
	if code := t.Tell(err); code != 0 {
		return core.Exit(code, nil)
	}
	return nil
}

// summed is a file as -o json has it.
type summed struct {
	File   string `json:"file"`
	Raw    string `json:"raw,omitempty"` // the name in hexadecimal, where it is not UTF-8
	Result string `json:"result"`        // hashed; with -c ok, failed or missing; unreadable
	SM3    string `json:"sm3,omitempty"`
	Bytes  *int64 `json:"bytes,omitempty"`
	Error  string `json:"error,omitempty"`
}

func summedOf(v *sum.Verdict) summed {
	s := summed{File: v.Name, Result: string(v.State)}
	if !utf8.ValidString(v.Name) {
		s.Raw = hex.EncodeToString([]byte(v.Name))
	}
	if v.Err != nil {
		s.Error = v.Err.Error()
		return s
	}
	size := v.Size
	s.SM3, s.Bytes = hex.EncodeToString(v.Sum[:]), &size
	return s
}
