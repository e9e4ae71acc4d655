package module

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/join"
	"github.com/anole-os/anole/tcprt/jsonl"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/tcprt/perfetto"
	"github.com/anole-os/anole/tcprt/replay"
	"github.com/anole-os/anole/tcprt/trt"
	"github.com/anole-os/anole/tcprt/v6"
)

// each gives f all records of a recording, - being standard input. Damage is told on
// errors and is no error, as all else was read.
func each(cmd *cobra.Command, path string, f func(*trt.Reader, *tcprt.Record) error) (*trt.Reader, error) {
	in := cmd.InOrStdin()
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, core.Exit(core.ExitUsage, fmt.Errorf("open recording: %w", err))
		}
		defer file.Close()
		in = file
	}
	r, err := trt.NewReader(in)
	if err != nil {
		return nil, core.Exit(core.ExitUsage, fmt.Errorf("%s: %w", path, err))
	}
	err = r.Each(func(rec *tcprt.Record) error { return f(r, rec) })
	w := core.EnvFrom(cmd.Context()).Err
	warn := func(what string) { fmt.Fprintln(w, term.Paint(w, term.Yellow, term.Fold(w, path+": "+what, "  "))) }
	var harm *trt.DamagedError
	if errors.As(err, &harm) {
		warn(harm.Error())
		err = nil
	}
	if n := r.Lost(); n > 0 {
		warn(fmt.Sprintf("%d requests are missing, as they came faster than they could be recorded", n))
	}
	return r, err
}

func replayCommand() *cobra.Command {
	var most int
	c := &cobra.Command{
		Use:   "replay FILE",
		Short: "Judge a recording: figures, anomalies with their causes, the slowest requests",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			p := replay.New(replay.Options{Slowest: most})
			r, err := each(cmd, args[0], func(_ *trt.Reader, rec *tcprt.Record) error {
				p.Add(rec)
				return nil
			})
			if err != nil {
				return err
			}
			return writeReplay(core.EnvFrom(cmd.Context()), r, p.Result())
		},
	}
	c.Flags().IntVar(&most, "slowest", 20, "list so many of the slowest requests")
	return c
}

// replayed is the output of replay -o json.
type replayed struct {
	Records   uint64             `json:"records"`
	Lost      uint64             `json:"lost"` // for which there was no room
	From      time.Time          `json:"from"`
	To        time.Time          `json:"to"`
	Services  []observer.Service `json:"services"`
	Anomalies []observer.Anomaly `json:"anomalies"`
	Slowest   []jsonl.Record     `json:"slowest"`
}

func writeReplay(env *core.Env, r *trt.Reader, got replay.Result) error {
	offset := r.Header().Offset
	v := replayed{Records: got.Records, Lost: r.Lost(), From: time.Unix(0, int64(got.From+offset)), To: time.Unix(0, int64(got.To+offset)), Anomalies: []observer.Anomaly{}}
	span := max(time.Second, got.To-got.From)
	for i := range got.Services {
		s := &got.Services[i]
		n := names(r, s)
		v.Services = append(v.Services, observer.Figures(s.Service, &n, &s.Totals, span))
	}
	for i := range got.Events {
		e := &got.Events[i]
		e.Start = e.Start.Add(offset)
		if !e.End.IsZero() {
			e.End = e.End.Add(offset)
		}
		at := slices.IndexFunc(got.Services, func(s replay.Service) bool { return s.Service == e.Service })
		n := names(r, &got.Services[at])
		v.Anomalies = append(v.Anomalies, observer.AnomalyOf(&e.Event, &e.Verdict, n.String()))
	}
	for i := range got.Slowest {
		n := r.Names(got.Slowest[i].Service())
		v.Slowest = append(v.Slowest, jsonl.Of(&got.Slowest[i], &n, offset))
	}
	if env.JSON {
		return env.PrintJSON(v)
	}
	fmt.Fprintf(env.Out, "%d requests in %s, from %s", v.Records, term.Duration(got.To-got.From), v.From.Format(time.DateTime))
	if h := r.Header(); h.Tier != "" {
		fmt.Fprintf(env.Out, ", tier %s", h.Tier)
	}
	fmt.Fprintln(env.Out)
	if v.Records == 0 {
		return nil
	}
	fmt.Fprintln(env.Out)
	if err := serviceTable(v.Services, 20).Write(env.Out); err != nil {
		return err
	}
	fmt.Fprintln(env.Out)
	if err := writeDiagnosis(env.Out, v.Anomalies, len(v.Anomalies)); err != nil {
		return err
	}
	fmt.Fprintf(env.Out, "\nslowest\n")
	return recordTable(v.Slowest).Write(env.Out)
}

