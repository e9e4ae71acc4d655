package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/workload"
)

// started starts a module whose sources find no runtime.
func started(t *testing.T) (*Module, *workload.Registry) { return startedAs(t, New()) }

// silent starts a module without sources, so that only the test speaks.
func silent(t *testing.T) (*Module, *workload.Registry) {
	m := New()
	m.cfg.NRI, m.cfg.CRI, m.cfg.Events = "off", "off", "off"
	return startedAs(t, m)
}

func startedAs(t *testing.T, m *Module) (*Module, *workload.Registry) {
	t.Helper()
	h := &core.Host{Log: slog.New(slog.DiscardHandler), Root: t.TempDir(), Offers: &core.Offers{}}
	if err := m.Provision(h); err != nil {
		t.Fatal(err)
	}
	reg, ok := core.Want[*workload.Registry](h.Offers)
	if !ok {
		t.Fatal("no registry is offered")
	}
	if err := m.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return m, reg
}

func view(t *testing.T, m *Module) (v View) {
	t.Helper()
	mux := http.NewServeMux()
	m.Routes(mux)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/workload/status", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	return v
}

func TestStatusTellsOfSourcesAndDisagreements(t *testing.T) {
	m, reg := silent(t)
	if s := m.Status(); s.State != core.Running || !strings.Contains(s.Summary, "no container runtime") {
		t.Errorf("%+v", s)
	}
	nri := reg.Feed(workload.FromNRI)
	nri.Up("containerd")
	nri.Put(workload.Record{ID: "a", PodName: "web", Namespace: "p\x1b[31m", Labels: map[string]string{"q": "BE"}})
	reg.Feed(workload.FromCRI).Put(workload.Record{ID: "a", Labels: map[string]string{"q": "LS"}})
	v := view(t, m)
	if v.Containers != 1 || v.Disagreements != 1 || len(v.Sources) != 3 || !v.Sources[0].Connected || v.Sources[1].Disagreements != 1 {
		t.Errorf("%+v", v)
	}
	if s := m.Status(); s.State != core.Degraded {
		t.Errorf("%+v", s)
	}
	var out bytes.Buffer
	if err := write(&out, &v); err != nil || strings.Contains(out.String(), "\x1b[31m") || !strings.Contains(out.String(), `label q is "BE" by nri, "LS" by cri`) {
		t.Errorf("%v\n%q", err, out.String())
	}
	reg.Feed(workload.FromCRI).Drop("a")
	nri.Down(errors.New("cut"))
	if s := m.Status(); s.State != core.Degraded {
		t.Errorf("a source that was lost: %+v", s)
	}
}

func TestReconfigureKeepsTheRegistry(t *testing.T) {
	m, reg := started(t)
	reg.Feed(workload.FromNRI).Put(workload.Record{ID: "a"})
	c := New().cfg
	c.NRI, c.CRI = "off", filepath.Join(testkit.SocketDir(t), "s")
	if err := m.Reconfigure(t.Context(), &c); err != nil {
		t.Fatal(err)
	}
	if _, ok := reg.Get("a"); !ok {
		t.Error("what was known is gone")
	}
	if v := view(t, m); v.Sources[0].Wanted {
		t.Errorf("%+v", v.Sources[0])
	}
	c.Events = "relative"
	if err := m.Reconfigure(t.Context(), &c); err == nil || !strings.Contains(err.Error(), "events") {
		t.Errorf("a relative socket: %v", err)
	}
	c = New().cfg
	c.CRIStream = "perhaps"
	if o := c.options(""); o.Validate() == nil {
		t.Error("a stream of perhaps")
	}
}

// What one room reports another one sees, and a reload changes nothing about that.
func TestBreachesAreOffered(t *testing.T) {
	m := New()
	m.cfg.NRI, m.cfg.CRI, m.cfg.Events = "off", "off", "off"
	h := &core.Host{Log: slog.New(slog.DiscardHandler), Root: t.TempDir(), Offers: &core.Offers{}}
	if err := m.Provision(h); err != nil {
		t.Fatal(err)
	}
	from, ok := core.Want[*workload.Breaches](h.Offers)
	to, _ := core.Want[*workload.Breaches](h.Offers)
	if !ok || from == nil {
		t.Fatal("none are offered")
	}
	now := time.Now()
	from.Report(workload.Breach{ID: "a", Until: now.Add(time.Second)}, now)
	if got := to.Current(now); len(got) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestProbesSayWhyNot(t *testing.T) {
	m, _ := started(t)
	for _, p := range m.Probes() {
		if r := p.Result(); r.Answer != feature.No || r.Reason != feature.NoPeer || r.Need == "" || r.Fix == "" {
			t.Errorf("%+v", r)
		}
	}
}

func TestMetricsAreAsDescribed(t *testing.T) {
	m, _ := started(t)
	known := map[*core.Desc]bool{}
	for _, d := range m.Metrics() {
		known[d] = true
		kind := map[core.Kind]dto.MetricType{core.Gauge: dto.MetricType_GAUGE, core.Counter: dto.MetricType_COUNTER, core.Histogram: dto.MetricType_HISTOGRAM}[d.Kind]
		problems, err := promlint.NewWithMetricFamilies([]*dto.MetricFamily{{Name: &d.Name, Help: &d.Help, Type: &kind, Metric: []*dto.Metric{{}}}}).Lint()
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v %v", d.Name, problems, err)
		}
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
	if err := m.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.Collect(func(core.Metric) { t.Error("a metric of nothing") })
}

// Containers come by the thousand; series do not.
func TestSeriesAreBounded(t *testing.T) {
	m, reg := silent(t)
	count := func() (n int) {
		m.Collect(func(core.Metric) { n++ })
		return n
	}
	few := count()
	nri, cri := reg.Feed(workload.FromNRI), reg.Feed(workload.FromCRI)
	for i := range 1000 {
		id := fmt.Sprintf("c%04d", i)
		nri.Put(workload.Record{ID: id, PodName: id, Labels: map[string]string{"q": "BE"}})
		cri.Put(workload.Record{ID: id, PodName: id, Labels: map[string]string{"q": "LS"}})
	}
	if v := view(t, m); v.Containers != 1000 || v.Disagreements != 1000 || len(v.Conflicts) > mostConflicts {
		t.Errorf("%d containers, %d disagreements, %d of them listed", v.Containers, v.Disagreements, len(v.Conflicts))
	}
	if many := count(); many != few {
		t.Errorf("%d series with 1,000 containers, %d without", many, few)
	}
}
