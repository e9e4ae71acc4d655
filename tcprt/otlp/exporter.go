package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	collectormetrics "go.opentelemetry.io/proto/slim/otlp/collector/metrics/v1"
	collectortrace "go.opentelemetry.io/proto/slim/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/slim/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/anole-os/anole/tcprt"
)

// mostQueued is how many spans wait for a collector at the most, mostSpans how many
// are sent at a time.
const (
	mostQueued = 16384
	mostSpans  = 512
)

// Options of an Exporter.
type Options struct {
	Endpoint string            // http://localhost:4318
	Headers  map[string]string // of each request, such as Authorization
	Host     string            // of the node, host.name
	Version  string            // of anole
}

// Stats counts.
type Stats struct {
	Spans    uint64 // that the collector took
	Dropped  uint64 // for which there was no room, or that could not be sent
	Rejected uint64 // that the collector did not want
	Points   uint64 // of metrics that it took
	Failed   uint64 // times that something could not be sent
	Problem  string // the last time, "" when all is well
}

// Exporter sends to one collector. It is safe for concurrent use.
type Exporter struct {
	c        *client
	resource *resource.Resource
	scope    *common.InstrumentationScope
	started  time.Time
	wake     chan struct{}
	ended    chan struct{}
	cancel   context.CancelFunc

	mu     sync.Mutex
	queue  []*trace.Span
	stats  Stats
	wrong  [2]string // of spans, of metrics: how the last time went
	closed bool
	idle   *sync.Cond // nothing is queued, or being sent
	busy   bool
}

// New makes an Exporter; the caller must Close. It asks nothing of the collector yet.
func New(o Options) (*Exporter, error) {
	c, err := newClient(o.Endpoint, o.Headers)
	if err != nil {
		return nil, err
	}
	e := &Exporter{
		c: c, started: time.Now(), wake: make(chan struct{}, 1), ended: make(chan struct{}),
		resource: &resource.Resource{Attributes: []*common.KeyValue{text("service.name", "anole"), text("host.name", o.Host)}},
		scope:    &common.InstrumentationScope{Name: "github.com/anole-os/anole/tcprt", Version: o.Version},
	}
	e.idle = sync.NewCond(&e.mu)
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go e.run(ctx)
	return e, nil
}

// Add queues a request's span; offset is added to its times to get Unix time.
func (e *Exporter) Add(r *tcprt.Record, n *tcprt.Names, offset time.Duration) {
	if r.T0 == 0 { // it never began as far as anybody saw
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed || len(e.queue) >= mostQueued {
		e.stats.Dropped++
		return
	}
	if e.queue = append(e.queue, span(r, n, offset)); len(e.queue) >= mostSpans {
		e.kick()
	}
}

// Flush has what is queued sent now, and does not wait for it.
func (e *Exporter) Flush() { e.kick() }

func (e *Exporter) kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Exporter) run(ctx context.Context) {
	defer close(e.ended)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		case <-tick.C:
		}
		for e.batch(ctx) {
		}
	}
}

// batch sends what waits longest and says whether there is more.
func (e *Exporter) batch(ctx context.Context) bool {
	e.mu.Lock()
	n := min(len(e.queue), mostSpans)
	spans := e.queue[:n:n]
	e.queue = e.queue[n:]
	e.busy = n > 0
	e.mu.Unlock()
	if n == 0 {
		e.idle.Broadcast()
		return false
	}
	req := &collectortrace.ExportTraceServiceRequest{ResourceSpans: []*trace.ResourceSpans{{Resource: e.resource, ScopeSpans: []*trace.ScopeSpans{{Scope: e.scope, Spans: spans}}}}}
	var reply collectortrace.ExportTraceServiceResponse
	err := e.c.post(ctx, "/v1/traces", req, &reply)
	e.mu.Lock()
	defer e.mu.Unlock()
	rejected := uint64(max(0, min(reply.GetPartialSuccess().GetRejectedSpans(), int64(n))))
	if e.note(0, err, rejected, reply.GetPartialSuccess().GetErrorMessage()) {
		e.stats.Spans += uint64(n) - rejected
		e.stats.Rejected += rejected
	} else {
		e.stats.Dropped += uint64(n)
	}
	return ctx.Err() == nil
}

// note keeps how it went; the lock is held.
func (e *Exporter) note(signal int, err error, rejected uint64, said string) bool {
	switch {
	case err != nil:
		e.stats.Failed++
		said = err.Error()
	case rejected > 0:
		said = fmt.Sprintf("the collector did not want %d: %s", rejected, said)
	}
	e.wrong[signal] = said // an error, a warning, or nothing
	e.stats.Problem = strings.Join(slices.DeleteFunc(slices.Clone(e.wrong[:]), func(s string) bool { return s == "" }), "; ")
	return err == nil
}

// Metrics sends what services did since they were first seen.
func (e *Exporter) Metrics(ctx context.Context, all []Service, now time.Time) error {
	list := metricsOf(all, e.started, now)
	if len(list) == 0 {
		return nil
	}
	req := &collectormetrics.ExportMetricsServiceRequest{ResourceMetrics: []*metrics.ResourceMetrics{{Resource: e.resource, ScopeMetrics: []*metrics.ScopeMetrics{{Scope: e.scope, Metrics: list}}}}}
	var reply collectormetrics.ExportMetricsServiceResponse
	err := e.c.post(ctx, "/v1/metrics", req, &reply)
	e.mu.Lock()
	defer e.mu.Unlock()
	n := uint64(0)
	for _, m := range list {
		n += uint64(len(m.GetSum().GetDataPoints()) + len(m.GetExponentialHistogram().GetDataPoints()))
	}
	rejected := uint64(max(0, reply.GetPartialSuccess().GetRejectedDataPoints()))
	if e.note(1, err, rejected, reply.GetPartialSuccess().GetErrorMessage()) {
		e.stats.Points += n - min(n, rejected)
	}
	return err
}

// Stats says what was sent and what was not.
func (e *Exporter) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.stats
}

// Close sends what is queued, for as long as ctx lets it; what is left is dropped,
// and an error says so.
func (e *Exporter) Close(ctx context.Context) error {
	e.mu.Lock()
	if e.closed {
		e.mu.Unlock()
		return nil
	}
	e.closed = true
	e.mu.Unlock()
	e.kick()
	stop := context.AfterFunc(ctx, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.idle.Broadcast()
	})
	defer stop()
	e.mu.Lock()
	for (len(e.queue) > 0 || e.busy) && ctx.Err() == nil {
		e.idle.Wait()
	}
	left := len(e.queue)
	e.stats.Dropped += uint64(left)
	e.queue = nil
	e.mu.Unlock()
	e.cancel()
	<-e.ended
	e.c.http.CloseIdleConnections()
	if left > 0 || ctx.Err() != nil {
		return errors.Join(fmt.Errorf("close the way to the collector: %d spans could not be sent any more", left), ctx.Err())
	}
	return nil
}
