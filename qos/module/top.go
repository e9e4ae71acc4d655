package module

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
)

func topCommand() *cobra.Command {
	var every time.Duration
	c := &cobra.Command{
		Use:   "top",
		Short: "Live view of classes, workloads and what the controller writes",
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
	ctx     context.Context
	every   time.Duration
	status  qos.Status
	err     error
	width   int
	height  int
	by      int // sort order
	paused  bool
	colours bool
}

var orders = []struct {
	name string
	less func(a, b qos.WorkloadStatus) int
}{
	{"cores", func(a, b qos.WorkloadStatus) int { return cmp.Compare(b.Used, a.Used) }},
	{"throttled", func(a, b qos.WorkloadStatus) int { return cmp.Compare(b.Throttled, a.Throttled) }},
	{"name", func(a, b qos.WorkloadStatus) int { return strings.Compare(a.ID, b.ID) }},
}

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
		case "p", " ":
			t.paused = !t.paused
		}
	}
	return t, nil
}

func (t *top) fetch() {
	ctx, cancel := context.WithTimeout(t.ctx, 2*time.Second)
	defer cancel()
	var s qos.Status
	if t.err = ask(ctx, http.MethodGet, "status", nil, nil, &s); t.err == nil {
		t.status = s
	}
}

// View implements tea.Model.
func (t *top) View() string {
	var b strings.Builder
	s := &t.status
	line := func(format string, args ...any) {
		b.WriteString(term.Cut(term.Clean(fmt.Sprintf(format, args...)), t.width) + "\n")
	}
	line("anole qos top   %s   %s   %s", s.Node.Name, time.UnixMilli(s.Time).Format(time.TimeOnly), gauge(s.Node.Busy, s.Node.CPUs))
	if s.Cap != nil {
		line("best effort capped at %.2f cores: %s", *s.Cap, s.CapWhy)
	} else {
		line("best effort: no cap in force")
	}
	for _, text := range t.resources() {
		line("%s", text)
	}
	line("")
	classes := term.NewTable("CLASS", "WORKLOADS", "CORES", "THROTTLED", "RUNQ P50", "RUNQ P99", "PSI CPU")
	for _, c := range s.Classes {
		classes.Row(classCell(c.Class.String()), fmt.Sprint(c.Workloads), fmt.Sprintf("%.2f", c.Used), percent(c.Throttled), microseconds(c.RunqP50), microseconds(c.RunqP99), percent(c.PSI))
	}
	_ = classes.WriteCut(&b, t.width, t.colours)
	line("")
	all := slices.Clone(s.Workloads)
	slices.SortStableFunc(all, orders[t.by].less)
	if len(all) == 0 {
		line(noWorkloads)
	} else {
		_ = workloadTable(all, t.rows()).WriteCut(&b, t.width, t.colours)
	}
	line("")
	line("last writes")
	for _, d := range s.Decisions[:t.writes()] {
		line("  %s  %-9s %s: %s → %s  (%s)", time.UnixMilli(d.Time).Format("15:04:05.0"), d.Controller, base(d.File), d.Old, d.New, d.Why)
	}
	if t.err != nil {
		line("")
		line("%v", t.err)
	}
	line("")
	foot := fmt.Sprintf("q quit   s sort (%s)   p pause", orders[t.by].name)
	if t.paused {
		foot += "   paused"
	}
	return b.String() + term.Cut(foot, t.width)
}

// lastWrites is how many decisions are shown.
const lastWrites = 6

// resources has a line for the memory, and one for the disks on which
// best-effort work is limited, as far as there is room.
func (t *top) resources() (out []string) {
	if text := memoryLine(t.status.Node.Memory); text != "" {
		out = append(out, text)
	}
	var disks []string
	for i := range t.status.IO {
		if d := &t.status.IO[i]; d.Limit != nil {
			disks = append(disks, fmt.Sprintf("%s: best effort may %s, LS latency %s of the objective", d.Disk, diskLimit(d), latencyCell(d).Text))
		}
	}
	if len(disks) > 0 {
		out = append(out, strings.Join(disks, "; "))
	}
	return out
}

// room is how many lines are left for workloads and writes: without the title,
// the cap, the heads of two tables and of the writes, the foot, and blanks.
func (t *top) room() int {
	return t.height - len(t.status.Classes) - len(t.resources()) - 10
}

// writes is how many decisions fit.
func (t *top) writes() int {
	n := min(len(t.status.Decisions), lastWrites)
	if t.height > 0 {
		n = min(n, max(1, t.room()/3))
	}
	return n
}

// rows is how many workloads fit, 0 for all.
func (t *top) rows() int {
	if t.height == 0 {
		return 0
	}
	return max(1, t.room()-t.writes())
}

// gauge draws use as a bar.
func gauge(used, of float64) string {
	const width = 20
	n := 0
	if of > 0 {
		n = min(width, max(0, int(used/of*width+0.5)))
	}
	return fmt.Sprintf("[%s%s] %.2f of %.0f cores", strings.Repeat("█", n), strings.Repeat("·", width-n), used, of)
}
