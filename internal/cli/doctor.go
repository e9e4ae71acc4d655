package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/node"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/internal/yamlx"
)

func (a *app) doctor() *cobra.Command {
	var require []string
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Say what this node can do, and why not what it cannot",
		Long: "Say for every feature whether this node has it: yes, no because of something that can be\n" +
			"named, or could not tell. No agent is needed, and nothing on the node is left changed.\n" +
			"The exit code is 0 whatever the answers, unless --require asks for one.",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			results, err := a.ask(func(feature.Result) bool { return true })
			if err != nil {
				return err
			}
			return demand(results, require)
		},
	}
	c.Flags().StringSliceVar(&require, "require", nil, "exit with 3 unless this node has `room/feature`; repeatable")
	return c
}

// ask shows the answers to those probes that are wanted.
func (a *app) ask(wanted func(feature.Result) bool) ([]feature.Result, error) {
	all, err := node.Doctor(a.nodeOptions())
	if err != nil {
		// The answers do not depend on the configuration: show both.
		fmt.Fprintf(a.env.Err, "anole: %v\n", err)
	}
	results := []feature.Result{}
	for _, r := range all {
		if wanted(r) {
			results = append(results, r)
		}
	}
	if a.env.JSON {
		return results, a.env.PrintJSON(results)
	}
	return results, a.printFeatures(results)
}

// demand checks the features of --require.
func demand(results []feature.Result, require []string) error {
	var names []string
	for _, r := range results {
		names = append(names, r.Room+"/"+r.Feature)
	}
	for _, want := range require {
		i := slices.Index(names, want)
		if i < 0 {
			msg := fmt.Sprintf("require %s: there is no such feature", want)
			if near := yamlx.Nearest(want, names); near != "" {
				msg += fmt.Sprintf("; did you mean %q?", near)
			}
			return core.Exit(core.ExitUsage, fmt.Errorf("%s", msg))
		}
		if r := results[i]; r.Answer != feature.Yes {
			return core.Exit(core.ExitNo, fmt.Errorf("require %s: %s", want, verdict(r)))
		}
	}
	return nil
}

func verdict(r feature.Result) string {
	switch {
	case r.Answer == feature.No && r.Detail != "":
		return fmt.Sprintf("no: %s (%s)", r.Reason, r.Detail)
	case r.Answer == feature.No:
		return "no: " + string(r.Reason)
	case r.Answer == feature.Unknown:
		return "could not tell: " + r.Detail
	}
	return "yes"
}

func (a *app) printFeatures(results []feature.Result) error {
	w := a.env.Out
	if len(results) == 0 {
		fmt.Fprintln(w, "no module that is built in asks anything of the node")
		return nil
	}
	t := term.NewTable("FEATURE", "ANSWER", "WHAT IT GIVES", "NEEDS")
	count := map[feature.Answer]int{}
	for _, r := range results {
		count[r.Answer]++
		style := map[feature.Answer]term.Style{feature.Yes: term.Green, feature.No: term.Yellow, feature.Unknown: term.Red}[r.Answer]
		needs := r.Need
		if r.Fix != "" {
			if needs != "" {
				needs += "; "
			}
			needs += "fix: " + r.Fix
		}
		answer := verdict(r)
		if r.Answer == feature.Yes && r.Detail != "" {
			answer += ", " + r.Detail
		}
		t.Row(r.Room+"/"+r.Feature, term.Cell{Text: answer, Style: style}, r.Doc, needs)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	fmt.Fprintf(w, "\n%d yes, %d no, %d could not tell\n", count[feature.Yes], count[feature.No], count[feature.Unknown])
	return nil
}
