// Package jsonl has requests in JSON, one a line: what the agent's API gives, `anole
// tcprt watch -o json` prints and `anole tcprt export` writes. Schema describes it.
package jsonl

import (
	"bufio"
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"time"

	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
)

// Schema is the JSON Schema (2020-12) of a line.
//
//go:embed record.schema.json
var Schema []byte

// Record is one request. Times are seconds.
type Record struct {
	Time        time.Time          `json:"time"` // when it began
	Service     string             `json:"service"`
	Name        string             `json:"name"`
	Role        string             `json:"role"`
	Number      uint32             `json:"number"`
	Local       netip.AddrPort     `json:"local"`
	Remote      netip.AddrPort     `json:"remote"`
	NetNS       uint32             `json:"netns"`
	PID         uint32             `json:"pid,omitempty"`
	Command     string             `json:"command,omitempty"`
	Total       float64            `json:"total_seconds"`
	Phases      map[string]float64 `json:"phases_seconds"`
	Age         float64            `json:"age_seconds,omitempty"` // of one that is under way
	State       string             `json:"state,omitempty"`       // likewise: waiting, answering
	Request     uint32             `json:"request_bytes"`
	Answer      uint32             `json:"answer_bytes"`
	Unacked     uint32             `json:"unacked_bytes,omitempty"`
	Retransmits uint32             `json:"retransmits,omitempty"`
	OutOfOrder  uint32             `json:"out_of_order,omitempty"`
	ZeroWindows uint32             `json:"zero_windows,omitempty"`
	Busy        float64            `json:"busy_seconds,omitempty"`
	Window      float64            `json:"window_limited_seconds,omitempty"`
	Buffer      float64            `json:"buffer_limited_seconds,omitempty"`
	Queued      float64            `json:"queued_seconds,omitempty"`
	RTT         float64            `json:"rtt_seconds"`
	MinRTT      float64            `json:"min_rtt_seconds"`
	Flags       string             `json:"flags,omitempty"`
	Protocol    string             `json:"protocol,omitempty"` // this and what follows is of hints
	Method      string             `json:"method,omitempty"`
	Route       string             `json:"route,omitempty"`
	Status      string             `json:"status,omitempty"`
	Traceparent string             `json:"traceparent,omitempty"`
	Requests    uint16             `json:"requests,omitempty"` // that begin in it, where they are several
}

// Of makes one. offset is added to the record's times to get Unix time.
func Of(r *tcprt.Record, n *tcprt.Names, offset time.Duration) Record {
	v := Record{
		Time: time.Unix(0, int64(r.T0+offset)), Service: r.Service().String(), Name: n.String(), Role: r.Role.String(), Number: r.Number,
		Local: r.Local, Remote: r.Remote, NetNS: r.NetNS, PID: r.PID, Command: term.Clean(r.Command.String()), Total: r.Total().Seconds(), Phases: map[string]float64{},
		Request: r.RequestBytes, Answer: r.AnswerBytes, Unacked: r.Unacked, Retransmits: r.Retransmits, OutOfOrder: r.OutOfOrder, ZeroWindows: r.ZeroWindows,
		Busy: r.Busy.Seconds(), Window: r.WindowLimited.Seconds(), Buffer: r.BufferLimited.Seconds(), Queued: r.Queued.Seconds(),
		RTT: r.RTT.Seconds(), MinRTT: r.MinRTT.Seconds(), Flags: r.Flags.String(),
		Protocol: r.Hint.Protocol, Method: term.Clean(r.Hint.Method), Route: term.Clean(r.Hint.Route), Status: term.Clean(r.Hint.Status), Traceparent: r.Hint.Traceparent, Requests: r.Hint.Requests,
	}
	if v.Name == "-" && v.Command != "" {
		v.Name = v.Command
	}
	for p := range tcprt.Phases {
		if p == tcprt.Queue && r.Read == 0 || p == tcprt.Send && (r.Last == 0 || r.Role == tcprt.Client) {
			continue
		}
		v.Phases[p.String()] = r.Phase(p).Seconds()
	}
	return v
}

// maxLine bounds a line that somebody else wrote.
const maxLine = 1 << 20

// Read gives f each record. Empty lines are passed over; of a line that is none the
// error says which.
func Read(r io.Reader, f func(*Record) error) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; in.Scan(); n++ {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 {
			continue
		}
		var v Record
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("read line %d: %w", n, err)
		}
		if err := f(&v); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read records: %w", err)
	}
	return nil
}
