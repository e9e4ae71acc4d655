package module

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt/observer"
)

func topCommand() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Live view of services, the slowest requests and those under way",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if every < 100*time.Millisecond {
				return core.Exit(core.ExitUsage, fmt.Errorf("--every %v: at least 100ms", every))
			}
			env := core.EnvFrom(cmd.Context())
			m := &top{ctx: cmd.Context(), every: every, colours: term.Colours(env.Out)}
			if m.fetch(); m.err != nil {
				return m.err
			}
			if env.JSON {
				return env.PrintJSON(map[string]any{"status": m.stat.Status, "by_service": m.stat.Services, "slow": m.slow.Requests, "inflight": m.inflight})
			}
			if !term.IsTerminal(env.Out) {
				_, err := fmt.Fprintln(env.Out, m.View())
				return err
			}
			_, err := tea.NewProgram(m, tea.WithAltScreen(), tea.WithContext(cmd.Context()), tea.WithOutput(env.Out)).Run()
			return err
		},
	}
	c.Flags().DurationVar(&every, "every", time.Second, "time between two looks")
	return c
}

// top is the model of the live view.
type top struct {
	ctx      context.Context
	every    time.Duration
	stat     stat
	slow     slow
	inflight inflight
	err      error
	width    int
	height   int
	by       int // sort order
	only     int // 0 both roles, 1 servers, 2 clients
	paused   bool
	colours  bool
}

var orders = []struct {
	name string
	less func(a, b observer.Service) int
}{
	{"requests", func(a, b observer.Service) int { return cmp.Compare(b.Rate, a.Rate) }},
	{"p99", func(a, b observer.Service) int { return cmp.Compare(b.P99, a.P99) }},
	{"failed", func(a, b observer.Service) int { return cmp.Compare(b.Failed, a.Failed) }},
	{"name", func(a, b observer.Service) int { return strings.Compare(a.Name, b.Name) }},
}

var roles = []string{"both roles", "server", "client"}

type tick time.Time

func (t *top) next() tea.Cmd {
	return tea.Tick(t.every, func(at time.Time) tea.Msg { return tick(at) })
}

// Init implements tea.Model.
func (t *top) Init() tea.Cmd { return t.next() }

// Update implements tea.Model.
func (t *top) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = msg.Width, msg.Height
	case tick:
		if !t.paused {
			t.fetch()
		}
		return t, t.next()
	case tea.KeyMsg:
		switch msg.String() {
		case "q", "ctrl+c", "esc":
			return t, tea.Quit
		case "s":
			t.by = (t.by + 1) % len(orders)
		case "r":
			t.only = (t.only + 1) % len(roles)
			t.fetch()
		case "p", " ":
			t.paused = !t.paused
		}
	}
	return t, nil
}

func (t *top) fetch() {
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
	defer cancel()
	f := filter{limit: 20, since: time.Minute}
	if t.only > 0 {
		f.role = roles[t.only]
	}
	if t.err = ask(ctx, "status", nil, &t.stat); t.err != nil {
		return
	}
	if t.err = ask(ctx, "slow", f.query(), &t.slow); t.err != nil {
		return
	}
	f.since = 0
	t.err = ask(ctx, "inflight", f.query(), &t.inflight)
}

// View implements tea.Model.
func (t *top) View() string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(term.Cut(term.Clean(fmt.Sprintf(format, args...)), t.width) + "\n")
	}
	s := &t.stat
	line("anole tcprt top   %s   tier %s   %.1f %% of a CPU   %s", time.Now().Format(time.TimeOnly), s.Tier, 100*s.Cost, s.Level)
	line("")
	var all []observer.Service
	for _, v := range s.Services {
		if t.only == 0 || v.Role == roles[t.only] {
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, orders[t.by].less)
	if len(all) == 0 {
		line(noServices)
	} else {
		_ = serviceTable(all, t.rows(2)).WriteCut(&b, t.width, t.colours)
	}
	line("")
	line("slowest of the last minute")
	if len(t.slow.Requests) > 0 {
		_ = recordTable(t.slow.Requests[:min(len(t.slow.Requests), t.rows(4))]).WriteCut(&b, t.width, t.colours)
	}
	line("")
	line("under way: %d", t.inflight.All)
	if len(t.inflight.Requests) > 0 {
		_ = inflightTable(t.inflight.Requests[:min(len(t.inflight.Requests), t.rows(4))]).WriteCut(&b, t.width, t.colours)
	}
	if t.err != nil {
		line("")
		line("%v", t.err)
	}
	line("")
	foot := fmt.Sprintf("q quit   s sort (%s)   r role (%s)   p pause", orders[t.by].name, roles[t.only])
	if t.paused {
		foot += "   paused"
	}
	return b.String() + term.Cut(foot, t.width)
}

// rows is how many lines a table has that is given one of so many parts of the
// screen.
func (t *top) rows(part int) int {
	if t.height == 0 {
		return 10
	}
	return max(1, (t.height-11)/part)
}
