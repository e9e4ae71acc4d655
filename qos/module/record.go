package module

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/record"
)

// getRecord streams a recording, a JSON value a line, until the client leaves.
func (m *Module) getRecord(w http.ResponseWriter, r *http.Request) {
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && a.Network() != "unix" {
		// Each makes the agent work harder, and tells of labels and programs.
		core.Answer(w, nil, &core.HTTPError{Code: http.StatusForbidden, Err: errors.New("recordings are given on the agent's unix socket only: use anole qos record")})
		return
	}
	e := m.running()
	var tap *qos.Tap
	err := errNotRunning
	if e != nil {
		tap, err = e.Tap()
	}
	if errors.Is(err, qos.ErrBusy) {
		err = &core.HTTPError{Code: http.StatusConflict, Err: err}
	}
	if err != nil {
		core.Answer(w, nil, err)
		return
	}
	defer tap.Close()
	w.Header().Set("Content-Type", "application/x-ndjson")
	out := json.NewEncoder(w)
	head := tap.Header()
	if out.Encode(&record.Line{Header: &head}) != nil {
		return
	}
	flush := http.NewResponseController(w).Flush
	_ = flush()
	for {
		select {
		case <-r.Context().Done():
			return
		case lines, ok := <-tap.Lines():
			if !ok {
				if tap.Err() != nil {
					panic(http.ErrAbortHandler) // so that the client does not take it for the end
				}
				return
			}
			for _, l := range lines {
				if out.Encode(l) != nil {
					return
				}
			}
			_ = flush()
		}
	}
}

func recordCommand() *cobra.Command {
	var length time.Duration
	c := &cobra.Command{
		Use:   "record [FILE]",
		Short: "Record what the controllers look at and decide, for replay",
		Long: `Writes all signals of the running agent and what it decided on them, until
--for is over or you press Ctrl-C. The file is compressed if its name ends in .zst;
- is standard output. Without a name it is anole-qos-TIME.jsonl.zst.`,
		Example: "  anole qos record --for 10m night.jsonl.zst\n  anole qos replay night.jsonl.zst --policy tighter.yaml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "anole-qos-" + time.Now().Format("20060102-150405") + ".jsonl.zst"
			if len(args) > 0 {
				path = args[0]
			}
			return recordTo(cmd, path, length)
		},
	}
	c.Flags().DurationVar(&length, "for", 0, "how long; 0 is until Ctrl-C")
	return c
}

// recorded is the output of record -o json.
type recorded struct {
	File    string  `json:"file"`
	Seconds float64 `json:"seconds"`
	Steps   int     `json:"steps"`
	Bytes   int64   `json:"bytes"` // before compression
}

func recordTo(cmd *cobra.Command, path string, length time.Duration) (err error) {
	env := core.EnvFrom(cmd.Context())
	if length < 0 {
		return core.Exit(core.ExitUsage, fmt.Errorf("--for: %v is not a length of time", length))
	}
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	if length > 0 {
		ctx, cancel = context.WithTimeout(ctx, length)
		defer cancel()
	}
	body, err := stream(ctx, "record")
	if err != nil {
		return err
	}
	defer body.Close()
	w := record.NewWriter(env.Out)
	if path != "-" {
		if w, err = record.Create(path); err != nil {
			return core.Exit(core.ExitUsage, err)
		}
	}
	began := time.Now()
	bar := term.NewProgress(env.Err, "recording", int64(length/time.Second))
	steps, err := copyLines(w, body, func() { bar.Set(int64(time.Since(began) / time.Second)) })
	bar.Done()
	if ctx.Err() != nil {
		err = nil // it was to end
	}
	err = errors.Join(err, w.Close())
	if path == "-" {
		return err
	}
	done := recorded{path, time.Since(began).Seconds(), steps, w.Size()}
	if perr := tell(env, done, "%s: %d steps in %s; look at it with: anole qos replay %s\n", path, steps, term.Duration(time.Since(began)), path); err == nil {
		err = perr
	}
	return err
}

