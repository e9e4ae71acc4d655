package otlp

import (
	"math"
	"time"

	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/slim/otlp/metrics/v1"

	"github.com/anole-os/anole/tcprt"
)

// Service is what one did since it was first seen.
type Service struct {
	Service tcprt.Service
	Names   tcprt.Names
	Totals  tcprt.Totals
}

// exponential gives a histogram's point. Bucket i of ours ends at
// 2^((i-NativeOffset)/4); index k of OTLP's scale 2 begins at 2^(k/4). Our bucket 0 is
// the one around zero.
func exponential(h *tcprt.Histogram, attrs []*common.KeyValue, start, now uint64) *metrics.ExponentialHistogramDataPoint {
	sum := h.Sum.Seconds()
	p := &metrics.ExponentialHistogramDataPoint{
		Attributes: attrs, StartTimeUnixNano: start, TimeUnixNano: now, Count: h.Count(), Sum: &sum, Scale: tcprt.NativeSchema,
		ZeroCount: h.Counts[0], ZeroThreshold: tcprt.UpperBound(0), Positive: &metrics.ExponentialHistogramDataPoint_Buckets{},
	}
	first, last := 0, 0
	for i := 1; i < len(h.Counts); i++ {
		if h.Counts[i] > 0 {
			if first == 0 {
				first = i
			}
			last = i
		}
	}
	if first > 0 {
		p.Positive.Offset = int32(first - 1 - tcprt.NativeOffset)
		p.Positive.BucketCounts = append(p.Positive.BucketCounts, h.Counts[first:last+1]...)
	}
	return p
}

// family gathers the points of all services for each metric.
type points struct {
	start, now uint64
	durations  []*metrics.ExponentialHistogramDataPoint
	phases     []*metrics.ExponentialHistogramDataPoint
	rtts       []*metrics.ExponentialHistogramDataPoint
	sums       map[string][]*metrics.NumberDataPoint
}

// counters are the sums, in their order.
var counters = []struct {
	name, unit, help string
	of               func(*tcprt.Totals) uint64
}{
	{"anole.tcprt.request.bytes", "By", "Payload of requests.", func(t *tcprt.Totals) uint64 { return t.RequestBytes }},
	{"anole.tcprt.response.bytes", "By", "Payload of answers.", func(t *tcprt.Totals) uint64 { return t.AnswerBytes }},
	{"anole.tcprt.retransmits", "{segment}", "Segments sent again by this side.", func(t *tcprt.Totals) uint64 { return t.Retransmits }},
	{"anole.tcprt.out_of_order", "{segment}", "Segments that came in out of order.", func(t *tcprt.Totals) uint64 { return t.OutOfOrder }},
	{"anole.tcprt.zero_windows", "{event}", "Times that a side had no room for what the other sent.", func(t *tcprt.Totals) uint64 { return t.ZeroWindows }},
	{"anole.tcprt.connections.opened", "{connection}", "Connections made, or found.", func(t *tcprt.Totals) uint64 { return t.Opened }},
	{"anole.tcprt.connections.failed", "{connection}", "Connections that a client asked for and never got.", func(t *tcprt.Totals) uint64 { return t.Unconnected }},
}

const requestsName = "anole.tcprt.requests"

func (p *points) number(name string, attrs []*common.KeyValue, v uint64) {
	p.sums[name] = append(p.sums[name], &metrics.NumberDataPoint{
		Attributes: attrs, StartTimeUnixNano: p.start, TimeUnixNano: p.now, Value: &metrics.NumberDataPoint_AsInt{AsInt: int64(min(v, math.MaxInt64))},
	})
}

func (p *points) add(s *Service) {
	attrs := append(names(&s.Names), text("anole.role", s.Service.Role.String()), integer("server.port", int64(s.Service.Port)), integer("anole.netns", int64(s.Service.NetNS)))
	with := func(a *common.KeyValue) []*common.KeyValue { return append(attrs[:len(attrs):len(attrs)], a) }
	t := &s.Totals
	p.durations = append(p.durations, exponential(&t.Phases[tcprt.Phases], attrs, p.start, p.now))
	for ph := range tcprt.Phases {
		if t.Phases[ph].Count() > 0 {
			p.phases = append(p.phases, exponential(&t.Phases[ph], with(text("phase", ph.String())), p.start, p.now))
		}
	}
	p.rtts = append(p.rtts, exponential(&t.RTT, attrs, p.start, p.now))
	p.number(requestsName, with(text("outcome", "complete")), t.Complete())
	p.number(requestsName, with(text("outcome", "one_way")), t.OneWay)
	p.number(requestsName, with(text("outcome", "aborted_request")), t.AbortedRequests)
	p.number(requestsName, with(text("outcome", "aborted_answer")), t.AbortedAnswers)
	for _, c := range counters {
		p.number(c.name, attrs, c.of(t))
	}
}

// metricsOf makes the metrics of all services, since start.
func metricsOf(all []Service, start, now time.Time) (out []*metrics.Metric) {
	p := points{start: uint64(start.UnixNano()), now: uint64(now.UnixNano()), sums: map[string][]*metrics.NumberDataPoint{}}
	for i := range all {
		p.add(&all[i])
	}
	const cumulative = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
	for _, h := range []struct {
		name, help string
		points     []*metrics.ExponentialHistogramDataPoint
	}{
		{"anole.tcprt.request.duration", "Time of complete requests, all phases.", p.durations},
		{"anole.tcprt.phase.duration", "Time of a phase of complete requests.", p.phases},
		{"anole.tcprt.rtt", "Round-trip time of the path, by acknowledgements that came at once.", p.rtts},
	} {
		if len(h.points) > 0 {
			out = append(out, &metrics.Metric{Name: h.name, Description: h.help, Unit: "s", Data: &metrics.Metric_ExponentialHistogram{ExponentialHistogram: &metrics.ExponentialHistogram{DataPoints: h.points, AggregationTemporality: cumulative}}})
		}
	}
	sum := func(name, unit, help string) {
		if len(p.sums[name]) > 0 {
			out = append(out, &metrics.Metric{Name: name, Description: help, Unit: unit, Data: &metrics.Metric_Sum{Sum: &metrics.Sum{DataPoints: p.sums[name], AggregationTemporality: cumulative, IsMonotonic: true}}})
		}
	}
	sum(requestsName, "{request}", "Requests by their end.")
	for _, c := range counters {
		sum(c.name, c.unit, c.help)
	}
	return out
}
