package module

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/internal/whole"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/rng/gmt0005"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/internal/yamlx"
)

func rngCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "rng",
		Short: "Random numbers by GM/T 0105, and the tests of GM/T 0005",
	}
	c.AddCommand(rngFillCommand(), rngTestCommand())
	return c
}

func rngFillCommand() *cobra.Command {
	var size, file string
	var force bool
	c := &cobra.Command{
		Use:   "fill",
		Short: "Write random bytes",
		Long: `Writes random bytes to standard output or, with -f, to a file, which is there whole
or not at all and is for its owner only.`,
		Example: "  anole gm rng fill --bytes 32 -f key.bin\n  anole gm rng fill --bytes 1GiB > noise",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			n, err := yamlx.ParseBytes(size)
			if err != nil {
				return core.Exit(core.ExitUsage, fmt.Errorf("--bytes: %w", err))
			}
			if file == "" || file == "-" {
				if term.IsTerminal(env.Out) {
					return core.Exit(core.ExitUsage, errors.New("random bytes are not for a terminal: name a file with -f, or send them to a program"))
				}
				return rngFill(cmd.Context(), env, env.Out, int64(n))
			}
			if err := free(file, force); err != nil {
				return err
			}
			if err := rngFillFile(cmd.Context(), env, file, int64(n)); err != nil {
				return err
			}
			if env.JSON {
				return env.PrintJSON(map[string]any{"file": file, "bytes": int64(n)})
			}
			return nil
		},
	}
	c.Flags().StringVar(&size, "bytes", "", "how many, such as 32, 64KiB or 1GiB")
	c.Flags().StringVarP(&file, "file", "f", "", "where to; standard output without")
	forceFlag(c, &force)
	_ = c.MarkFlagRequired("bytes")
	return c
}

// longFill is from how many bytes on progress is shown.
const longFill = 64 << 20

func rngFill(ctx context.Context, env *core.Env, w io.Writer, n int64) error {
	if n < longFill || !term.IsTerminal(env.Err) {
		return rng.Reader.Copy(ctx, w, n, nil)
	}
	bar := term.NewProgress(env.Err, "random bytes", n)
	defer bar.Done()
	return rng.Reader.Copy(ctx, w, n, bar.Set)
}

func rngFillFile(ctx context.Context, env *core.Env, path string, n int64) error {
	f, err := whole.Create(path, 0o600)
	if errors.Is(err, whole.ErrIrregular) {
		err = core.Exit(core.ExitUsage, fmt.Errorf("%w: send standard output there", err))
	}
	if err != nil {
		return err
	}
	if err := rngFill(ctx, env, f, n); err != nil {
		return errors.Join(err, f.Abort())
	}
	return f.Commit()
}

// fewSamples are tested where nothing else is said.
const fewSamples = 20

