package module

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/internal/term"
)

// imaWalk is what all verbs over files have.
type imaWalk struct {
	o     ima.Options
	sig   bool
	user  bool
	list  bool
	check bool // failures are the answer no
	count ima.Count
}

func (w *imaWalk) flags(c *cobra.Command) {
	f := c.Flags()
	f.BoolVarP(&w.o.Recursive, "recursive", "r", false, "go into folders; symbolic links are not followed")
	f.BoolVar(&w.o.CrossDevices, "cross", false, "go into other file systems that are mounted there, too")
	f.BoolVar(&w.sig, "sigfile", false, "labels are in files FILE.sig, and not in attributes")
	f.BoolVar(&w.user, "user-attr", false, "labels are in user.ima: for kernels that have IMA and lack SM3, which refuse them in security.ima")
	c.MarkFlagsMutuallyExclusive("sigfile", "user-attr")
	f.BoolVar(&w.list, "list", false, "list every file, not only those that failed")
}

// imaFile is a file in the output.
type imaFile struct {
	Path  string    `json:"path"`
	State ima.State `json:"state"`
	Label string    `json:"label,omitempty"`
	Error string    `json:"error,omitempty"`
}

// imaReport is the output for programs.
type imaReport struct {
	ima.Summary
	Seconds float64   `json:"seconds"`
	Files   []imaFile `json:"results"` // those that failed, or all
}

// mostFailures are told one by one.
const mostFailures = 1000

func (w *imaWalk) run(cmd *cobra.Command, paths []string, work ima.Work) error {
	env, begun := core.EnvFrom(cmd.Context()), time.Now()
	var results []imaFile
	var trouble error // what is no answer to the question
	untold := 0
	w.o.Count = &w.count
	if w.sig {
		w.o.Place = ima.Files
	} else if w.user {
		w.o.Place = ima.User
	}
	w.o.Each = func(r ima.Result) {
		failed := r.Err != nil
		if failed && !isVerdict(r.Err) && trouble == nil {
			trouble = r.Err
		}
		if failed && untold+len(results) >= mostFailures && !w.list {
			untold++
			return
		}
		if !failed && !w.list {
			return
		}
		f := imaFile{Path: r.Path, State: r.State}
		if failed {
			f.Error = r.Err.Error()
		} else if r.Label.Type != 0 {
			f.Label = hex.EncodeToString(r.Label.Bytes())
		}
		results = append(results, f)
	}
	stop := w.progress(env.Err)
	sum, err := ima.Run(cmd.Context(), paths, work, w.o)
	stop()
	if err != nil {
		return fmt.Errorf("stopped after %d files: %w", sum.Files, err)
	}
	slices.SortFunc(results, func(a, b imaFile) int { return strings.Compare(a.Path, b.Path) })
	if env.JSON {
		err = env.PrintJSON(imaReport{sum, time.Since(begun).Seconds(), append([]imaFile{}, results...)})
	} else {
		err = w.text(env, sum, results, untold, time.Since(begun))
	}
	if err != nil || sum.Failed == 0 {
		return err
	}
	err = fmt.Errorf("%d of %d files failed", sum.Failed, sum.Files)
	if w.check && trouble == nil {
		return core.Exit(core.ExitNo, err)
	}
	return core.Exit(core.ExitFailed, err)
}

// isVerdict says whether an error is about a label and not about reading it.
func isVerdict(err error) bool {
	return slices.ContainsFunc([]error{ima.ErrUnlabelled, ima.ErrMalformed, ima.ErrAlgo, ima.ErrUnsigned, ima.ErrUnknownKey, ima.ErrMismatch}, func(e error) bool { return errors.Is(err, e) })
}

func (w *imaWalk) text(env *core.Env, sum ima.Summary, results []imaFile, untold int, took time.Duration) error {
	for _, f := range results {
		path := term.Clean(f.Path)
		var err error
		switch {
		case f.Error != "":
			_, err = fmt.Fprintf(env.Err, "%s: %s\n", path, term.Clean(f.Error))
		case f.Label != "" && !w.check:
			_, err = fmt.Fprintf(env.Out, "%s  %s\n", f.Label, path)
		default:
			_, err = fmt.Fprintf(env.Out, "%s  %s\n", f.State, path)
		}
		if err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	if untold > 0 {
		if _, err := fmt.Fprintf(env.Err, "and %d more\n", untold); err != nil {
			return fmt.Errorf("write output: %w", err)
		}
	}
	var parts []string
	for _, s := range slices.Sorted(maps.Keys(sum.States)) {
		parts = append(parts, fmt.Sprintf("%d %s", sum.States[s], s))
	}
	for _, p := range []struct {
		n    int64
		what string
	}{{sum.Links, "further names"}, {sum.Skipped, "no regular files"}, {sum.Mounts, "other file systems left out"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.what))
		}
	}
	if _, err := fmt.Fprintf(env.Err, "%d files, %.1f MB in %s: %s\n", sum.Files, float64(sum.Bytes)/1e6, term.Duration(took), strings.Join(parts, ", ")); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

// progress shows on a terminal how far it has come: how far it has to go nobody knows.
func (w *imaWalk) progress(to io.Writer) (stop func()) {
	if !term.IsTerminal(to) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				_, _ = fmt.Fprint(to, "\r\x1b[K")
				return
			case <-tick.C:
				_, _ = fmt.Fprintf(to, "\r\x1b[K%d files, %.1f MB", w.count.Files.Load(), float64(w.count.Bytes.Load())/1e6)
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}
