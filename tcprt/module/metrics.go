package module

import (
	"strconv"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
	"github.com/anole-os/anole/tcprt/observer"
)

// descs lists all metrics of the room.
var descs []*core.Desc

func desc(kind core.Kind, name, help string, labels ...string) *core.Desc {
	d := &core.Desc{Name: "anole_tcprt_" + name, Help: help, Kind: kind, Labels: labels}
	descs = append(descs, d)
	return d
}

// ofService desc has the labels of a service first.
func ofService(kind core.Kind, name, help string, labels ...string) *core.Desc {
	return desc(kind, name, help, append([]string{"role", "port", "service", "namespace", "pod", "container"}, labels...)...)
}

// Metrics implements core.Describer.
func (m *Module) Metrics() []*core.Desc { return descs }

var (
	duration    = ofService(core.Histogram, "request_duration_seconds", "Time of complete requests, all phases; the acknowledgement of an answer that waited for the next request is not in it. Native buckets too.")
	phaseTime   = ofService(core.Histogram, "phase_duration_seconds", "Time of a phase of complete requests. Native buckets, and none but +Inf of the classic ones.", "phase")
	requests    = ofService(core.Counter, "requests_total", "Requests by their end: complete, one_way (a last message that wanted no answer), aborted_request (never answered) or aborted_answer.", "outcome")
	overlaps    = ofService(core.Counter, "overlaps_total", "Requests that are several, as the next came before the answer was acknowledged: pipelined ones, HTTP/2.")
	bytesIn     = ofService(core.Counter, "request_bytes_total", "Payload of requests.")
	bytesOut    = ofService(core.Counter, "answer_bytes_total", "Payload of answers.")
	resent      = ofService(core.Counter, "retransmitted_segments_total", "Segments sent again by this side.")
	disordered  = ofService(core.Counter, "out_of_order_segments_total", "Segments that came in out of order.")
	zeroWindows = ofService(core.Counter, "zero_windows_total", "Times that one side had no room for what the other sent.")
	busy        = ofService(core.Counter, "send_busy_seconds_total", "Time with data to send, on all connections together.")
	rwndLimited = ofService(core.Counter, "rwnd_limited_seconds_total", "Of that, held up by the other side's receive window.")
	sndLimited  = ofService(core.Counter, "sndbuf_limited_seconds_total", "Of that, held up by this side's send buffer.")
	roundTrip   = ofService(core.Histogram, "rtt_seconds", "Round-trip time of the path, by acknowledgements that came at once. Native buckets, and none but +Inf of the classic ones.")
	opened      = ofService(core.Counter, "connections_opened_total", "Connections made, or found when the agent came.")
	unconnected = ofService(core.Counter, "connections_failed_total", "Connections that a client asked for and never got.")
	open        = ofService(core.Gauge, "connections", "Connections there are.")

	under  = ofService(core.Gauge, "inflight_requests", "Requests under way, of the services with series of their own.")
	oldest = ofService(core.Gauge, "inflight_oldest_seconds", "Age of the oldest of those.")

	kindCount = ofService(core.Counter, "hinted_requests_total", "Requests that have a record, by what their first bytes told (tcprt.l7); all requests with tcprt.records: all.", "protocol", "method", "route", "status")
	kindTime  = ofService(core.Histogram, "hinted_request_duration_seconds", "Time of those that are complete. Native buckets, and none but +Inf of the classic ones.", "protocol", "method", "route")

	exportedRecords = desc(core.Counter, "exported_records_total", "Records that went out, by way (tcprt.export).", "exporter")
	exportDropped   = desc(core.Counter, "export_dropped_records_total", "Records that could not be written or sent, or that the other side did not want.", "exporter")
	exportFailures  = desc(core.Counter, "export_failures_total", "Times that something could not be written or sent.", "exporter")

	anomaly   = ofService(core.Gauge, "anomaly_score", "How far a service is from its usual, in standard deviations, while it is out of it.", "cause")
	anomalies = desc(core.Counter, "anomalies_total", "Times that a service was not as usual.", "cause")

	tier     = desc(core.Gauge, "tier_info", "How much of each request is seen; always 1.", "tier")
	skip     = desc(core.Gauge, "connections_skipped_ratio", "Share of new connections that are left out to keep within the budget.")
	cost     = desc(core.Gauge, "cpu_cores", "CPU that it takes itself.", "part")
	services = desc(core.Gauge, "services", "Services that are known; those without series of their own are together in service=\"other\".")
	told     = desc(core.Counter, "records_total", "Records of single requests that the kernel gave.")
	dropped  = desc(core.Counter, "records_dropped_total", "Records for which there was no room.")
	unopened = desc(core.Counter, "connections_unopened_total", "Times that the kernel had no room to keep a connection's state; it is tried again at the next segment.")
	missed   = desc(core.Counter, "segments_missed_total", "Segments that were seen late, as the CPU was looking at another.")
	synacks  = desc(core.Counter, "synack_retransmits_total", "SYN-ACKs sent again, of connections that are none yet.")
)

