package module

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt/observer"
)

const noServices = "no requests yet: whatever talks TCP on this node will be here, nothing needs to be configured"

// span writes seconds for people.
func span(seconds float64) string {
	return term.Duration(time.Duration(seconds * float64(time.Second)))
}

// some is span, or - for none.
func some(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	return span(seconds)
}

// rate writes a number a second.
func rate(n float64) string {
	for _, unit := range []string{"", "k", "M"} {
		if n < 1000 {
			if n < 10 && n > 0 {
				return fmt.Sprintf("%.1f%s", n, unit)
			}
			return fmt.Sprintf("%.0f%s", n, unit)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.0fG", n)
}

// share writes a part of one in percent, and - for none.
func share(v float64) term.Cell {
	switch {
	case v == 0:
		return term.Cell{Text: "-"}
	case v >= 0.01:
		return term.Cell{Text: fmt.Sprintf("%.1f %%", 100*v), Style: term.Red}
	}
	return term.Cell{Text: fmt.Sprintf("%.2f %%", 100*v), Style: term.Yellow}
}

func serviceTable(all []observer.Service, most int) *term.Table {
	t := term.NewTable("SERVICE", "ROLE", "PORT", "REQ/S", "FAILED", "P50", "P99", "UPLOAD", "QUEUE", "SERVER", "SEND", "DELIVER", "RESENT/S", "RTT", "CONNS").
		Spare("RTT", "CONNS", "RESENT/S", "UPLOAD", "QUEUE", "SEND")
	for i := range all {
		if most > 0 && i >= most {
			break
		}
		s := &all[i]
		mean := func(p string) string {
			v, ok := s.Phases[p]
			if !ok {
				return "-"
			}
			return span(v)
		}
		t.Row(s.Name, s.Role, fmt.Sprint(s.Port), rate(s.Rate), share(s.Failed), some(s.P50), some(s.P99),
			mean("upload"), mean("queue"), mean("server"), mean("send"), mean("deliver"), rate(s.Retransmit), some(s.RTT), fmt.Sprint(s.Open))
	}
	return t
}

// who names the service of a record.
func who(r *observer.Record) string {
	port := r.Local.Port()
	if r.Role == "client" {
		port = r.Remote.Port()
	}
	return fmt.Sprintf("%s:%d", r.Name, port)
}

// peer is who the other side is.
func peer(r *observer.Record) string { return r.Remote.String() }

func phaseCell(r *observer.Record, phase string) string {
	v, ok := r.Phases[phase]
	if !ok {
		return "-"
	}
	return span(v)
}

// largest is the phase that took most of the time.
func largest(r *observer.Record) string {
	best := ""
	for _, p := range []string{"upload", "queue", "server", "send", "deliver"} {
		if best == "" || r.Phases[p] > r.Phases[best] {
			best = p
		}
	}
	return best
}

// what is the request, as far as hints told.
func what(r *observer.Record) string {
	var out []string
	for _, s := range []string{r.Method, r.Route, r.Status} {
		if s != "" {
			out = append(out, s)
		}
	}
	if len(out) == 0 {
		out = append(out, r.Protocol)
	}
	if r.Requests > 1 {
		out = append(out, fmt.Sprintf("and %d more", r.Requests-1))
	}
	return strings.Join(out, " ")
}

// hinted says whether any of the records tells what it was.
func hinted(all []observer.Record) bool {
	return slices.ContainsFunc(all, func(r observer.Record) bool { return r.Protocol != "" })
}

// notes is what is out of the ordinary about a record.
func notes(r *observer.Record) string {
	var out []string
	if r.Retransmits > 0 {
		out = append(out, fmt.Sprintf("%d sent again", r.Retransmits))
	}
	if r.ZeroWindows > 0 {
		out = append(out, "window shut")
	}
	for f := range strings.SplitSeq(r.Flags, ",") {
		switch f {
		case "aborted-request", "aborted-answer", "overlap", "half-closed", "reordered", "handshake", "continued", "one-way":
			out = append(out, f)
		}
	}
	return strings.Join(out, ", ")
}

func recordTable(all []observer.Record) *term.Table {
	head, spare := []string{"TIME", "SERVICE", "ROLE", "PEER"}, []string{"ASKED", "ANSWERED", "ROLE", "NOTES"}
	hints := hinted(all)
	if hints {
		head, spare = append(head, "REQUEST"), append(spare, "PEER")
	}
	t := term.NewTable(append(head, "TOTAL", "UPLOAD", "QUEUE", "SERVER", "SEND", "DELIVER", "ASKED", "ANSWERED", "NOTES")...).Spare(spare...)
	for i := range all {
		r := &all[i]
		most := largest(r)
		cell := func(p string) term.Cell {
			c := term.Cell{Text: phaseCell(r, p)}
			if p == most && r.Total > 0 {
				c.Style = term.Yellow
			}
			return c
		}
		row := []any{r.Time.Format("15:04:05.000"), who(r), r.Role, peer(r)}
		if hints {
			row = append(row, what(r))
		}
		t.Row(append(row, span(r.Total),
			cell("upload"), cell("queue"), cell("server"), cell("send"), cell("deliver"), fmt.Sprint(r.Request), fmt.Sprint(r.Answer), notes(r))...)
	}
	return t
}

func inflightTable(all []observer.Record) *term.Table {
	head := []string{"AGE", "SERVICE", "ROLE", "PEER"}
	hints := hinted(all)
	if hints {
		head = append(head, "REQUEST")
	}
	t := term.NewTable(append(head, "STATE", "ASKED", "ANSWERED", "UNACKED", "PROCESS", "NOTES")...).Spare("PROCESS", "UNACKED", "NOTES")
	for i := range all {
		r := &all[i]
		process := "-"
		if r.PID != 0 {
			process = fmt.Sprintf("%d (%s)", r.PID, r.Command)
		}
		row := []any{span(r.Age), who(r), r.Role, peer(r)}
		if hints {
			row = append(row, what(r))
		}
		t.Row(append(row, r.State, fmt.Sprint(r.Request), fmt.Sprint(r.Answer), fmt.Sprint(r.Unacked), process, notes(r))...)
	}
	return t
}

func writeStatus(w io.Writer, s *stat) error {
	line := func(format string, args ...any) {
		fmt.Fprintln(w, term.Fold(w, term.Clean(fmt.Sprintf(format, args...)), "  "))
	}
	line("tier %s, %s", s.Tier, s.Level)
	if s.Short != "" {
		line("no higher tier: %s", s.Short)
	}
	if s.NoHints != "" {
		line("no hints of what requests are: %s", s.NoHints)
	}
	line("cost %.2f %% of a CPU: the agent %.2f %%, the kernel's programs %.2f %%", 100*s.Cost, 100*(s.Cost-s.Kernel), 100*s.Kernel)
	line("%d services, %d records kept of %d that the kernel gave; %d lost for want of room, %d segments seen late", s.Status.Services, s.Kept, s.Records, s.Dropped, s.Missed)
	for _, x := range s.Exports {
		line("to %s by %s: %d records, %d dropped", x.To, x.Name, x.Records, x.Dropped)
		if x.Problem != "" {
			fmt.Fprintln(w, term.Paint(w, term.Yellow, term.Fold(w, term.Clean("  "+x.Problem), "    ")))
		}
	}
	if s.Problem != "" {
		fmt.Fprintln(w, term.Paint(w, term.Yellow, term.Fold(w, term.Clean(s.Problem), "  ")))
	}
	fmt.Fprintln(w)
	if len(s.Services) == 0 {
		_, err := fmt.Fprintln(w, noServices)
		return err
	}
	return serviceTable(s.Services, 20).Write(w)
}
