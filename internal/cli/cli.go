// Package cli is the command line: the agent's own verbs and, one command a
// room, those of the modules.
//
// An error is printed once, on standard error, as "anole: <what went wrong>",
// and becomes the exit code of core.ExitCode; whatever is wrong with the
// command line itself is 2. What a signal ended before it was done says
// "interrupted", and is core.ExitInterrupted.
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/node"
)

// Options is what the binary brings to the command line.
type Options struct {
	Registry *core.Registry            // nil means core.Default
	Undo     journal.Undo              // puts journal entries back
	Claim    func() (io.Closer, error) // makes this the node's only agent; nil claims nothing
	// Web makes the console's files from the running modules' panels.
	Web      func([]core.Panel) http.Handler
	Out, Err io.Writer
}

// app is one run of the command line.
type app struct {
	opt   Options
	env   *core.Env
	root  *cobra.Command
	flags flags
	// ran says that the command line was understood and a verb has begun.
	ran bool
}

type flags struct{ config, socket, stateDir, runDir, root, output string }

// Run executes the command line and gives the exit code. ctx ends on SIGINT
// and SIGTERM.
func Run(ctx context.Context, args []string, opt Options) int {
	if opt.Registry == nil {
		opt.Registry = core.Default
	}
	a := &app{opt: opt, env: &core.Env{Out: opt.Out, Err: opt.Err}}
	if err := a.build(); err != nil {
		fmt.Fprintf(opt.Err, "anole: %v\n", err)
		return core.ExitFailed
	}
	a.root.SetArgs(args)
	err := a.root.ExecuteContext(core.WithEnv(ctx, a.env))
	if err != nil && !a.ran {
		err = core.Exit(core.ExitUsage, err)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = core.Exit(core.ExitInterrupted, interrupted{err})
	}
	return Exit(err, opt.Err)
}

// Exit prints an error, once, and gives its exit code.
func Exit(err error, w io.Writer) int {
	if msg := message(err); msg != "" {
		fmt.Fprintf(w, "anole: %s\n", msg)
	}
	return core.ExitCode(err)
}

// interrupted is the error of a verb that a signal ended. What it says beside that, as of
// what it did until then, stays.
type interrupted struct{ error }

func (i interrupted) Error() string {
	return strings.ReplaceAll(i.error.Error(), context.Canceled.Error(), "interrupted")
}

func (i interrupted) Unwrap() error { return i.error }

// message is an error's text without what net/http wraps around an agent that
// cannot be reached, whose URL says nothing to anyone.
func message(err error) string {
	if err == nil {
		return ""
	}
	msg := err.Error()
	var u *url.Error
	var exit *core.ExitError
	if errors.As(err, &u) && errors.As(u.Err, &exit) {
		msg = strings.Replace(msg, u.Error(), u.Err.Error(), 1)
	}
	return msg
}

// A module's own PersistentPreRun must not hide begin.
func init() { cobra.EnableTraverseRunHooks = true }

// build makes the command tree.
func (a *app) build() error {
	infos, err := a.opt.Registry.Ordered()
	if err != nil {
		return err
	}
	a.root = &cobra.Command{
		Use:   "anole",
		Short: "Resource isolation and more for a Linux node",
		Long: "anole lets latency-sensitive and batch work share a node.\n\n" +
			"Start the agent with \"anole up\"; see what this node can do with \"anole doctor\".",
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		PersistentPreRunE:          a.begin,
	}
	a.root.SetOut(a.opt.Out)
	a.root.SetErr(a.opt.Err)
	a.root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return core.Exit(core.ExitUsage, fmt.Errorf("%w; see \"%s --help\"", err, c.CommandPath()))
	})
	f := a.root.PersistentFlags()
	f.StringVar(&a.flags.config, "config", node.DefaultConfig, "configuration `file`; files in conf.d beside it are laid over it")
	f.StringVar(&a.flags.socket, "socket", "", "`path` of the agent's socket (default: anole.sock in the run directory)")
	f.StringVar(&a.flags.stateDir, "state-dir", node.DefaultStateDir, "`directory` for what survives a reboot")
	f.StringVar(&a.flags.runDir, "run-dir", node.DefaultRunDir, "`directory` for what does not")
	f.StringVar(&a.flags.root, "root", "", "prefix of /proc and /sys")
	f.StringVarP(&a.flags.output, "output", "o", "table", "`form` of the output: table or json")
	_ = f.MarkHidden("root")
	a.root.AddCommand(a.up(), a.status(), a.doctor(), a.revert(), a.reload(), a.config(), a.version(), a.gen())
	for _, i := range infos {
		if c, ok := i.New().(core.Commander); ok {
			a.room(i.Name, c.Command())
		}
	}
	groups(a.root)
	return nil
}

// groups makes every command that only holds others say so when it is called
// with something else; cobra would print the help and call that a success.
func groups(c *cobra.Command) {
	for _, sub := range c.Commands() {
		groups(sub)
	}
	if c.Runnable() || !c.HasSubCommands() {
		return
	}
	c.Args = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		msg := fmt.Sprintf("unknown verb %q for %q", args[0], c.CommandPath())
		if c.SuggestionsMinimumDistance <= 0 {
			c.SuggestionsMinimumDistance = 2
		}
		if near := c.SuggestionsFor(args[0]); len(near) > 0 {
			return fmt.Errorf("%s; did you mean %q?", msg, near[0])
		}
		return fmt.Errorf("%s; see \"%s --help\"", msg, c.CommandPath())
	}
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
}

// begin runs before every verb.
func (a *app) begin(c *cobra.Command, _ []string) error {
	switch a.flags.output {
	case "table", "json":
	default:
		return fmt.Errorf("flag --output: wants table or json, got %q", a.flags.output)
	}
	if err := errors.Join(c.ValidateRequiredFlags(), c.ValidateFlagGroups()); err != nil {
		return fmt.Errorf("%w; see \"%s --help\"", err, c.CommandPath())
	}
	a.ran = true
	e := a.env
	e.Root, e.StateDir, e.RunDir = a.flags.root, a.flags.stateDir, a.flags.runDir
	e.Config, e.JSON = a.flags.config, a.flags.output == "json"
	e.Socket = a.socket()
	e.Agent = dialer(e.Socket)
	return nil
}

// nodeOptions gives the agent's options from the flags.
func (a *app) nodeOptions() node.Options {
	return node.Options{
		Registry: a.opt.Registry, Config: a.flags.config, Required: a.root.PersistentFlags().Changed("config"),
		Root: a.flags.root, StateDir: a.flags.stateDir, RunDir: a.flags.runDir, Socket: a.flags.socket,
		Version: Version(), Undo: a.opt.Undo, Claim: a.opt.Claim, Web: a.opt.Web, Log: a.opt.Err,
	}
}
