package module

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/run"
	"github.com/anole-os/anole/workload"
)

// provisioned makes a module with directories of its own.
func provisioned(t *testing.T, state string) *Module {
	t.Helper()
	m := New()
	j, err := journal.Open(filepath.Join(t.TempDir(), "journal"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	offers := &core.Offers{}
	if err := core.Offer(offers, j); err != nil {
		t.Fatal(err)
	}
	h := &core.Host{Log: slog.New(slog.DiscardHandler), StateDir: state, RunDir: t.TempDir(), Offers: offers}
	if err := m.Provision(h); err != nil {
		t.Fatal(err)
	}
	return m
}

func started(t *testing.T) *Module {
	t.Helper()
	testkit.NeedRoot(t)
	m := provisioned(t, t.TempDir())
	testkit.Need(t, m.Start(t.Context()))
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m
}

// The room works without another that tells of slow services, and takes what it is
// offered.
func TestBreachesAreWanted(t *testing.T) {
	if m := provisioned(t, t.TempDir()); m.breaches != nil {
		t.Error("breaches of nobody")
	}
	b := new(workload.Breaches)
	offers := &core.Offers{}
	if err := core.Offer(offers, b); err != nil {
		t.Fatal(err)
	}
	m := New()
	if err := m.Provision(&core.Host{Log: slog.New(slog.DiscardHandler), StateDir: t.TempDir(), RunDir: t.TempDir(), Offers: offers}); err != nil {
		t.Fatal(err)
	}
	if m.breaches != b {
		t.Error("what is offered is not taken")
	}
}

func call(m *Module, method, path, body string) (int, string) {
	mux := http.NewServeMux()
	m.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w.Code, w.Body.String()
}

func TestRoutes(t *testing.T) {
	m := started(t)
	for _, c := range []struct {
		method, path, body string
		code               int
		has                string
	}{
		{"GET", "/api/v1/qos/status", "", 200, `"mechanisms"`},
		{"GET", "/api/v1/qos/explain?id=no-such", "", 404, "no-such"},
		{"GET", "/api/v1/qos/policy", "", 200, "version: 1"},
		{"POST", "/api/v1/qos/policy?name=p.yaml", "version: 1\nrules: 7\n", 400, "p.yaml:2"},
		{"POST", "/api/v1/qos/policy", "version: 1\ncontrol: {target: .nan}\n", 400, "target"},
		{"POST", "/api/v1/qos/policy", "version: 1\ncontrol: {target: 0.5}\n", 200, "generation"},
		{"DELETE", "/api/v1/qos/policy", "", 200, "generation"},
	} {
		code, body := call(m, c.method, c.path, c.body)
		if code != c.code || !strings.Contains(body, c.has) || !json.Valid([]byte(body)) {
			t.Errorf("%s %s: %d %s; want %d with %q", c.method, c.path, code, body, c.code, c.has)
		}
	}
}

func TestRefusedPolicyIsNotKept(t *testing.T) {
	m := started(t)
	call(m, "POST", "/api/v1/qos/policy", "version: 1\ncontrol: {target: 0.6}\n")
	kept, err := os.ReadFile(m.stored)
	if err != nil {
		t.Fatal(err)
	}
	if code, _ := call(m, "POST", "/api/v1/qos/policy", "version: 2\n"); code != 400 {
		t.Errorf("version 2: %d", code)
	}
	if now, _ := os.ReadFile(m.stored); !bytes.Equal(now, kept) {
		t.Errorf("the refused policy replaced the kept one: %s", now)
	}
}

func TestStoppedSaysSo(t *testing.T) {
	m := provisioned(t, t.TempDir())
	if code, body := call(m, "GET", "/api/v1/qos/status", ""); code != 503 || !strings.Contains(body, "not running") {
		t.Errorf("%d %s", code, body)
	}
	if s := m.Status(); s.State != core.Stopped {
		t.Errorf("state %v", s.State)
	}
	m.Collect(func(core.Metric) { t.Error("a metric of nothing") })
}

func TestDamagedAppliedPolicyIsPassedOver(t *testing.T) {
	state := t.TempDir()
	path := filepath.Join(state, "qos", "policy.yaml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("version: 1\ncontrol: {target: 0.5}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m := provisioned(t, state); m.policy.Control.Target != 0.5 {
		t.Errorf("target %v, want the applied 0.5", m.policy.Control.Target)
	}
	if err := os.WriteFile(path, []byte("version: 1\ncontrol: {tar"), 0o600); err != nil {
		t.Fatal(err)
	}
	if m := provisioned(t, state); m.policy.Control.Target != qos.DefaultPolicy().Control.Target {
		t.Errorf("target %v, want the default", m.policy.Control.Target)
	}
}

func TestMetricsAreDescribedAndClean(t *testing.T) {
	m := started(t)
	known := map[*core.Desc]bool{}
	for _, d := range m.Metrics() {
		known[d] = true
		kind := map[core.Kind]dto.MetricType{core.Counter: dto.MetricType_COUNTER, core.Gauge: dto.MetricType_GAUGE, core.Histogram: dto.MetricType_HISTOGRAM}[d.Kind]
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &d.Name, Help: &d.Help, Type: &kind, Metric: []*dto.Metric{{}}}}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", d.Name, problems, err)
		}
		_ = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	n := 0
	m.Collect(func(x core.Metric) {
		n++
		if !known[x.Desc] || len(x.Values) != len(x.Desc.Labels) {
			t.Errorf("%s with labels %v: not described so", x.Desc.Name, x.Values)
		}
	})
	if n < 20 {
		t.Errorf("%d metrics", n)
	}
}

func TestRunEndsWithTheCommandsCode(t *testing.T) {
	for _, c := range []struct {
		r    run.Result
		err  error
		want int
	}{
		{run.Result{}, nil, 0},
		{run.Result{ExitCode: 7}, nil, 7},
		{run.Result{ExitCode: 137, Signal: 9}, nil, 137},
		{run.Result{ExitCode: 127}, &run.ExecError{Path: "x", Err: os.ErrNotExist}, 127},
		{run.Result{ExitCode: -1}, &run.FlagError{Flag: "--cpus"}, core.ExitUsage},
		{run.Result{ExitCode: -1}, run.ErrNameTaken, core.ExitUsage},
	} {
		if got := core.ExitCode(finish(c.r, c.err)); got != c.want {
			t.Errorf("%+v, %v: exit %d, want %d", c.r, c.err, got, c.want)
		}
	}
}

func TestRecordingsAreForTheSocketOnly(t *testing.T) {
	m := started(t)
	mux := http.NewServeMux()
	m.Routes(mux)
	over := func(network string) (*http.Response, func()) {
		l, err := net.Listen(network, map[string]string{"tcp": "127.0.0.1:0", "unix": filepath.Join(t.TempDir(), "s")}[network])
		if err != nil {
			t.Fatal(err)
		}
		srv := &httptest.Server{Listener: l, Config: &http.Server{Handler: mux}}
		srv.Start()
		c := &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return net.Dial(network, l.Addr().String())
		}}}
		resp, err := c.Get("http://anole/api/v1/qos/record")
		if err != nil {
			t.Fatal(err)
		}
		return resp, func() { _ = resp.Body.Close(); srv.CloseClientConnections(); srv.Close() }
	}
	resp, done := over("tcp")
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("over TCP: %s", resp.Status)
	}
	done()
	var open []func()
	for range 2 {
		resp, done := over("unix")
		open = append(open, done)
		if resp.StatusCode != http.StatusOK {
			t.Errorf("over the socket: %s", resp.Status)
		}
	}
	resp, done = over("unix")
	if b, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusConflict || !strings.Contains(string(b), "two recordings") {
		t.Errorf("a third one: %s %s", resp.Status, b)
	}
	done()
	for _, done := range open {
		done()
	}
}
