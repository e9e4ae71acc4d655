package module

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/workload"
)

// started is a module that measures one echo server, which has answered some
// requests.
func started(t *testing.T, edit ...func(*Config)) *Module {
	t.Helper()
	testkit.NeedRoot(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
		}
	}()
	m := New()
	m.cfg.Ports = []uint16{uint16(l.Addr().(*net.TCPAddr).Port)}
	m.cfg.Records = observer.All
	for _, f := range edit {
		f(&m.cfg)
	}
	if err := m.Provision(&core.Host{Log: slog.New(slog.DiscardHandler), Offers: &core.Offers{}}); err != nil {
		t.Fatal(err)
	}
	testkit.Need(t, m.Start(t.Context()))
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if s := m.running().Services(); len(s) == 2 && s[0].Requests == 20 && s[1].Requests == 20 {
			return m
		}
	}
	t.Fatalf("%+v", m.running().Services())
	return nil
}

func call(m *Module, path string) (int, string) {
	mux := http.NewServeMux()
	m.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/tcprt/"+path, nil))
	return w.Code, w.Body.String()
}

func TestKernelModule(t *testing.T) {
	m := started(t)
	id := m.running().Services()[0].ID
	for _, c := range []struct {
		path string
		code int
		has  string
	}{
		{"status", 200, `"by_service":[{`},
		{"slow?limit=3&role=server", 200, `"phases_seconds":{`},
		{"slow?over=1h", 200, `"requests":[]`},
		{"slow?over=soon", 400, "want a duration"},
		{"slow?role=boss", 400, "want server or client"},
		{"slow?from=300.1.1.1", 400, "want an address or a network"},
		{"slow?from=127.0.0.0/8&since=5m", 200, `"remote":"127.0.0.1:`},
		{"slow?limit=0", 400, "want 1 to"},
		{"inflight", 200, `"all":0`},
		{"anomalies", 200, `"anomalies":[]`},
		{"history?service=" + strings.ReplaceAll(id, "@", "%40"), 200, `"bounds_seconds"`},
		{"history?service=none", 404, "none"},
	} {
		code, body := call(m, c.path)
		if code != c.code || !strings.Contains(body, c.has) || !json.Valid([]byte(body)) {
			t.Errorf("%s: %d %.300s; want %d with %q", c.path, code, body, c.code, c.has)
		}
	}
	if s := m.Status(); s.State != core.Running || !strings.Contains(s.Summary, "tier full, 2 services") {
		t.Errorf("%+v", s)
	}
	metricsAreClean(t, m)
	next := New()
	next.cfg.Tier = observer.Off
	if err := m.Reconfigure(t.Context(), &next.cfg); err != nil {
		t.Fatal(err)
	}
	if s := m.Status(); s.State != core.Stopped || m.running() != nil {
		t.Errorf("off: %+v", s)
	}
	if code, body := call(m, "status"); code != 503 || !strings.Contains(body, "not running") {
		t.Errorf("off: %d %s", code, body)
	}
	again := New()
	again.cfg.Ports, again.cfg.Tier = []uint16{1}, "lite"
	if err := m.Reconfigure(t.Context(), &again.cfg); err != nil {
		t.Fatal(err)
	}
	if s := m.running().Status(); s.Tier != tcprt.Lite {
		t.Errorf("%+v", s)
	}
	bad := New()
	bad.cfg.Sample = 3
	if err := m.Reconfigure(t.Context(), &bad.cfg); err == nil || m.running() == nil {
		t.Errorf("a bad configuration was taken, or ended the old one: %v", err)
	}
}

func metricsAreClean(t *testing.T, m *Module) {
	t.Helper()
	known := map[*core.Desc]bool{}
	for _, d := range m.Metrics() {
		known[d] = true
		kind := map[core.Kind]dto.MetricType{core.Counter: dto.MetricType_COUNTER, core.Gauge: dto.MetricType_GAUGE, core.Histogram: dto.MetricType_HISTOGRAM}[d.Kind]
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &d.Name, Help: &d.Help, Type: &kind, Metric: []*dto.Metric{{}}}}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", d.Name, problems, err)
		}
	}
	seen, total := map[string]bool{}, map[string]float64{}
	m.Collect(func(x core.Metric) {
		if !known[x.Desc] || len(x.Values) != len(x.Desc.Labels) {
			t.Errorf("%s with labels %v: not described so", x.Desc.Name, x.Values)
		}
		key := x.Desc.Name + strings.Join(x.Values, "|")
		if seen[key] {
			t.Errorf("%s twice", key)
		}
		seen[key] = true
		total[x.Desc.Name] += x.Value
		if x.Desc == duration && (x.Hist.Count != 20 || x.Hist.Counts[len(x.Hist.Counts)-1] != 20 || len(x.Hist.Exemplars) != 1) {
			t.Errorf("%v: %+v", x.Values, x.Hist)
		}
	})
	if total["anole_tcprt_requests_total"] != 40 || total["anole_tcprt_request_bytes_total"] != 200 || len(seen) < 30 {
		t.Errorf("%d metrics: %v", len(seen), total)
	}
}

