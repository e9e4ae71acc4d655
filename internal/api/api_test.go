package api

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// stub is an agent whose modules emit what a test says.
type stub struct{ metrics []core.Metric }

func (s *stub) Status() Status                            { return Status{Config: ConfigStatus{Reloads: map[string]int{"ok": 2}}} }
func (s *stub) Features(context.Context) []feature.Result { return nil }
func (s *stub) Reload(context.Context) (Reloaded, error)  { return Reloaded{}, nil }
func (s *stub) Revert(context.Context) (Reverted, error)  { return Reverted{}, nil }
func (s *stub) Stop()                                     {}
func (s *stub) Routes(string) (http.Handler, error)       { return nil, ErrNoModule }
func (s *stub) Probed() []feature.Result                  { return nil }
func (s *stub) Collect(emit func(core.Metric)) {
	for _, m := range s.metrics {
		emit(m)
	}
}

func TestCollectorConverts(t *testing.T) {
	hist := &core.Desc{Name: "anole_x_wait_seconds", Help: "Wait.", Kind: core.Histogram, Labels: []string{"class"}}
	count := &core.Desc{Name: "anole_x_runs_total", Help: "Runs.", Kind: core.Counter}
	label := &core.Desc{Name: "anole_x_thing", Help: "A thing.", Kind: core.Gauge, Labels: []string{"name"}}
	a := &stub{metrics: []core.Metric{
		{Desc: hist, Values: []string{"ls"}, Hist: &core.Hist{Bounds: []float64{0.1, 1}, Counts: []uint64{2, 5}, Count: 7, Sum: 9}},
		{Desc: count, Value: 3},
		{Desc: label, Values: []string{"bad\xffname"}, Value: 1},
	}}
	want := `# HELP anole_x_runs_total Runs.
# TYPE anole_x_runs_total counter
anole_x_runs_total 3
# HELP anole_x_thing A thing.
# TYPE anole_x_thing gauge
anole_x_thing{name="bad` + "\uFFFD" + `name"} 1
# HELP anole_x_wait_seconds Wait.
# TYPE anole_x_wait_seconds histogram
anole_x_wait_seconds_bucket{class="ls",le="0.1"} 2
anole_x_wait_seconds_bucket{class="ls",le="1"} 5
anole_x_wait_seconds_bucket{class="ls",le="+Inf"} 7
anole_x_wait_seconds_sum{class="ls"} 9
anole_x_wait_seconds_count{class="ls"} 7
`
	r := NewRegistry(a, "v", false, slog.New(slog.DiscardHandler))
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "anole_x_wait_seconds", "anole_x_runs_total", "anole_x_thing"); err != nil {
		t.Error(err)
	}
}

func TestCollectorRefusesBadMetrics(t *testing.T) {
	gauge := func(name string, labels ...string) core.Metric {
		return core.Metric{Desc: &core.Desc{Name: name, Help: "H.", Kind: core.Gauge, Labels: labels}}
	}
	hist := &core.Desc{Name: "anole_x_seconds", Help: "H.", Kind: core.Histogram}
	a := &stub{metrics: []core.Metric{
		{},
		gauge("x_thing"), gauge("anole_X"), gauge("anole_x__y"), gauge("anole_x_total"), gauge("anole_a", "le"), gauge("anole_b", "A"), gauge("anole_c", "missing"),
		{Desc: &core.Desc{Name: "anole_x_runs", Help: "H.", Kind: core.Counter}},
		{Desc: &core.Desc{Name: "anole_x_nohelp"}},
		{Desc: hist}, {Desc: hist, Hist: &core.Hist{Bounds: []float64{1}}},
		{Desc: hist, Hist: &core.Hist{Bounds: []float64{1, 2}, Counts: []uint64{2, 1}}},
		gauge("anole_good_thing"),
	}}
	var log strings.Builder
	r := NewRegistry(a, "v", false, slog.New(slog.NewTextHandler(&log, nil)))
	want := "# HELP anole_good_thing H.\n# TYPE anole_good_thing gauge\nanole_good_thing 0\n" +
		"# HELP anole_metrics_refused_total " + descRefused.Help + "\n# TYPE anole_metrics_refused_total counter\nanole_metrics_refused_total 13\n"
	if err := testutil.GatherAndCompare(r, strings.NewReader(want), "anole_good_thing", "anole_metrics_refused_total", "anole_x_seconds", "anole_x_total"); err != nil {
		t.Error(err)
	}
	lines := strings.Count(log.String(), "\n")
	if _, err := r.Gather(); err != nil || strings.Count(log.String(), "\n") != lines || lines != 11 {
		t.Errorf("a repeated cause is logged again, or %d lines are not one for each family; %v\n%s", lines, err, log.String())
	}
}

func TestListenUnix(t *testing.T) {
	dir := testkit.SocketDir(t)
	path := filepath.Join(dir, "sub", "s.sock")
	ln, err := ListenUnix(path)
	if err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Stat(filepath.Dir(path)); err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("directory %v, %v", fi.Mode(), err)
	}
	var inUse *SocketInUseError
	if _, err := ListenUnix(path); !errors.As(err, &inUse) || inUse.Path != path {
		t.Errorf("a live socket: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := ListenUnix(filepath.Join(dir, strings.Repeat("x", 200))); err == nil || !strings.Contains(err.Error(), "longer") {
		t.Errorf("a long path: %v", err)
	}
}

func TestServingClosesStreams(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	began, ended := make(chan struct{}), make(chan struct{})
	s := Serve(ln, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		close(began)
		<-r.Context().Done()
		close(ended)
	}), slog.New(slog.DiscardHandler))
	go func() {
		if resp, err := http.Get("http://" + s.Addr().String()); err == nil {
			defer resp.Body.Close()
			_, _ = resp.Body.Read(make([]byte, 1))
		}
	}()
	<-began
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s.Close(ctx)
	<-ended
	if ctx.Err() != nil {
		t.Error("Close waited for the stream instead of ending it")
	}
}

func FuzzHostAllowed(f *testing.F) {
	for _, s := range []string{"localhost", "[::1]:1", "evil", "127.0.0.1:7070", "localhost.evil", "[", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, host string) {
		if !hostAllowed(&http.Request{Host: host}, map[string]bool{"localhost": true, "::1": true}) {
			return
		}
		h := strings.ToLower(host)
		if !strings.HasPrefix(h, "localhost") && !strings.HasPrefix(h, "[::1]") && h != "::1" && !strings.HasPrefix(h, "[localhost") && !strings.HasPrefix(h, "localhost]") && h != "::1]" && h != "[::1" {
			t.Fatalf("%q is allowed", host)
		}
	})
}

func TestCodesAreTold(t *testing.T) {
	names := map[string]bool{}
	for _, c := range Codes() {
		if c.Meaning == "" || c.Status < 400 || names[c.Name] {
			t.Errorf("code %+v", c)
		}
		names[c.Name] = true
	}
}