// names of a service that the recording does not name are its command.
func names(r *trt.Reader, s *replay.Service) tcprt.Names {
	n := r.Names(s.Service)
	if n == (tcprt.Names{}) {
		n.Command = term.Clean(s.Command)
	}
	return n
}

func joinCommand() *cobra.Command {
	var o join.Options
	var most int
	c := &cobra.Command{
		Use:   "join FILE…",
		Short: "Both sides of each request: what the network took of it",
		Long: `Joins the records of clients with those of servers by their TCP sequence numbers,
from recordings of both nodes or of one that has both. What the client waited and the
server did not take is the network's; the nodes' clocks need not agree.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []tcprt.Record
			for _, path := range args {
				if _, err := each(cmd, path, func(_ *trt.Reader, rec *tcprt.Record) error {
					all = append(all, *rec)
					return nil
				}); err != nil {
					return err
				}
			}
			return writeJoin(core.EnvFrom(cmd.Context()), join.Records(all, o), most)
		},
	}
	c.Flags().BoolVar(&o.NAT, "nat", false, "the addresses differ: compare sequence numbers alone")
	c.Flags().IntVar(&most, "limit", 20, "list so many of the slowest")
	return c
}

// joined is one of the output of join -o json. Times are seconds.
type joined struct {
	Client   string  `json:"client"`
	Server   string  `json:"server"`
	Total    float64 `json:"total_seconds"`
	AtServer float64 `json:"server_seconds"`
	Network  float64 `json:"network_seconds"`
	Resent   uint32  `json:"retransmits"`
	Bytes    uint32  `json:"answer_bytes"`
}

func writeJoin(env *core.Env, got join.Result, most int) error {
	var network, total time.Duration
	list := []joined{}
	for i := range got.Pairs {
		p := &got.Pairs[i]
		network, total = network+p.Network(), total+p.Total()
		if i < most {
			list = append(list, joined{
				p.Client.Local.String(), p.Client.Remote.String(), p.Total().Seconds(), p.AtServer().Seconds(), p.Network().Seconds(),
				p.Client.Retransmits + p.Server.Retransmits, p.Client.AnswerBytes,
			})
		}
	}
	share := 0.0
	if total > 0 {
		share = float64(network) / float64(total)
	}
	if env.JSON {
		return env.PrintJSON(map[string]any{"pairs": len(got.Pairs), "clients_alone": got.Clients, "servers_alone": got.Servers, "network_share": share, "slowest": list})
	}
	fmt.Fprintf(env.Out, "%d requests with both sides, %d with the client's alone, %d with the server's alone\n", len(got.Pairs), got.Clients, got.Servers)
	if len(list) == 0 {
		return nil
	}
	fmt.Fprintf(env.Out, "the network took %.1f %% of the time\n\n", 100*share)
	t := term.NewTable("CLIENT", "SERVER", "TOTAL", "AT SERVER", "NETWORK", "RESENT", "BYTES")
	for _, j := range list {
		t.Row(j.Client, j.Server, span(j.Total), span(j.AtServer), span(j.Network), fmt.Sprint(j.Resent), fmt.Sprint(j.Bytes))
	}
	return t.Write(env.Out)
}

// sink takes records one by one.
type sink struct {
	add  func(*trt.Reader, *tcprt.Record) error
	done func() error
}

// forms are what export writes.
var forms = map[string]func(w *bufio.Writer, of func() time.Duration) sink{
	"jsonl": func(w *bufio.Writer, of func() time.Duration) sink {
		enc := json.NewEncoder(w)
		return sink{func(r *trt.Reader, rec *tcprt.Record) error {
			n := r.Names(rec.Service())
			return enc.Encode(jsonl.Of(rec, &n, of()))
		}, w.Flush}
	},
	"perfetto": func(w *bufio.Writer, of func() time.Duration) sink {
		var p *perfetto.Writer
		open := func() {
			if p == nil {
				p = perfetto.NewWriter(w, of())
			}
		}
		return sink{func(r *trt.Reader, rec *tcprt.Record) error {
			open()
			n := r.Names(rec.Service())
			return p.Add(rec, &n)
		}, func() error {
			open()
			return errors.Join(p.Close(), w.Flush())
		}}
	},
	"v6": func(w *bufio.Writer, of func() time.Duration) sink {
		var l *v6.Log
		var b []byte
		return sink{func(_ *trt.Reader, rec *tcprt.Record) error {
			if l == nil {
				l = v6.NewLog(of())
			}
			b = l.Append(b[:0], rec)
			_, err := w.Write(b)
			return err
		}, w.Flush}
	},
	"v6-stats": func(w *bufio.Writer, of func() time.Duration) sink {
		var s *v6.Stats
		var b []byte
		return sink{func(_ *trt.Reader, rec *tcprt.Record) error {
			if s == nil {
				s = v6.NewStats(of(), 0)
			}
			b = s.Append(b[:0], rec)
			_, err := w.Write(b)
			return err
		}, func() error {
			if s != nil {
				if _, err := w.Write(s.Flush(nil)); err != nil {
					return err
				}
			}
			return w.Flush()
		}}
	},
}

func exportCommand() *cobra.Command {
	var to, path, capture string
	var over time.Duration
	names := slices.Sorted(maps.Keys(forms))
	names = append(names, "pcapng")
	slices.Sort(names)
	c := &cobra.Command{
		Use:   "export FILE",
		Short: "Write a recording in another form: " + strings.Join(names, ", "),
		Long: `Writes a recording as
  jsonl     a JSON object a line (anole tcprt export --schema prints its JSON Schema)
  perfetto  a trace for ui.perfetto.dev
  v6        the log of TCP-RT, a line per request
  v6-stats  its file of averages per minute
  pcapng    the packets of its requests out of a capture that was made meanwhile
            (--capture, by tcpdump -w), each request's first packet with what became
            of it as comment, for Wireshark`,
		Example: "  tcpdump -i any -s 128 -w evening.pcap & anole tcprt record --for 1m evening.trt; kill %1\n  anole tcprt export evening.trt --to pcapng --capture evening.pcap --over 50ms --file slow.pcapng",
		Args:    cobra.MaximumNArgs(1),
	}
	schema := c.Flags().Bool("schema", false, "print the JSON Schema of a line of jsonl")
	c.Flags().StringVar(&to, "to", "jsonl", "form of what is written")
	c.Flags().StringVar(&path, "file", "-", "write to this file, which must not exist; - is standard output")
	c.Flags().StringVar(&capture, "capture", "", "capture to take the packets from, with --to pcapng")
	c.Flags().DurationVar(&over, "over", 0, "only requests that took so long or longer")
	_ = c.RegisterFlagCompletionFunc("to", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	c.RunE = func(cmd *cobra.Command, args []string) (err error) {
		env := core.EnvFrom(cmd.Context())
		if *schema {
			_, err := env.Out.Write(jsonl.Schema)
			return err
		}
		form := forms[to]
		var notes *annotated
		if to == "pcapng" {
			if capture == "" {
				return core.Exit(core.ExitUsage, errors.New("--to pcapng needs the capture that the packets are in: --capture FILE, as tcpdump -w FILE writes"))
			}
			notes = &annotated{capture: capture}
			form = notes.form
		}
		if form == nil {
			return core.Exit(core.ExitUsage, fmt.Errorf("--to %s: want one of %s", to, strings.Join(names, ", ")))
		}
		if len(args) == 0 {
			return core.Exit(core.ExitUsage, errors.New("name the recording to export; anole tcprt record makes one"))
		}
		// What can fail comes before the file is there.
		for _, in := range []string{args[0], capture} {
			if _, err := os.Stat(in); err != nil && in != "" && in != "-" {
				return core.Exit(core.ExitUsage, fmt.Errorf("open: %w", err))
			}
		}
		w := env.Out
		if path != "-" {
			f, e := os.OpenFile(filepath.Clean(path), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if e != nil {
				return core.Exit(core.ExitUsage, fmt.Errorf("create: %w", e))
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			w = f
		}
		var r *trt.Reader
		s := form(bufio.NewWriterSize(w, 64<<10), func() time.Duration {
			if r == nil {
				return 0
			}
			return r.Header().Offset
		})
		if _, err := each(cmd, args[0], func(in *trt.Reader, rec *tcprt.Record) error {
			r = in
			if rec.Total() < over {
				return nil
			}
			return s.add(in, rec)
		}); err != nil {
			return err
		}
		if err := s.done(); err != nil || notes == nil {
			return err
		}
		return notes.say(env.Err)
	}
	return c
}
