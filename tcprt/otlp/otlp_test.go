package otlp

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	collectormetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/anole-os/anole/tcprt"
)

// collector is one that keeps what it is sent, and answers as it is told to.
type collector struct {
	*httptest.Server
	mu      sync.Mutex
	spans   []*trace.Span
	metrics []*metrics.Metric
	asked   int
	header  http.Header
	answers []func(http.ResponseWriter) // for the next requests; then all are taken
}

func newCollector(t *testing.T, answers ...func(http.ResponseWriter)) *collector {
	c := &collector{answers: answers}
	c.Server = httptest.NewServer(c)
	t.Cleanup(c.Close)
	return c
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	c.header = r.Header
	if len(c.answers) > 0 {
		f := c.answers[0]
		c.answers = c.answers[1:]
		if f != nil {
			f(w)
			return
		}
	}
	z, err := gzip.NewReader(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	b, err := io.ReadAll(z)
	if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "no protobuf in gzip", http.StatusBadRequest)
		return
	}
	switch r.URL.Path {
	case "/v1/traces":
		var m collectortrace.ExportTraceServiceRequest
		err = proto.Unmarshal(b, &m)
		for _, rs := range m.GetResourceSpans() {
			for _, s := range rs.GetScopeSpans() {
				c.spans = append(c.spans, s.GetSpans()...)
			}
		}
	case "/v1/metrics":
		var m collectormetrics.ExportMetricsServiceRequest
		err = proto.Unmarshal(b, &m)
		for _, rs := range m.GetResourceMetrics() {
			for _, s := range rs.GetScopeMetrics() {
				c.metrics = append(c.metrics, s.GetMetrics()...)
			}
		}
	default:
		http.NotFound(w, r)
		return
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func fails(code int, header ...string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
	}
}

func exporter(t *testing.T, url string) *Exporter {
	t.Helper()
	e, err := New(Options{Endpoint: url, Headers: map[string]string{"Authorization": "Bearer x"}, Host: "node-1"})
	if err != nil {
		t.Fatal(err)
	}
	e.c.gap = time.Millisecond
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Close(ctx)
	})
	return e
}

func closed(t *testing.T, e *Exporter) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func record() tcprt.Record {
	const ms = time.Millisecond
	return tcprt.Record{
		Role: tcprt.Server, Local: netip.MustParseAddrPort("10.0.0.5:80"), Remote: netip.MustParseAddrPort("10.0.0.9:40122"), PID: 811, Number: 3,
		T0: time.Second, T1: time.Second + ms, Read: time.Second + 2*ms, T2: time.Second + 10*ms, Last: time.Second + 11*ms, T3: time.Second + 13*ms,
		RequestBytes: 100, AnswerBytes: 2000, RTT: ms, MinRTT: ms, Retransmits: 1,
	}
}

func attribute(all []*common.KeyValue, key string) any {
	for _, a := range all {
		if a.GetKey() != key {
			continue
		}
		switch v := a.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			return v.StringValue
		case *common.AnyValue_IntValue:
			return v.IntValue
		case *common.AnyValue_DoubleValue:
			return v.DoubleValue
		}
	}
	return nil
}

