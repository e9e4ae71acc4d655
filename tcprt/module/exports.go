package module

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/jsonl"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/tcprt/otlp"
	lines "github.com/anole-os/anole/tcprt/sink"
	"github.com/anole-os/anole/tcprt/v6"
)

// Export is where requests go for as long as the agent runs: those that have a
// record, see Config.Records.
type Export struct {
	OTLP  ExportOTLP  `yaml:"otlp"`
	JSONL ExportJSONL `yaml:"jsonl"`
	V6    ExportV6    `yaml:"v6"`
}

// ExportOTLP is an OpenTelemetry collector.
type ExportOTLP struct {
	Endpoint string            `yaml:"endpoint" doc:"OpenTelemetry collector that takes OTLP over HTTP, such as http://localhost:4318; empty is none."`
	Headers  map[string]string `yaml:"headers" doc:"Headers of each message to it, such as Authorization."`
	Spans    bool              `yaml:"spans" doc:"Whether requests that have a record are sent to it as spans."`
	Metrics  bool              `yaml:"metrics" doc:"Whether what services did is sent to it as metrics, all requests."`
	Interval yamlx.Duration    `yaml:"interval" doc:"From one time that metrics are sent to the next."`
}

// ExportJSONL is a file of JSON lines.
type ExportJSONL struct {
	Path string      `yaml:"path" doc:"File that gets a line of JSON for each request that has a record; empty is none."`
	Size yamlx.Bytes `yaml:"maxSize" doc:"How big it gets before it is renamed and begun anew."`
	Keep int         `yaml:"keep" doc:"How many older ones are kept."`
}

// ExportV6 is a directory of TCP-RT's own files.
type ExportV6 struct {
	Directory string      `yaml:"directory" doc:"Directory for the files of Alibaba Cloud Linux's TCP-RT, rt-network-log0 and rt-network-stats; empty is none. They are of all requests with records: all."`
	Size      yamlx.Bytes `yaml:"maxSize" doc:"How big each gets before it is renamed and begun anew; one older one is kept."`
}

func defaultExport() Export {
	return Export{OTLP: ExportOTLP{Spans: true, Metrics: true, Interval: yamlx.Duration(10 * time.Second)}, JSONL: ExportJSONL{Size: 100 << 20, Keep: 3}, V6: ExportV6{Size: 100 << 20}}
}

func (e *Export) validate() error {
	var errs []error
	if e.OTLP.Endpoint != "" {
		for _, err := range []error{otlp.CheckEndpoint(e.OTLP.Endpoint), otlp.CheckHeaders(e.OTLP.Headers)} {
			if err != nil {
				errs = append(errs, fmt.Errorf("export.otlp: %w", err))
			}
		}
		if e.OTLP.Interval.Std() < time.Second {
			errs = append(errs, fmt.Errorf("export.otlp: interval is %v, want 1s or more", e.OTLP.Interval))
		}
	}
	const least = 64 << 10
	for _, f := range []struct {
		key, path, name string
		size            yamlx.Bytes
	}{{"export.jsonl", e.JSONL.Path, "path", e.JSONL.Size}, {"export.v6", e.V6.Directory, "directory", e.V6.Size}} {
		if f.path == "" {
			continue
		}
		if !filepath.IsAbs(f.path) {
			errs = append(errs, fmt.Errorf("%s: %s is %q, want one that begins with /", f.key, f.name, f.path))
		}
		if f.size < least {
			errs = append(errs, fmt.Errorf("%s: maxSize is %v, want %v or more", f.key, f.size, yamlx.Bytes(least)))
		}
	}
	if e.JSONL.Keep < 0 || e.JSONL.Keep > 1000 {
		errs = append(errs, fmt.Errorf("export.jsonl: keep is %d, want 0 to 1000", e.JSONL.Keep))
	}
	return errors.Join(errs...)
}

// exported is how one way out does.
type exported struct {
	Name    string `json:"name"` // otlp, jsonl, v6
	To      string `json:"to"`
	Records uint64 `json:"records"`
	Dropped uint64 `json:"dropped"`
	Failed  uint64 `json:"failures"` // times that something could not be written or sent
	Problem string `json:"problem,omitempty"`
}

// way takes records to one place. take is given a batch at a time.
type way interface {
	take(batch []tcprt.Record, names func(tcprt.Service) *tcprt.Names, offset time.Duration)
	stat() exported
	close(ctx context.Context) error
}

