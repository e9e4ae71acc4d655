package module

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	collectormetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/tcprt/jsonl"
)

// Requests go to a collector and to files while the agent runs, each once, and what
// is under way when it stops is not lost.
func TestKernelExports(t *testing.T) {
	var mu sync.Mutex
	spans, metrics := map[string]int{}, map[string]int{}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b, err := io.ReadAll(z)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/traces" {
			var m collectortrace.ExportTraceServiceRequest
			if err := proto.Unmarshal(b, &m); err != nil {
				t.Error(err)
			}
			for _, s := range m.GetResourceSpans()[0].GetScopeSpans()[0].GetSpans() {
				spans[s.GetName()]++
			}
			return
		}
		var m collectormetrics.ExportMetricsServiceRequest
		if err := proto.Unmarshal(b, &m); err != nil {
			t.Error(err)
		}
		for _, x := range m.GetResourceMetrics()[0].GetScopeMetrics()[0].GetMetrics() {
			metrics[x.GetName()]++
		}
	}))
	defer collector.Close()
	dir := t.TempDir()
	m := started(t, func(c *Config) {
		c.Export.OTLP.Endpoint, c.Export.OTLP.Interval = collector.URL, yamlx.Duration(time.Second)
		c.Export.JSONL.Path = filepath.Join(dir, "deep", "requests.jsonl")
		c.Export.V6.Directory = filepath.Join(dir, "v6")
	})
	requests := int(m.running().Services()[0].Requests)
	if requests == 0 {
		t.Fatal("no requests: this tests nothing")
	}
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		mu.Lock()
		n := metrics["anole.tcprt.request.duration"]
		mu.Unlock()
		if n > 0 {
			break
		}
	}
	if got := collected(m); got[`exported_records_total otlp`]+got[`exported_records_total jsonl`] == 0 && metrics["anole.tcprt.requests"] == 0 {
		t.Errorf("metrics say %v, the collector has %v", got, metrics)
	}
	if err := m.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "deep", "requests.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]int{}
	if err := jsonl.Read(bytes.NewReader(b), func(r *jsonl.Record) error { told[r.Role]++; return nil }); err != nil {
		t.Fatal(err)
	}
	log, err := os.ReadFile(filepath.Join(dir, "v6", "rt-network-log0"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^V6 [RWNP] `).FindAll(log, -1)
	stats, err := os.ReadFile(filepath.Join(dir, "v6", "rt-network-stats"))
	if err != nil || !regexp.MustCompile(`(?m)^\d+ all P?\d+ `).Match(stats) {
		t.Errorf("averages %q, %v", stats, err)
	}
	if told["server"] == 0 || told["server"] != told["client"] || spans["tcp server"] != told["server"] || spans["tcp client"] != told["client"] || len(lines) != told["server"]+told["client"] {
		t.Errorf("%v in JSON, %v spans, %d lines of V6, want as many", told, spans, len(lines))
	}
}

// collected is what the module's metrics say, by name and exporter.
func collected(m *Module) map[string]float64 {
	out := map[string]float64{}
	for _, x := range m.exporting().stats() {
		out["exported_records_total "+x.Name] = float64(x.Records)
	}
	return out
}

// What an exporter cannot be made of is said before anything begins, and what goes
// wrong later is no reason to stop measuring.
func TestExportErrors(t *testing.T) {
	for want, edit := range map[string]func(*Export){
		"export.otlp: endpoint is \"localhost:4318\"": func(e *Export) { e.OTLP.Endpoint = "localhost:4318" },
		"export.otlp: interval is 100ms, want 1s or more": func(e *Export) {
			e.OTLP.Endpoint, e.OTLP.Interval = "http://h:4318", yamlx.Duration(100*time.Millisecond)
		},
		"export.jsonl: path is \"x\", want one that begins with /": func(e *Export) { e.JSONL.Path = "x" },
		"export.v6: maxSize is 1KiB, want 64KiB or more":           func(e *Export) { e.V6.Directory, e.V6.Size = "/x", 1<<10 },
		"export.jsonl: keep is -1, want 0 to 1000":                 func(e *Export) { e.JSONL.Keep = -1 },
	} {
		c := New().cfg
		edit(&c.Export)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	c := New().cfg
	if err := c.Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
}

// A collector that is not there costs the spans, and is told of.
func TestKernelExportToNobody(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	url := gone.URL
	gone.Close()
	m := started(t, func(c *Config) { c.Export.OTLP.Endpoint, c.Export.OTLP.Metrics = url, false })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	began := time.Now()
	out := m.exporting()
	if err := m.Stop(ctx); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("stopped after %v: %v", time.Since(began), err)
	}
	if s := out.stats()[0]; s.Records != 0 || s.Dropped == 0 {
		t.Errorf("%+v", s)
	}
}