// classic are the classic buckets of request_duration_seconds: from 2⁻¹⁴ s (61 µs) by
// two to 16 s. Their ends are ends of the kernel's buckets, so that they are exact.
const (
	classicFirst = tcprt.NativeOffset - 4*14
	classicStep  = 4
	classicCount = 19
)

// hist turns the kernel's buckets into a metric's.
func hist(h *tcprt.Histogram, classic bool) *core.Hist {
	out := &core.Hist{Sum: h.Sum.Seconds(), Count: h.Count()}
	out.Native = &core.Native{
		Schema: tcprt.NativeSchema, First: 1 - tcprt.NativeOffset, Counts: h.Counts[1:], ZeroCount: h.Counts[0], Zero: tcprt.UpperBound(0),
	}
	if !classic {
		return out
	}
	var n uint64
	b := 0
	for i := range classicCount {
		end := classicFirst + i*classicStep
		for ; b <= end; b++ {
			n += h.Counts[b]
		}
		out.Bounds = append(out.Bounds, tcprt.UpperBound(end))
		out.Counts = append(out.Counts, n)
	}
	return out
}

// Collect implements core.Collector.
func (m *Module) Collect(emit func(core.Metric)) {
	o := m.running()
	if o == nil {
		return
	}
	m.series.collect(o, m.cfg.Series, emit)
	collectKinds(o.Kinds(), emit)
	for _, x := range m.exporting().stats() {
		for d, v := range map[*core.Desc]uint64{exportedRecords: x.Records, exportDropped: x.Dropped, exportFailures: x.Failed} {
			emit(core.Metric{Desc: d, Values: []string{x.Name}, Value: float64(v)})
		}
	}
	s := o.Status()
	collectStatus(&s, emit)
	o.Suspects(func(key tcprt.Service, n *tcprt.Names, cause blame.Cause, score float64) {
		emit(core.Metric{Desc: anomaly, Values: append(labelsOf(key, n), cause.String()), Value: score})
	})
	for cause, n := range o.Causes() {
		emit(core.Metric{Desc: anomalies, Values: []string{blame.Cause(cause).String()}, Value: float64(n)})
	}
}

func collectStatus(s *observer.Status, emit func(core.Metric)) {
	value := func(d *core.Desc, v float64, labels ...string) {
		emit(core.Metric{Desc: d, Values: labels, Value: v})
	}
	value(tier, 1, s.Tier.String())
	value(skip, 1-1/float64(max(1, s.Skip)))
	value(cost, s.Cost-s.Kernel, "agent")
	value(cost, s.Kernel, "kernel")
	value(services, float64(s.Services))
	value(told, float64(s.Records))
	value(dropped, float64(s.Dropped))
	value(missed, float64(s.Missed))
	value(unopened, float64(s.Unopened))
	value(synacks, float64(s.SYNACKs))
}

// emitService gives all samples of one set of labels.
func emitService(t *tcprt.Totals, labels []string, worst *core.Exemplar, emit func(core.Metric)) {
	with := func(more ...string) []string { return append(labels[:len(labels):len(labels)], more...) }
	value := func(d *core.Desc, v float64, more ...string) {
		emit(core.Metric{Desc: d, Values: with(more...), Value: v})
	}
	all := hist(&t.Phases[tcprt.Phases], true)
	if worst != nil {
		all.Exemplars = append(all.Exemplars, *worst)
	}
	emit(core.Metric{Desc: duration, Values: labels, Hist: all})
	for p := range tcprt.Phases {
		if t.Phases[p].Count() > 0 {
			emit(core.Metric{Desc: phaseTime, Values: with(p.String()), Hist: hist(&t.Phases[p], false)})
		}
	}
	emit(core.Metric{Desc: roundTrip, Values: labels, Hist: hist(&t.RTT, false)})
	value(requests, float64(t.Complete()), "complete")
	value(requests, float64(t.OneWay), "one_way")
	value(requests, float64(t.AbortedRequests), "aborted_request")
	value(requests, float64(t.AbortedAnswers), "aborted_answer")
	value(overlaps, float64(t.Overlaps))
	value(bytesIn, float64(t.RequestBytes))
	value(bytesOut, float64(t.AnswerBytes))
	value(resent, float64(t.Retransmits))
	value(disordered, float64(t.OutOfOrder))
	value(zeroWindows, float64(t.ZeroWindows))
	value(busy, t.Busy.Seconds())
	value(rwndLimited, t.WindowLimited.Seconds())
	value(sndLimited, t.BufferLimited.Seconds())
	value(opened, float64(t.Opened))
	value(unconnected, float64(t.Unconnected))
	value(open, float64(t.Opened)-float64(t.Closed))
}

// labelsOf are those of ofService.
func labelsOf(s tcprt.Service, n *tcprt.Names) []string {
	name := n.Command
	if name == "" {
		name = n.Unit
	}
	return []string{s.Role.String(), strconv.Itoa(int(s.Port)), name, n.Namespace, n.Pod, n.Container}
}

var otherLabels = []string{"both", "0", "other", "", "", ""}