// exports carries what an Observer tells of to all of them.
type exports struct {
	o    *observer.Observer
	tap  *observer.Tap
	ways []way
	otlp *wayOTLP // among ways, nil without
	log  *slog.Logger

	cancel context.CancelFunc
	done   sync.WaitGroup
}

// openExports opens what the configuration names; nil is nothing.
func openExports(e *Export, o *observer.Observer, log *slog.Logger) (x *exports, err error) {
	x = &exports{o: o, log: log}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			for _, w := range x.ways {
				_ = w.close(ctx)
			}
			x = nil
		}
	}()
	if e.OTLP.Endpoint != "" {
		host, _ := os.Hostname()
		var version string
		if b, ok := debug.ReadBuildInfo(); ok {
			version = b.Main.Version
		}
		c, err := otlp.New(otlp.Options{Endpoint: e.OTLP.Endpoint, Headers: e.OTLP.Headers, Host: host, Version: version})
		if err != nil {
			return x, fmt.Errorf("export by otlp: %w", err)
		}
		x.otlp = &wayOTLP{e: c, cfg: e.OTLP}
		x.ways = append(x.ways, x.otlp)
	}
	if e.JSONL.Path != "" {
		f, err := lines.Open(e.JSONL.Path, int64(e.JSONL.Size), e.JSONL.Keep)
		if err != nil {
			return x, fmt.Errorf("export by jsonl: %w", err)
		}
		x.ways = append(x.ways, &wayFiles{name: "jsonl", to: e.JSONL.Path, files: []*lines.File{f}, make: jsonLines})
	}
	if e.V6.Directory != "" {
		w := &wayFiles{name: "v6", to: e.V6.Directory, make: v6Lines()}
		x.ways = append(x.ways, w)
		for _, name := range []string{"rt-network-log0", "rt-network-stats"} {
			f, err := lines.Open(filepath.Join(e.V6.Directory, name), int64(e.V6.Size), 1)
			if err != nil {
				return x, fmt.Errorf("export by v6: %w", err)
			}
			w.files = append(w.files, f)
		}
	}
	if len(x.ways) == 0 {
		return nil, nil
	}
	if x.tap, err = o.Tap(false); err != nil {
		return x, err
	}
	var ctx context.Context
	ctx, x.cancel = context.WithCancel(context.Background())
	x.done.Go(func() { x.run(ctx) })
	if x.otlp != nil && e.OTLP.Metrics {
		x.done.Go(func() { x.meter(ctx, e.OTLP.Interval.Std()) })
	}
	return x, nil
}

// run carries records until ctx ends, and then those that are there.
func (x *exports) run(ctx context.Context) {
	known := map[tcprt.Service]*tcprt.Names{}
	var none tcprt.Names
	name := func(s tcprt.Service) *tcprt.Names {
		if n := known[s]; n != nil {
			return n
		}
		return &none
	}
	said := map[string]string{}
	carry := func(batch []tcprt.Record) {
		offset := x.o.Header().Offset
		for _, w := range x.ways {
			w.take(batch, name, offset)
			if s := w.stat(); s.Problem != said[s.Name] {
				if said[s.Name] = s.Problem; s.Problem != "" {
					x.log.Warn("requests cannot be exported", "exporter", s.Name, "err", s.Problem)
				}
			}
		}
	}
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	learn := func() {
		clear(known)
		for _, n := range x.o.Named() {
			role := tcprt.Server
			if n.Role == tcprt.Client.String() {
				role = tcprt.Client
			}
			names := n.Names
			known[tcprt.Service{Role: role, Port: n.Port, NetNS: n.NetNS, Cgroup: n.Cgroup}] = &names
		}
	}
	learn()
	for {
		select {
		case batch := <-x.tap.C():
			if slices.ContainsFunc(batch, func(r tcprt.Record) bool { return known[r.Service()] == nil }) {
				learn()
			}
			carry(batch)
			x.tap.Done(batch)
		case <-tick.C:
			learn()
		case <-ctx.Done():
			for {
				select {
				case batch := <-x.tap.C():
					carry(batch)
				default:
					return
				}
			}
		}
	}
}

// meter sends metrics. One that cannot be sent is made up for by the next.
func (x *exports) meter(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			_ = x.otlp.e.Metrics(ctx, x.services(), now) // its Stats have it
		}
	}
}