// copyLines takes whole lines over and counts the steps among them.
func copyLines(w *record.Writer, from io.Reader, tick func()) (steps int, err error) {
	r := bufio.NewReaderSize(from, 256<<10)
	for {
		b, err := r.ReadBytes('\n')
		if err != nil { // what there is of a line is no line
			if errors.Is(err, io.EOF) {
				return steps, core.Exit(core.ExitUnreachable, errors.New("the agent stopped; what it told until then is in the file"))
			}
			return steps, core.Exit(core.ExitUnreachable, fmt.Errorf("read the agent's answer: %w", err))
		}
		if err := w.Raw(b); err != nil {
			return steps, err
		}
		if len(b) > 8 && string(b[:8]) == `{"step":` {
			steps++
		}
		tick()
	}
}

func replayCommand() *cobra.Command {
	var policy, plot string
	var moves int
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Decide again on recorded signals, with the recorded policy or another one",
		Long: `Runs the agent's controllers over a recording and shows what they decide beside
what was decided then. The signals stay the recorded ones: it tells what another
policy would have written at each moment, not how the workloads would have
answered to that; for the latter see anole qos simulate.`,
		Example: "  anole qos replay night.jsonl.zst\n  anole qos replay night.jsonl.zst --policy tighter.yaml --moves 20",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out, err := replayFile(cmd, args[0], policy)
			if err != nil {
				return err
			}
			if plot != "" {
				if err := out.WritePlot(plot); err != nil {
					return err
				}
			}
			env := core.EnvFrom(cmd.Context())
			if env.JSON {
				return env.PrintJSON(out)
			}
			return writeReplay(env.Out, out, moves)
		},
	}
	c.Flags().StringVar(&policy, "policy", "", "policy `FILE` to decide by; the recorded one without")
	c.Flags().IntVar(&moves, "moves", 10, "list the first `N` changes of the replayed cap")
	c.Flags().StringVar(&plot, "plot", "", "draw use and both caps over time into an SVG `FILE`")
	return c
}

func replayFile(cmd *cobra.Command, path, policy string) (*qos.Replay, error) {
	env := core.EnvFrom(cmd.Context())
	var o qos.ReplayOptions
	if policy != "" {
		src, name, err := readFile(cmd, policy)
		if err != nil {
			return nil, err
		}
		p, err := qos.ParsePolicy(src, name)
		if err != nil {
			return nil, core.Exit(core.ExitUsage, err)
		}
		o.Policy = &p
	}
	r, err := record.Open(path)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, err)
	}
	defer r.Close()
	out, err := qos.ReplayRecording(cmd.Context(), r, o)
	if err != nil && cmd.Context().Err() == nil {
		err = core.Exit(core.ExitUsage, err)
	}
	if err == nil && out.CutOff {
		fmt.Fprintf(env.Err, "%s: the recording was cut off; its last line is left out\n", path)
	}
	return out, err
}

func writeReplay(w io.Writer, x *qos.Replay, moves int) error {
	fmt.Fprintf(w, "%s, %s for %s: %d steps on %.0f CPUs\n", x.Node, x.Start.Local().Format("2006-01-02 15:04:05"),
		term.Duration(time.Duration(x.Duration*float64(time.Second))), x.Steps, x.CPUs)
	with := "the given policy"
	if x.Own {
		with = "the recorded policy"
	}
	fmt.Fprintf(w, "replayed with %s: its cap is within 1 %% of the recorded one in %.1f %% of the steps\n\n", with, x.Agree*100)
	t := term.NewTable("", "RECORDED", "REPLAYED")
	row := func(what, format string, then, now any) {
		t.Row(what, fmt.Sprintf(format, then), fmt.Sprintf(format, now))
	}
	row("best effort capped, of the time", "%s", percent(x.Then.Capped), percent(x.Now.Capped))
	row("mean cap, cores", "%.2f", x.Then.MeanCap, x.Now.MeanCap)
	row("least cap, cores", "%.2f", x.Then.LeastCap, x.Now.LeastCap)
	row("changes of the cap", "%d", x.Then.CapMoves, x.Now.CapMoves)
	row("burst plans", "%d", x.Then.Plans, x.Now.Plans)
	row("credit grants", "%d", x.Then.Grants, x.Now.Grants)
	t.Row("demotions from the lane", "-", fmt.Sprint(x.Now.Demotions))
	if err := t.Write(w); err != nil {
		return err
	}
	if err := writeReplayMembers(w, x.Members); err != nil {
		return err
	}
	if err := writeReplayDisks(w, x.Disks); err != nil {
		return err
	}
	if err := writeReplayMemory(w, x.Memory, x.Cache); err != nil {
		return err
	}
	return writeMoves(w, x.Moves, moves)
}