func rngTestCommand() *cobra.Command {
	var samples, bits int
	c := &cobra.Command{
		Use:   "test [FILE|-]",
		Short: "Run the 15 tests of GM/T 0005-2021 on random bytes",
		Long: `Judges random bytes by the 15 tests of GM/T 0005-2021: those of a file, of standard
input (-) or, without a name, of this program's own generator. Each test gives each
sample a P-value; as many samples as the standard says must have 0.01 or more, and the
Q-values must be spread evenly (0.0001 or more). Else the exit code is 3.

The standard's rule refuses perfect sources too: with 20 samples one in three, with
1,000, which it recommends, one in eleven. The chance is shown with each refusal.`,
		Example: "  anole gm rng test --samples 100\n  anole gm rng test noise.bin -o json\n  head -c 12500000 /dev/hwrng | anole gm rng test - --samples 100",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			if _, err := gmt0005.Tests(bits); err != nil {
				return core.Exit(core.ExitUsage, fmt.Errorf("--bits: %w", err))
			}
			if samples < 0 {
				return core.Exit(core.ExitUsage, fmt.Errorf("--samples: %d: want 1 or more", samples))
			}
			return rngTest(cmd, name, gmt0005.Options{Samples: samples, Bits: bits})
		},
	}
	c.Flags().IntVar(&samples, "samples", 0, "how many; 0 is all that a file has, of other sources 20")
	c.Flags().IntVar(&bits, "bits", gmt0005.Medium, "of a sample: 20000, 1000000 or 100000000")
	_ = c.RegisterFlagCompletionFunc("bits", cobra.FixedCompletions([]string{"20000", "1000000", "100000000"}, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// rngSource opens what is to be tested, and says how many samples it is known to have.
func rngSource(cmd *cobra.Command, name string, bits int) (io.ReadCloser, int, error) {
	switch name {
	case "":
		return io.NopCloser(rng.Reader), fewSamples, nil
	case "-":
		return io.NopCloser(cmd.InOrStdin()), fewSamples, nil
	}
	f, err := os.Open(name)
	if err != nil {
		code := core.ExitUsage
		if errors.Is(err, fs.ErrPermission) {
			code = core.ExitDenied
		}
		return nil, 0, core.Exit(code, err)
	}
	s, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	if !s.Mode().IsRegular() {
		return f, fewSamples, nil
	}
	n := s.Size() / int64(bits/8)
	if n == 0 {
		return nil, 0, errors.Join(core.Exit(core.ExitUsage, fmt.Errorf("%s has %d bytes; a sample of %d bits takes %d", name, s.Size(), bits, bits/8)), f.Close())
	}
	return f, int(n), nil
}

func rngTest(cmd *cobra.Command, name string, o gmt0005.Options) error {
	env := core.EnvFrom(cmd.Context())
	source, has, err := rngSource(cmd, name, o.Bits)
	if err != nil {
		return err
	}
	defer source.Close()
	if o.Samples == 0 {
		o.Samples = has
	}
	if term.IsTerminal(env.Err) {
		bar := term.NewProgress(env.Err, "samples", int64(o.Samples))
		o.Progress = func(done int) { bar.Set(int64(done)) }
		defer bar.Done()
	}
	r, err := gmt0005.Run(cmd.Context(), source, o)
	if err != nil {
		return err
	}
	if env.JSON {
		err = env.PrintJSON(r)
	} else {
		err = rngTable(r).Write(env.Out)
	}
	if err != nil || r.OK {
		return err
	}
	return core.Exit(core.ExitNo, rngRefusal(r))
}

func rngRefusal(r *gmt0005.Report) error {
	var bad []string
	for _, l := range r.Lines {
		if !l.OK {
			bad = append(bad, strings.Join(strings.Fields(l.Test+" "+l.Param+" "+l.Part), " "))
		}
	}
	more := ""
	if r.Samples < 1000 {
		more = ", and in 9 with 1000 samples"
	}
	return fmt.Errorf("refused by %d of %d values: %s (so is a perfect source in about %.0f of 100 such tests%s)", len(bad), len(r.Lines), strings.Join(bad, ", "), 100*r.Chance, more)
}

// rngTable has P and Q of one sample, or how those of many are spread.
func rngTable(r *gmt0005.Report) *term.Table {
	t := term.NewTable("TEST", "PARAMETER", "VALUE", "LEAST P", "PASSED", "OF", "NEED", "SPREAD OF Q", "VERDICT")
	if r.Samples == 1 {
		t = term.NewTable("TEST", "PARAMETER", "VALUE", "P", "Q", "VERDICT")
	}
	for _, l := range r.Lines {
		verdict := term.Cell{Text: "accepted", Style: term.Green}
		if !l.OK {
			verdict = term.Cell{Text: "refused", Style: term.Red}
		}
		part := l.Part
		if part == "" {
			part = "-"
		}
		if r.Samples == 1 {
			t.Row(l.Test, l.Param, part, probability(l.P[0]), probability(l.Q[0]), verdict)
			continue
		}
		t.Row(l.Test, l.Param, part, probability(slices.Min(l.P)), strconv.Itoa(l.Passed), strconv.Itoa(r.Samples), strconv.Itoa(r.Need), probability(l.Uniformity), verdict)
	}
	return t
}

func probability(p float64) string { return strconv.FormatFloat(p, 'f', 6, 64) }