// services has those of the same names, port and network as one: points have no more
// to tell them apart by.
func (x *exports) services() (all []otlp.Service) {
	type key struct {
		s tcprt.Service
		n tcprt.Names
	}
	at := map[key]int{}
	x.o.Totals(func(t *observer.Told) {
		s := t.Service
		s.Cgroup = 0
		k := key{s, *t.Names}
		if i, there := at[k]; there {
			all[i].Totals.Merge(t.Totals)
			return
		}
		at[k] = len(all)
		all = append(all, otlp.Service{Service: s, Names: *t.Names, Totals: *t.Totals})
	})
	return all
}

func (x *exports) stats() (out []exported) {
	if x == nil {
		return nil
	}
	lost := x.tap.Lost() // before any way was asked
	for _, w := range x.ways {
		s := w.stat()
		s.Dropped += lost
		out = append(out, s)
	}
	return out
}

// close ends it; what was told of until then is written, as far as ctx lets it.
func (x *exports) close(ctx context.Context) error {
	if x == nil {
		return nil
	}
	err := x.tap.Close()
	x.cancel()
	ended := make(chan struct{})
	go func() {
		x.done.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done(): // a disk that hangs
		return errors.Join(err, fmt.Errorf("end the exports: %w", ctx.Err()))
	}
	for _, w := range x.ways {
		err = errors.Join(err, w.close(ctx))
	}
	return err
}

// wayOTLP is a collector.
type wayOTLP struct {
	e   *otlp.Exporter
	cfg ExportOTLP
}

func (w *wayOTLP) take(batch []tcprt.Record, names func(tcprt.Service) *tcprt.Names, offset time.Duration) {
	if !w.cfg.Spans {
		return
	}
	for i := range batch {
		w.e.Add(&batch[i], names(batch[i].Service()), offset)
	}
}

func (w *wayOTLP) stat() exported {
	s := w.e.Stats()
	return exported{"otlp", w.cfg.Endpoint, s.Spans, s.Dropped + s.Rejected, s.Failed, s.Problem}
}

func (w *wayOTLP) close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return w.e.Close(ctx)
}

// wayFiles writes lines to files.
type wayFiles struct {
	name, to string
	files    []*lines.File
	// make gives the lines of a batch for each file; of nil, what is left at the end.
	make func(out [][]byte, batch []tcprt.Record, names func(tcprt.Service) *tcprt.Names, offset time.Duration) [][]byte
	out  [][]byte

	mu sync.Mutex
	s  exported
}

func (w *wayFiles) take(batch []tcprt.Record, names func(tcprt.Service) *tcprt.Names, offset time.Duration) {
	if w.out == nil {
		w.out = slices.Repeat([][]byte{nil}, len(w.files))
	}
	for i := range w.out {
		w.out[i] = w.out[i][:0]
	}
	w.out = w.make(w.out, batch, names, offset)
	var err error
	for i, f := range w.files {
		if len(w.out[i]) > 0 {
			_, e := f.Write(w.out[i])
			err = errors.Join(err, e)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.s.Failed++
		w.s.Dropped += uint64(len(batch))
		w.s.Problem = err.Error()
		return
	}
	w.s.Records += uint64(len(batch))
	w.s.Problem = ""
}

func (w *wayFiles) stat() exported {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.s
	s.Name, s.To = w.name, w.to
	return s
}

func (w *wayFiles) close(context.Context) error {
	w.take(nil, nil, 0)
	var err error
	for _, f := range w.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

func jsonLines(out [][]byte, batch []tcprt.Record, names func(tcprt.Service) *tcprt.Names, offset time.Duration) [][]byte {
	for i := range batch {
		r := jsonl.Of(&batch[i], names(batch[i].Service()), offset)
		line, err := json.Marshal(r)
		if err != nil { // of what cannot be
			continue
		}
		out[0] = append(append(out[0], line...), '\n')
	}
	return out
}

func v6Lines() func([][]byte, []tcprt.Record, func(tcprt.Service) *tcprt.Names, time.Duration) [][]byte {
	var log *v6.Log
	var stats *v6.Stats
	return func(out [][]byte, batch []tcprt.Record, _ func(tcprt.Service) *tcprt.Names, offset time.Duration) [][]byte {
		if log == nil {
			log, stats = v6.NewLog(offset), v6.NewStats(offset, 0)
		}
		for i := range batch {
			out[0] = log.Append(out[0], &batch[i])
			out[1] = stats.Append(out[1], &batch[i])
		}
		if batch == nil {
			out[1] = stats.Flush(out[1])
		}
		return out
	}
}