func writeReplayMembers(w io.Writer, all []qos.ReplayMember) error {
	fmt.Fprintln(w)
	t := term.NewTable("WORKLOAD", "CLASS", "CORES", "CAP THEN", "CAP NOW", "BANK THEN", "BANK NOW", "RULE")
	cell := func(v float64, unit string) string {
		if v == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f%s", v, unit)
	}
	for _, m := range all {
		t.Row(m.ID, classCell(m.Class.String()), fmt.Sprintf("%.2f", m.Used), cell(m.ThenShare, ""), cell(m.NowShare, ""),
			cell(m.ThenBank, " ms"), cell(m.NowBank, " ms"), m.Rule)
	}
	return t.Write(w)
}

func writeReplayDisks(w io.Writer, all []qos.ReplayDisk) error {
	if len(all) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("DISK", "BY", "BE LIMITED THEN", "NOW", "MEAN LIMIT THEN", "NOW", "MOVES THEN", "NOW")
	rate := func(s *qos.ReplayDiskSum) string {
		if s.Limited == 0 {
			return "-"
		}
		return fmt.Sprintf("%.1f + %.1f MB/s", s.ReadBytes/1e6, s.WriteBytes/1e6)
	}
	for i := range all {
		d := &all[i]
		t.Row(d.Name, d.Mechanism, percent(d.Then.Limited), percent(d.Now.Limited), rate(&d.Then), rate(&d.Now), fmt.Sprint(d.Then.Moves), fmt.Sprint(d.Now.Moves))
	}
	return t.Write(w)
}

func writeReplayMemory(w io.Writer, m *qos.ReplayMemory, c *qos.ReplayCache) error {
	if m != nil {
		fmt.Fprintln(w)
		t := term.NewTable("MEMORY BOUND", "OF THE TIME THEN", "NOW", "MEAN THEN", "NOW", "MOVES THEN", "NOW")
		mean := func(s *qos.ReplayBoundSum) string {
			if s.Bounded == 0 {
				return "-"
			}
			return fmt.Sprintf("%.0f MiB", s.Mean/(1<<20))
		}
		for i := range m.Groups {
			g := &m.Groups[i]
			t.Row(g.ID, percent(g.Then.Bounded), percent(g.Now.Bounded), mean(&g.Then), mean(&g.Now), fmt.Sprint(g.Then.Moves), fmt.Sprint(g.Now.Moves))
		}
		if err := t.Write(w); err != nil {
			return err
		}
		if m.ThenEvictions+m.NowEvictions > 0 {
			fmt.Fprintf(w, "evictions: %d then, %d now\n", m.ThenEvictions, m.NowEvictions)
		}
	}
	if c != nil {
		fmt.Fprintf(w, "\nbest-effort share of cache %s then, %s now; of memory bandwidth %s then, %s now\n",
			percent(c.Then.Cache), percent(c.Now.Cache), percent(c.Then.Bandwidth), percent(c.Now.Bandwidth))
	}
	return nil
}

func writeMoves(w io.Writer, all []qos.ReplayMove, most int) error {
	if len(all) == 0 || most <= 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := term.NewTable("AT", "CAP WAS", "BECOMES", "RECORDED", "WHY")
	cores := func(v *float64) string {
		if v == nil {
			return "none"
		}
		return fmt.Sprintf("%.2f", *v)
	}
	for _, m := range all[:min(most, len(all))] {
		t.Row(fmt.Sprintf("%.1f s", m.At), cores(m.Old), cores(m.New), cores(m.Then), m.Why)
	}
	if err := t.Write(w); err != nil {
		return err
	}
	if len(all) > most {
		fmt.Fprintf(w, "… and %d more: --moves %d lists them\n", len(all)-most, len(all))
	}
	return nil
}
