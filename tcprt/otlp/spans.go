package otlp

import (
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	common "go.opentelemetry.io/proto/slim/otlp/common/v1"
	trace "go.opentelemetry.io/proto/slim/otlp/trace/v1"

	"github.com/anole-os/anole/tcprt"
)

func text(k, v string) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: v}}}
}

func integer(k string, v int64) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_IntValue{IntValue: v}}}
}

func seconds(k string, d time.Duration) *common.KeyValue {
	return &common.KeyValue{Key: k, Value: &common.AnyValue{Value: &common.AnyValue_DoubleValue{DoubleValue: d.Seconds()}}}
}

// names are the attributes of who did it, those that are known.
func names(n *tcprt.Names) (out []*common.KeyValue) {
	for _, a := range [...][2]string{{"k8s.namespace.name", n.Namespace}, {"k8s.pod.name", n.Pod}, {"container.name", n.Container}, {"anole.unit", n.Unit}, {"process.executable.name", n.Command}} {
		if a[1] != "" {
			out = append(out, text(a[0], strings.ToValidUTF8(a[1], "?")))
		}
	}
	return out
}

// parent reads a traceparent (W3C Trace Context, version 00).
func parent(s string) (traceID, spanID []byte, ok bool) {
	f := strings.Split(s, "-")
	if len(f) != 4 || len(f[1]) != 32 || len(f[2]) != 16 {
		return nil, nil, false
	}
	traceID, err1 := hex.DecodeString(f[1])
	spanID, err2 := hex.DecodeString(f[2])
	sampled := len(f[3]) == 2 && strings.IndexByte("13579bdf", f[3][1]) >= 0
	return traceID, spanID, err1 == nil && err2 == nil && sampled
}

func random(n int) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		v := rand.Uint64() | 1 // an id of zeros is none
		for range 8 {
			b = append(b, byte(v))
			v >>= 8
		}
	}
	return b
}

// span makes one of a record. offset is added to its times to get Unix time.
func span(r *tcprt.Record, n *tcprt.Names, offset time.Duration) *trace.Span {
	s := &trace.Span{
		Name: spanName(r), SpanId: random(8), Kind: trace.Span_SPAN_KIND_SERVER,
		StartTimeUnixNano: uint64(r.T0 + offset), EndTimeUnixNano: uint64(r.Over() + offset),
	}
	server := r.Local
	if r.Role == tcprt.Client {
		s.Kind, server = trace.Span_SPAN_KIND_CLIENT, r.Remote
	}
	if id, from, ok := parent(r.Hint.Traceparent); ok { // which is in a trace that somebody keeps
		s.TraceId, s.ParentSpanId = id, from
	} else {
		s.TraceId = random(16)
	}
	s.Attributes = append(names(n),
		text("network.transport", "tcp"), text("network.type", family(r.Local.Addr())),
		text("network.local.address", r.Local.Addr().String()), integer("network.local.port", int64(r.Local.Port())),
		text("network.peer.address", r.Remote.Addr().String()), integer("network.peer.port", int64(r.Remote.Port())),
		integer("server.port", int64(server.Port())),
		integer("anole.tcprt.request.size", int64(r.RequestBytes)), integer("anole.tcprt.response.size", int64(r.AnswerBytes)),
		seconds("anole.tcprt.rtt", r.RTT), integer("anole.tcprt.retransmits", int64(r.Retransmits)), integer("anole.tcprt.number", int64(r.Number)),
	)
	for p := range tcprt.Phases {
		if p == tcprt.Queue && r.Read == 0 || p == tcprt.Send && (r.Last == 0 || r.Role == tcprt.Client) {
			continue
		}
		s.Attributes = append(s.Attributes, seconds("anole.tcprt.phase."+p.String(), r.Phase(p)))
	}
	if r.PID != 0 {
		s.Attributes = append(s.Attributes, integer("process.pid", int64(r.PID)))
	}
	if r.Flags != 0 {
		s.Attributes = append(s.Attributes, text("anole.tcprt.flags", r.Flags.String()))
	}
	s.Attributes = append(s.Attributes, hints(&r.Hint)...)
	if code, _ := strconv.Atoi(r.Hint.Status); strings.HasPrefix(r.Hint.Protocol, "http") && (code >= 500 || code >= 400 && r.Role == tcprt.Client) {
		s.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR}
		s.Attributes = append(s.Attributes, text("error.type", r.Hint.Status))
	}
	if r.Failed() {
		s.Status = &trace.Status{Code: trace.Status_STATUS_CODE_ERROR, Message: "the connection ended before all was answered"}
	}
	return s
}

func spanName(r *tcprt.Record) string {
	if name := r.Hint.Name(); name != "" {
		return name
	}
	return "tcp " + r.Role.String()
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "ipv4"
	}
	return "ipv6"
}

// hints are in the words of the conventions for the protocol.
func hints(h *tcprt.Hint) (out []*common.KeyValue) {
	add := func(k, v string) {
		if v != "" {
			out = append(out, text(k, v))
		}
	}
	add("network.protocol.name", h.Protocol)
	switch h.Protocol {
	case "http", "http2":
		add("http.request.method", h.Method)
		add("http.route", h.Route)
		if code, err := strconv.Atoi(h.Status); err == nil {
			out = append(out, integer("http.response.status_code", int64(code)))
		}
	case "redis", "mysql", "postgresql":
		add("db.system.name", h.Protocol)
		add("db.operation.name", h.Method)
		add("db.query.text", h.Route)
		add("db.response.status_code", h.Status)
	}
	return out
}
