package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt/observer"
)

// Command implements core.Commander.
func (m *Module) Command() *cobra.Command {
	c := &cobra.Command{
		Use:   "tcprt",
		Short: "Every TCP request of the node, timed and split",
		Long: `Times each request on each TCP connection of the node, on the side of whoever
answers and of whoever asks, and splits the time: upload (until the request was
here), queue (until the program read it), server (until its answer began), send
(until the last of it left), deliver (until the other side had it). No program is
changed and no port configured.`,
	}
	c.AddCommand(statusCommand(), topCommand(), statCommand(), routesCommand(), watchCommand(), slowCommand(), inflightCommand(), diagnoseCommand(),
		recordCommand(), replayCommand(), joinCommand(), exportCommand(), benchCommand())
	return c
}

// ask gets an answer from the agent.
func ask(ctx context.Context, path string, query url.Values, v any) error {
	return core.EnvFrom(ctx).Ask(ctx, http.MethodGet, "tcprt/"+path, query, nil, v)
}

// filter is the flags that choose requests.
type filter struct {
	service, name, role, from string
	over, since               time.Duration
	failed, resent            bool
	limit                     int
}

func (f *filter) flags(c *cobra.Command, over string) {
	c.Flags().StringVar(&f.service, "service", "", "only of this service, as anole tcprt stat -o json names it (id)")
	c.Flags().StringVar(&f.name, "of", "", "only of this container, pod, unit or command")
	c.Flags().StringVar(&f.role, "role", "", "only as server or as client")
	c.Flags().StringVar(&f.from, "peer", "", "only with this address or network on the other side")
	c.Flags().DurationVar(&f.over, "over", 0, over)
	_ = c.RegisterFlagCompletionFunc("role", cobra.FixedCompletions([]string{"server", "client"}, cobra.ShellCompDirectiveNoFileComp))
	_ = c.RegisterFlagCompletionFunc("of", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		var s stat
		if ask(cmd.Context(), "status", nil, &s) != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var out []string
		for _, v := range s.Services {
			out = append(out, v.Name)
		}
		return out, cobra.ShellCompDirectiveNoFileComp
	})
}

func (f *filter) ends(c *cobra.Command) {
	c.Flags().BoolVar(&f.failed, "failed", false, "only what was not answered whole")
	c.Flags().BoolVar(&f.resent, "retransmitted", false, "only with segments sent again")
}

func (f *filter) query() url.Values {
	q := url.Values{}
	set := func(key, v string, on bool) {
		if on {
			q.Set(key, v)
		}
	}
	set("service", f.service, f.service != "")
	set("name", f.name, f.name != "")
	set("role", f.role, f.role != "")
	set("from", f.from, f.from != "")
	set("over", f.over.String(), f.over != 0)
	set("since", f.since.String(), f.since != 0)
	set("failed", "true", f.failed)
	set("resent", "true", f.resent)
	set("limit", strconv.Itoa(f.limit), f.limit != 0)
	return q
}

func statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "How closely it looks, what that costs, what was lost",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s stat
			if err := ask(cmd.Context(), "status", nil, &s); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(s)
			}
			return writeStatus(env.Out, &s)
		},
	}
}

func statCommand() *cobra.Command {
	var most int
	c := &cobra.Command{
		Use:   "stat",
		Short: "Who has how many requests, and how long each part of them takes",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s stat
			if err := ask(cmd.Context(), "status", nil, &s); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(s.Services)
			}
			if len(s.Services) == 0 {
				_, err := fmt.Fprintln(env.Out, noServices)
				return err
			}
			return serviceTable(s.Services, most).Write(env.Out)
		},
	}
	c.Flags().IntVar(&most, "limit", 0, "the busiest so many; 0 is all")
	return c
}

