// Package perfetto writes requests as a trace for ui.perfetto.dev and
// chrome://tracing: a process for each service, a thread for each connection, a slice
// for each request with its phases in it.
//
// Source: the Trace Event Format (JSON), https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU.
package perfetto

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Writer writes a trace. It is for one goroutine at a time.
type Writer struct {
	w        *bufio.Writer
	offset   time.Duration
	services map[tcprt.Service]int
	conns    map[conn]int
	any      bool
	err      error
}

type conn struct {
	service       tcprt.Service
	local, remote netip.AddrPort
}

// event is one of the format. Times are µs.
type event struct {
	Name string         `json:"name"`
	Cat  string         `json:"cat,omitempty"`
	Ph   string         `json:"ph"`
	TS   float64        `json:"ts"`
	Dur  *float64       `json:"dur,omitempty"`
	PID  int            `json:"pid"`
	TID  int            `json:"tid"`
	Args map[string]any `json:"args,omitempty"`
}

// NewWriter begins a trace. offset is added to a record's times to get Unix time.
func NewWriter(w io.Writer, offset time.Duration) *Writer {
	out := &Writer{w: bufio.NewWriter(w), offset: offset, services: map[tcprt.Service]int{}, conns: map[conn]int{}}
	_, out.err = out.w.WriteString(`{"displayTimeUnit":"ms","traceEvents":[`)
	return out
}

func (w *Writer) put(e *event) {
	if w.err != nil {
		return
	}
	b, err := json.Marshal(e)
	if err != nil {
		w.err = err
		return
	}
	sep := ",\n"
	if !w.any {
		w.any, sep = true, "\n"
	}
	if _, w.err = w.w.WriteString(sep); w.err == nil {
		_, w.err = w.w.Write(b)
	}
}

// Add writes a request. An error is of writing.
func (w *Writer) Add(r *tcprt.Record, n *tcprt.Names) error {
	pid, tid := w.place(r, n)
	slice := func(name, cat string, from, to time.Duration, args map[string]any) {
		if from == 0 || to < from {
			return
		}
		dur := float64(to-from) / 1000
		w.put(&event{Name: name, Cat: cat, Ph: "X", TS: float64(from+w.offset) / 1000, Dur: &dur, PID: pid, TID: tid, Args: args})
	}
	end := r.Over()
	name := "request"
	if what := r.Hint.Name(); what != "" {
		name = what
	}
	if r.Failed() {
		name = "aborted"
	}
	slice(name, "request", r.T0, end, map[string]any{
		"number": r.Number, "request_bytes": r.RequestBytes, "answer_bytes": r.AnswerBytes, "retransmits": r.Retransmits, "out_of_order": r.OutOfOrder,
		"zero_windows": r.ZeroWindows, "rtt_us": r.RTT.Microseconds(), "min_rtt_us": r.MinRTT.Microseconds(), "flags": r.Flags.String(), "total_us": float64(r.Total()) / 1000,
		"protocol": r.Hint.Protocol, "status": r.Hint.Status, "traceparent": r.Hint.Traceparent,
	})
	begin := r.T0
	for _, s := range []struct {
		p  tcprt.Phase
		to time.Duration
	}{{tcprt.Upload, r.T1}, {tcprt.Queue, r.Read}, {tcprt.Processing, r.T2}, {tcprt.Send, last(r)}, {tcprt.Delivery, r.T3}} {
		if s.to == 0 || s.to < begin {
			continue
		}
		slice(s.p.String(), "phase", begin, min(s.to, end), nil)
		begin = min(s.to, end)
	}
	return w.err
}

// last is when the answer's last packet left, 0 on the client's side.
func last(r *tcprt.Record) time.Duration {
	if r.Role == tcprt.Client {
		return 0
	}
	return r.Last
}

// place names the service and the connection when they are new.
func (w *Writer) place(r *tcprt.Record, n *tcprt.Names) (pid, tid int) {
	s := r.Service()
	pid, known := w.services[s]
	if !known {
		pid = len(w.services) + 1
		w.services[s] = pid
		w.put(&event{Name: "process_name", Ph: "M", PID: pid, Args: map[string]any{"name": fmt.Sprintf("%s %s:%d", s.Role, n, s.Port)}})
	}
	c := conn{s, r.Local, r.Remote}
	tid, known = w.conns[c]
	if !known {
		tid = len(w.conns) + 1
		w.conns[c] = tid
		w.put(&event{Name: "thread_name", Ph: "M", PID: pid, TID: tid, Args: map[string]any{"name": r.Remote.String()}})
	}
	return pid, tid
}

// Close ends the trace. It does not close what it writes to.
func (w *Writer) Close() error {
	if w.err == nil {
		_, w.err = w.w.WriteString("\n]}\n")
	}
	if w.err == nil {
		w.err = w.w.Flush()
	}
	if w.err != nil {
		return fmt.Errorf("write trace: %w", w.err)
	}
	return nil
}