// fake is a service as the observer tells of it.
func fake(port uint16, n uint64) *observer.Told {
	t := &tcprt.Totals{}
	for range n {
		t.Add(&tcprt.Record{Role: tcprt.Server, T0: 1, T1: 1000, T2: 2000, T3: 3000})
	}
	return &observer.Told{Service: tcprt.Service{Role: tcprt.Server, Port: port}, Names: &tcprt.Names{Command: fmt.Sprint("s", port)}, Totals: t}
}

// However many services there are, so many have series; the others are together, and
// no count falls when they change places.
func TestSeriesAreBounded(t *testing.T) {
	const most = 4
	var s series
	last := map[string]float64{}
	for round := range 6 {
		all := 0.0
		s.begin(nil)
		for port := range uint16(20) {
			n := uint64(10*(round+1)) + uint64(round)*100*uint64((port+uint16(3*round))%7)
			if prev := uint64(last[fmt.Sprint("p", port)]); n < prev {
				n = prev
			}
			last[fmt.Sprint("p", port)] = float64(n)
			all += float64(n)
			s.take(fake(port+1, n))
		}
		sum, names := 0.0, map[string]bool{}
		s.end(most, func(m core.Metric) {
			if m.Desc != requests {
				return
			}
			key := strings.Join(m.Values, "|")
			if m.Value < last[key] {
				t.Errorf("round %d: %s fell from %v to %v", round, key, last[key], m.Value)
			}
			last[key] = m.Value
			sum += m.Value
			names[m.Values[2]] = true
		})
		if len(names) > most+1 {
			t.Errorf("round %d: %d services have series: %v", round, len(names), names)
		}
		if round == 0 && sum != all {
			t.Errorf("%v requests in the series, there were %v", sum, all)
		}
	}
}

func TestTables(t *testing.T) {
	r := observer.Record{
		Role: "server", Name: "shop", Total: 0.05, Phases: map[string]float64{"upload": 0.001, "server": 0.045, "deliver": 0.004}, Retransmits: 2, ZeroWindows: 1, Flags: "overlap,no-delay",
		Request: 100, Answer: 2000,
	}
	var b bytes.Buffer
	if err := recordTable([]observer.Record{r}).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shop:0", "45.0 ms", "2 sent again, window shut, overlap"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	if strings.Contains(b.String(), "no-delay") {
		t.Errorf("what is ordinary is told:\n%s", b.String())
	}
	end := time.Now()
	a := observer.Anomaly{Name: "shop", Port: 80, Role: "server", Start: end.Add(-time.Minute), Signal: "server_p90", Usual: 0.002, Now: 0.06, Cause: "cpu_throttled", Component: "shop", Sure: 0.97,
		Shares: map[string]float64{"cpu_throttled": 0.9, "server": 0.1}, Evidence: []string{"its cgroup was throttled 43 % of the time"}}
	over := a
	over.End = &end
	b.Reset()
	if err := writeDiagnosis(&b, []observer.Anomaly{a, over}, 5); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shop:80 (server)", "server p90 is 60.0 ms, usually 2.00 ms", "cpu throttled at shop, 97 % sure", "throttled 43 %", "cpu throttled 90 %, server 10 %", "1m 0s"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	b.Reset()
	kinds := []observer.Kind{{Name: "shop", Port: 80, Role: "server", Protocol: "http", Method: "GET", Route: "/a", Status: "200", Requests: 7, P99: 0.01}, {Protocol: "other", Requests: 3}}
	var told []observer.Kind // as the agent's answer is read
	if raw, err := json.Marshal(kinds); err != nil || json.Unmarshal(raw, &told) != nil {
		t.Fatal(err)
	}
	if err := routeTable(told).Write(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"shop:80", "/a", "other", "10.0 ms"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}

// The room works without another that hears of slow services, and takes what it is
// offered.
func TestBreachesAreWanted(t *testing.T) {
	for _, b := range []*workload.Breaches{nil, new(workload.Breaches)} {
		offers := &core.Offers{}
		if b != nil {
			if err := core.Offer(offers, b); err != nil {
				t.Fatal(err)
			}
		}
		m := New()
		if err := m.Provision(&core.Host{Log: slog.New(slog.DiscardHandler), Offers: offers}); err != nil {
			t.Fatal(err)
		}
		if m.breaches != b {
			t.Errorf("offered %p, taken %p", b, m.breaches)
		}
	}
}