func slowCommand() *cobra.Command {
	f := filter{}
	c := &cobra.Command{
		Use:   "slow",
		Short: "The slowest requests of late, and where their time went",
		Long: `Lists the slowest of the requests that are kept: those slower than 99 of 100 of
their service, those that failed or had segments sent again, and a sample of all.`,
		Example: "  anole tcprt slow --of nginx --over 50ms\n  anole tcprt slow --failed --since 5m -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s slow
			if err := ask(cmd.Context(), "slow", f.query(), &s); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(s.Requests)
			}
			if len(s.Requests) == 0 {
				_, err := fmt.Fprintln(env.Out, "none is kept that is so")
				return err
			}
			return recordTable(s.Requests).Write(env.Out)
		},
	}
	f.flags(c, "only of this length or longer")
	f.ends(c)
	c.Flags().DurationVar(&f.since, "since", 0, "only begun in the last so long")
	c.Flags().IntVar(&f.limit, "limit", 20, "so many at most")
	return c
}

func inflightCommand() *cobra.Command {
	f := filter{}
	c := &cobra.Command{
		Use:   "inflight",
		Short: "Requests that are not answered yet, the oldest first",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var v inflight
			if err := ask(cmd.Context(), "inflight", f.query(), &v); err != nil {
				return err
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(v)
			}
			if len(v.Requests) > 0 {
				if err := inflightTable(v.Requests).Write(env.Out); err != nil {
					return err
				}
			}
			return tail(env.Out, len(v.Requests), v.All)
		},
	}
	f.flags(c, "only of this age or older")
	c.Flags().IntVar(&f.limit, "limit", 20, "so many at most")
	return c
}

// tail says how many there are beside those that were listed.
func tail(w io.Writer, shown, all int) (err error) {
	switch {
	case all == 0:
		_, err = fmt.Fprintln(w, "no request is under way")
	case all > shown:
		_, err = fmt.Fprintf(w, "… and %d more: --limit %d lists them\n", all-shown, all)
	}
	return err
}

func watchCommand() *cobra.Command {
	f := filter{}
	var most int
	c := &cobra.Command{
		Use:   "watch",
		Short: "Requests as they end, one a line",
		Long: `Prints requests as they end, as far as they are kept: slow, failed and sampled
ones, or all with tcprt.records: all. With -o json a JSON value a line.`,
		Example: "  anole tcprt watch --of nginx --over 20ms",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			env := core.EnvFrom(cmd.Context())
			body, err := env.Send(cmd.Context(), http.MethodGet, "tcprt/watch", f.query(), nil)
			if err != nil {
				return err
			}
			defer body.Close()
			p := printer{w: env.Out, json: env.JSON}
			in := json.NewDecoder(body)
			for n := 0; most == 0 || n < most; n++ {
				var r observer.Record
				err := in.Decode(&r)
				if cmd.Context().Err() != nil {
					return nil // Ctrl-C
				}
				if errors.Is(err, io.EOF) {
					return core.Exit(core.ExitUnreachable, errors.New("the agent ended"))
				}
				if err != nil {
					return core.Exit(core.ExitUnreachable, fmt.Errorf("read records: %w", err))
				}
				if err := p.print(&r); err != nil {
					return err
				}
			}
			return nil
		},
	}
	f.flags(c, "only of this length or longer")
	f.ends(c)
	c.Flags().IntVar(&most, "count", 0, "end after so many; 0 does not")
	return c
}

// printer writes records one by one, in columns of a fixed width.
type printer struct {
	w    io.Writer
	json bool
	n    int
}

func (p *printer) print(r *observer.Record) error {
	if p.json {
		return json.NewEncoder(p.w).Encode(r)
	}
	const form = "%-12s %-6s %-22s %-24s %9s %9s %9s %9s %9s %9s  %s\n"
	if p.n%40 == 0 {
		head := fmt.Sprintf(form, "TIME", "ROLE", "WHO", "PEER", "TOTAL", "UPLOAD", "QUEUE", "SERVER", "SEND", "DELIVER", "NOTES")
		if _, err := io.WriteString(p.w, term.Paint(p.w, term.Bold, head)); err != nil {
			return err
		}
	}
	p.n++
	d := func(phase string) string { return phaseCell(r, phase) }
	_, err := fmt.Fprintf(p.w, form, r.Time.Format("15:04:05.000"), r.Role, term.Cut(term.Clean(who(r)), 22), peer(r), span(r.Total),
		d("upload"), d("queue"), d("server"), d("send"), d("deliver"), notes(r))
	return err
}
