package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/kern/ima"
	"github.com/anole-os/anole/gm/kern/ima/enforce"
	"github.com/anole-os/anole/internal/term"
)

var enforceScopes = map[string]enforce.Scope{"mount": enforce.Mount, "filesystem": enforce.Filesystem, "path": enforce.Path}

func imaEnforceCommand() *cobra.Command {
	var o enforce.Options
	var keys []string
	var mode, scope, late string
	var user bool
	c := &cobra.Command{
		Use:   "enforce PATH…",
		Short: "Let programs run only with a good label, where the kernel cannot check it",
		Long: `Stays, and is asked by the kernel (fanotify) before each execution on the mounts of
the paths. What has no good label is told; with --mode enforce it is denied.

Begin with --mode log and --allow what needs no label, or the node cannot start
anything any more. When this ends, in whatever way, programs run unasked: kill -9
helps where it went wrong. It does not stop root, who can do just that, nor what a
script tells its interpreter.`,
		Example: "  anole gm ima enforce --key ima.crt --mode log /usr\n  anole gm ima enforce --key ima.crt --mode enforce --scope mount /srv/apps",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var known bool
			if o.Scope, known = enforceScopes[scope]; !known {
				return core.Exit(core.ExitUsage, fmt.Errorf("--scope %q: mount, filesystem or path", scope))
			}
			if mode != "log" && mode != "enforce" {
				return core.Exit(core.ExitUsage, fmt.Errorf("--mode %q: log or enforce", mode))
			}
			if late != "deny" && late != "allow" {
				return core.Exit(core.ExitUsage, fmt.Errorf("--late %q: deny or allow", late))
			}
			if len(keys) == 0 && !o.Digests {
				return core.Exit(core.ExitUsage, errors.New("without --key nothing has a good signature: name the certificates"))
			}
			if user {
				o.Place = ima.User
			}
			ring, err := imaKeyring(keys)
			if err != nil {
				return err
			}
			o.Keys, o.Paths, o.Enforce, o.TimeoutAllows = ring, args, mode == "enforce", late == "allow"
			return runEnforce(cmd.Context(), o)
		},
	}
	f := c.Flags()
	f.StringArrayVar(&keys, "key", nil, "certificates or public keys, PEM or DER")
	f.StringVar(&mode, "mode", "log", "log: tell; enforce: deny")
	f.StringVar(&scope, "scope", "mount", "what of a path is watched: its mount, its filesystem by whatever mount, or the path: a file, or the files in a folder")
	f.BoolVar(&o.Opens, "opens", false, "ask for ELF files that are opened too, as shared libraries are")
	f.BoolVar(&o.Digests, "digests", false, "labels that are digests, which anybody can make, are good")
	f.BoolVar(&o.AllowUnsigned, "allow-unlabelled", false, "what has no label may run: only what is changed may not")
	f.StringArrayVar(&o.Allow, "allow", nil, "folders and files that need no label")
	f.DurationVar(&o.Timeout, "timeout", 10*time.Second, "within which a program must have been checked")
	f.StringVar(&late, "late", "deny", "what was not: deny or allow")
	f.BoolVar(&user, "user-attr", false, "labels are in user.ima")
	f.IntVar(&o.Cache, "cache", 1<<16, "verdicts that are kept")
	return c
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
		what := "would be denied"
		if d.Denied {
			what = "denied"
		}
		_, _ = fmt.Fprintf(env.Out, "%s: %s to process %d: %s", term.Clean(d.Path), what, d.PID, d.Reason)
		if d.Suppressed > 0 {
			_, _ = fmt.Fprintf(env.Out, " (and %d not told before)", d.Suppressed)
		}
		_, _ = fmt.Fprintln(env.Out)
	}
	e, err := enforce.Open(o)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(env.Err, "watching %d paths\n", len(o.Paths))
	err = e.Run(ctx)
	s := e.Stats()
	if env.JSON {
		line(enforceLine{Stats: &s})
	} else {
		_, _ = fmt.Fprintf(env.Err, "asked %d times, %d answered from what was known; %d files good, %d not; %d denied, %d told, %d excepted, %d timeouts\n",
			s.Events, s.CacheHits, s.Verified, s.Rejected, s.Denied, s.Told, s.Excepted, s.Timeouts)
	}
	return err
}
