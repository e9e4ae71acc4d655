package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima/enforce"
	"github.com/anole-os/anole/internal/term"
)

func imaEnforceCommand() *cobra.Command {
	e := defaultEnforce()
	c := &cobra.Command{
		Use:   "enforce PATH…",
		Short: "Let programs run only with a good label, where the kernel cannot check it",
		Long: `Stays, and is asked by the kernel (fanotify) before each execution on the file systems
of the paths. What has no good label is told; with --mode enforce it is denied. The agent
does the same by itself where gm.ima.enforce in its configuration says so.

Begin with --mode log and --allow what needs no label, or the node cannot start
anything any more. When this ends, in whatever way, programs run unasked: kill -9
helps where it went wrong. It does not stop root, who can do just that, nor what a
script tells its interpreter. With --scope mount it stops nobody who may make a mount
namespace, as everybody may by a user namespace: copies of a mount are not watched.`,
		Example: "  anole gm ima enforce --key ima.crt --mode log /usr\n  anole gm ima enforce --key ima.crt --mode enforce /srv/apps",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if e.Paths, err = absolute(args); err != nil {
				return err
			}
			if e.Allow, err = absolute(e.Allow); err != nil {
				return err
			}
			if e.Mode == modeOff {
				return core.Exit(core.ExitUsage, errors.New("--mode off: log or enforce"))
			}
			if err := e.choices(); err != nil {
				return core.Exit(core.ExitUsage, fmt.Errorf("--%w", err))
			}
			if len(e.Keys) == 0 && !e.Digests {
				return core.Exit(core.ExitUsage, errors.New("without --key nothing has a good signature: name the certificates"))
			}
			ring, err := imaKeyring(cmd, e.Keys)
			if err != nil {
				return err
			}
			return runEnforce(cmd.Context(), e.options(ring))
		},
	}
	e.flags(c)
	return c
}

func absolute(paths []string) (all []string, err error) {
	for _, p := range paths {
		p, err := filepath.Abs(p)
		if err != nil {
			return nil, fmt.Errorf("find %s: %w", p, err)
		}
		all = append(all, p)
	}
	return all, nil
}

func (e *Enforce) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringArrayVar(&e.Keys, "key", nil, "certificates or public keys, PEM or DER")
	f.StringVar(&e.Mode, "mode", modeLog, "log: tell; enforce: deny")
	f.StringVar(&e.Scope, "scope", defaultEnforce().Scope, "what of a path is watched: its filesystem by whatever mount; its mount, but no copy of it in another mount namespace; or the path: a file, or the files in a folder")
	f.BoolVar(&e.Opens, "opens", false, "ask for ELF files that are opened too, as shared libraries are")
	f.BoolVar(&e.Digests, "digests", false, "labels that are digests, which anybody can make, are good")
	f.BoolVar(&e.AllowUnlabelled, "allow-unlabelled", false, "what has no label may run: only what is changed may not")
	f.StringArrayVar(&e.Allow, "allow", nil, "folders and files that need no label")
	f.DurationVar((*time.Duration)(&e.Timeout), "timeout", 10*time.Second, "within which a program must have been checked")
	f.StringVar(&e.Late, "late", "deny", "what was not: deny or allow")
	f.BoolVar(&e.UserAttr, "user-attr", false, "labels are in user.ima")
	f.IntVar(&e.Cache, "cache", 1<<16, "verdicts that are kept")
	_ = c.RegisterFlagCompletionFunc("mode", cobra.FixedCompletions([]string{modeLog, modeEnforce}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("scope", cobra.FixedCompletions([]string{"filesystem", "mount", "path"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("late", cobra.FixedCompletions([]string{"deny", "allow"}, cobra.ShellCompDirectiveNoFileComp))
}

// enforceLine is one of the output for programs: a denial, or the counts at the end.
type enforceLine struct {
	Time   time.Time       `json:"time"`
	Denial *enforce.Denial `json:"denial,omitempty"`
	Stats  *enforce.Stats  `json:"stats,omitempty"`
}

func runEnforce(ctx context.Context, o enforce.Options) error {
	env := core.EnvFrom(ctx)
	var mu sync.Mutex
	line := func(l enforceLine) {
		mu.Lock()
		defer mu.Unlock()
		l.Time = time.Now().UTC()
		if b, err := json.Marshal(l); err == nil {
			_, _ = fmt.Fprintf(env.Out, "%s\n", b)
		}
	}
	o.Tell = func(d enforce.Denial) {
		if env.JSON {
			line(enforceLine{Denial: &d})
			return
		}
		_, _ = fmt.Fprintln(env.Out, denialText(&d))
	}
	e, err := enforce.Open(o)
	if err != nil {
		return err
	}
	if o.Scope == enforce.Mount {
		_, _ = fmt.Fprintln(env.Err, "warning: "+mountScope)
	}
	_, _ = fmt.Fprintf(env.Err, "watching %d paths\n", len(o.Paths))
	err = e.Run(ctx)
	s := e.Stats()
	if env.JSON {
		line(enforceLine{Stats: &s})
	} else {
		_, _ = fmt.Fprintln(env.Err, statsText(&s))
	}
	return err
}

// mountScope is what to know of a mount that is watched.
const mountScope = "scope mount: programs run unasked in other mount namespaces, which every user can make where user namespaces are allowed: scope filesystem holds there too"

func denialText(d *enforce.Denial) string {
	what := "would be denied"
	if d.Denied {
		what = "denied"
	}
	text := fmt.Sprintf("%s: %s to process %d: %s", term.Clean(d.Path), what, d.PID, d.Reason)
	if d.Suppressed > 0 {
		text += fmt.Sprintf(" (and %d not told before)", d.Suppressed)
	}
	return text
}

func statsText(s *enforce.Stats) string {
	return fmt.Sprintf("asked %d times, %d answered from what was known; %d files good, %d not; %d denied, %d told, %d excepted, %d timeouts",
		s.Events, s.CacheHits, s.Verified, s.Rejected, s.Denied, s.Told, s.Excepted, s.Timeouts)
}