// A request is a span of its time, with its phases; in its caller's trace where the
// request says which that is; and an error where it was not answered whole.
func TestSpans(t *testing.T) {
	c := newCollector(t)
	e := exporter(t, c.URL)
	const wall = 1_700_000_000 * time.Second
	whole, hinted, cut := record(), record(), record()
	hinted.Role, hinted.Hint = tcprt.Client, tcprt.Hint{Protocol: "http", Method: "GET", Route: "/users/{id}", Status: "200", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}
	cut.Flags, cut.T2, cut.Last, cut.T3, cut.End = tcprt.AbortedRequest, 0, 0, 0, 2*time.Second
	for _, r := range []tcprt.Record{whole, hinted, cut} {
		e.Add(&r, &tcprt.Names{Namespace: "shop", Pod: "web-1", Command: "nginx\xff"}, wall)
	}
	thinking, failed := record(), record()
	thinking.Flags, thinking.T3 = tcprt.Piggyback, time.Minute // with the next request
	failed.Hint = tcprt.Hint{Protocol: "http", Status: "503", Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"}
	e.Add(&thinking, &tcprt.Names{}, wall)
	e.Add(&failed, &tcprt.Names{}, wall)
	left := record()
	left.Flags, left.T2, left.Last, left.T3 = tcprt.OneWay, 0, 0, 0
	e.Add(&left, &tcprt.Names{}, wall)
	closed(t, e)
	if s := c.spans[len(c.spans)-1]; s.GetStatus().GetCode() != trace.Status_STATUS_CODE_UNSET || s.GetEndTimeUnixNano() != uint64(wall+left.Read) {
		t.Errorf("a message that wants no answer: %v", s)
	}
	if len(c.spans) != 6 || c.header.Get("Authorization") != "Bearer x" || e.Stats().Spans != 6 {
		t.Fatalf("%d spans, %+v", len(c.spans), e.Stats())
	}
	a, b, x := c.spans[0], c.spans[1], c.spans[2]
	if a.GetStartTimeUnixNano() != uint64(wall+whole.T0) || a.GetEndTimeUnixNano() != uint64(wall+whole.T3) || a.GetKind() != trace.Span_SPAN_KIND_SERVER || a.GetName() != "tcp server" || len(a.GetTraceId()) != 16 || len(a.GetSpanId()) != 8 {
		t.Errorf("%v", a)
	}
	for key, want := range map[string]any{
		"k8s.pod.name": "web-1", "process.executable.name": "nginx?", "network.peer.address": "10.0.0.9", "network.peer.port": int64(40122), "server.port": int64(80), "process.pid": int64(811),
		"anole.tcprt.phase.server": 0.008, "anole.tcprt.phase.queue": 0.001, "anole.tcprt.retransmits": int64(1),
	} {
		if got := attribute(a.GetAttributes(), key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
	if hex.EncodeToString(b.GetTraceId()) != "4bf92f3577b34da6a3ce929d0e0e4736" || hex.EncodeToString(b.GetParentSpanId()) != "00f067aa0ba902b7" || b.GetName() != "GET /users/{id}" || b.GetKind() != trace.Span_SPAN_KIND_CLIENT {
		t.Errorf("%v", b)
	}
	if attribute(b.GetAttributes(), "http.response.status_code") != int64(200) || attribute(b.GetAttributes(), "server.port") != int64(40122) {
		t.Errorf("%v", b)
	}
	if s := c.spans[3]; s.GetEndTimeUnixNano() != uint64(wall+thinking.T0+thinking.Total()) {
		t.Errorf("the time until the next request is in the span: %v", s)
	}
	if s := c.spans[4]; s.GetStatus().GetCode() != trace.Status_STATUS_CODE_ERROR || len(s.GetParentSpanId()) > 0 {
		t.Errorf("503, in a trace that nobody keeps: %v", s)
	}
	if x.GetStatus().GetCode() != trace.Status_STATUS_CODE_ERROR || x.GetEndTimeUnixNano() != uint64(wall+cut.End) || string(a.GetSpanId()) == string(x.GetSpanId()) {
		t.Errorf("%v", x)
	}
}

// The points are the histogram's own, to the last bucket.
func TestMetrics(t *testing.T) {
	c := newCollector(t)
	e := exporter(t, c.URL)
	s := Service{Service: tcprt.Service{Role: tcprt.Server, Port: 80, NetNS: 7}, Names: tcprt.Names{Pod: "web"}}
	var want tcprt.Histogram
	for i := range 500 {
		r := record()
		r.T3 += time.Duration(i*i) * time.Microsecond
		s.Totals.Add(&r)
		want.Add(r.Total())
	}
	zero := record()
	zero.T1, zero.Read, zero.T2, zero.Last, zero.T3 = zero.T0, 0, zero.T0, zero.T0, zero.T0
	s.Totals.Add(&zero)
	want.Add(0)
	if err := e.Metrics(context.Background(), []Service{s}, time.Now()); err != nil {
		t.Fatal(err)
	}
	seen := map[string]*metrics.Metric{}
	for _, m := range c.metrics {
		seen[m.GetName()] = m
	}
	h := seen["anole.tcprt.request.duration"].GetExponentialHistogram()
	p := h.GetDataPoints()[0]
	if h.GetAggregationTemporality() != metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE || p.GetCount() != 501 || math.Abs(p.GetSum()-want.Sum.Seconds()) > 1e-9 || p.GetZeroCount() != want.Counts[0] {
		t.Errorf("%v", p)
	}
	got := map[float64]uint64{} // by the upper end of each bucket
	for i, n := range p.GetPositive().GetBucketCounts() {
		if n > 0 {
			got[math.Exp2(float64(int(p.GetPositive().GetOffset())+i+1)/math.Exp2(float64(p.GetScale())))] = n
		}
	}
	n := 0
	for i, count := range want.Counts {
		if i > 0 && count > 0 {
			n++
			if got[tcprt.UpperBound(i)] != count {
				t.Errorf("bucket to %v has %d, want %d", tcprt.UpperBound(i), got[tcprt.UpperBound(i)], count)
			}
		}
	}
	if len(got) != n {
		t.Errorf("%d buckets, want %d", len(got), n)
	}
	total := int64(0)
	for _, p := range seen["anole.tcprt.requests"].GetSum().GetDataPoints() {
		total += p.GetAsInt()
	}
	if total != 501 || !seen["anole.tcprt.retransmits"].GetSum().GetIsMonotonic() || e.Stats().Points == 0 {
		t.Errorf("%d requests, %+v", total, e.Stats())
	}
}

// A collector that has no time is asked again, one that does not want it is not.
func TestTriesAgain(t *testing.T) {
	c := newCollector(t, fails(503), fails(429, "Retry-After", "1"), nil)
	e := exporter(t, c.URL)
	r := record()
	began := time.Now()
	e.Add(&r, &tcprt.Names{}, 0)
	closed(t, e)
	if c.asked != 3 || len(c.spans) != 1 || time.Since(began) < time.Second {
		t.Errorf("asked %d times in %v, %d spans", c.asked, time.Since(began), len(c.spans))
	}
	c = newCollector(t, fails(401, "Content-Type", "text/plain"))
	e = exporter(t, c.URL)
	e.Add(&r, &tcprt.Names{}, 0)
	closed(t, e)
	if s := e.Stats(); c.asked != 1 || s.Dropped != 1 || s.Failed != 1 || !strings.Contains(s.Problem, "401") {
		t.Errorf("asked %d times: %+v", c.asked, s)
	}
}

// What a collector takes in part is counted as that.
func TestPartialSuccess(t *testing.T) {
	c := newCollector(t, func(w http.ResponseWriter) {
		b, _ := proto.Marshal(&collectortrace.ExportTraceServiceResponse{PartialSuccess: &collectortrace.ExportTracePartialSuccess{RejectedSpans: 2, ErrorMessage: "too old"}})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(b)
	})
	e := exporter(t, c.URL)
	r := record()
	for range 5 {
		e.Add(&r, &tcprt.Names{}, 0)
	}
	closed(t, e)
	if s := e.Stats(); s.Spans != 3 || s.Rejected != 2 || s.Dropped != 0 || !strings.Contains(s.Problem, "too old") {
		t.Errorf("%+v", s)
	}
}

// Without a collector nothing waits, and what had no room is counted.
func TestNobodyThere(t *testing.T) {
	c := newCollector(t)
	url := c.URL
	c.Close()
	e := exporter(t, url)
	r := record()
	const all = mostQueued + 5000
	for range all {
		e.Add(&r, &tcprt.Names{}, 0)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if err := e.Close(ctx); err == nil || !strings.Contains(err.Error(), "could not be sent") {
		t.Error(err)
	}
	if s := e.Stats(); s.Dropped != all || s.Spans != 0 {
		t.Errorf("%+v, want %d dropped", s, all)
	}
	e.Add(&r, &tcprt.Names{}, 0) // after the end
	if s := e.Stats(); s.Dropped != all+1 {
		t.Errorf("%+v", s)
	}
}

func TestEndpoints(t *testing.T) {
	for in, want := range map[string]string{
		"http://localhost:4318": "", "https://otel.example/prefix/": "",
		"localhost:4318": "want http:// or https://", "http://": "and a host", "http://h:4317": "gRPC", "http://h/?x=1": "without what follows", "http://h:x": "no URL", "http://me:pw@h:4318": "put them into headers",
	} {
		err := CheckEndpoint(in)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v, want %q", in, err, want)
		}
	}
	if _, err := New(Options{Endpoint: "http://h", Headers: map[string]string{"a b": "c"}}); err == nil {
		t.Error("a header with a blank was taken")
	}
}
