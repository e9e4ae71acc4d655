package qos

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/workload"
)

// The groups that the room puts processes of others into say nothing of whose they
// are, and who names services must know that.
func TestShadowsAreKnownAsSuch(t *testing.T) {
	names := []string{shadowName}
	for _, n := range netShadows {
		names = append(names, n)
	}
	for _, n := range names {
		if !workload.Shadow("/" + n) {
			t.Errorf("%s is taken for somebody's", n)
		}
	}
}

func TestFeedbackPolicyErrors(t *testing.T) {
	for src, want := range map[string]string{
		"feedback: {requests: maybe}": `feedback.requests: "maybe" is not one of auto, off`,
		"feedback: {least: 0}":        "feedback.least: 0 is not a share between 0.01 and 1",
		"feedback: {hold: 100ms}":     "feedback.hold: 100ms is not between 1s and 10m",
		"feedback: {giveUp: 1s}":      "feedback.giveUp: 1s is not between 5s and 1h, or 0",
	} {
		if _, err := ParsePolicy([]byte("version: 1\n"+src+"\n"), "p.yaml"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", src, err)
		}
	}
	p, err := ParsePolicy([]byte("version: 1\nfeedback: {requests: off, least: 0.5, hold: 2s, giveUp: 0s}\n"), "p.yaml")
	o := p.Controls(4, head.Limits, "").Suppress.Feedback
	if err != nil || o.On || o.Least != 0.5 || o.Hold != 2*time.Second || o.GiveUp != 0 {
		t.Errorf("%v: %+v", err, o)
	}
	if d := DefaultPolicy(); !d.Controls(4, head.Limits, "").Suppress.Feedback.On {
		t.Error("off unless asked for")
	}
}

// head begins a recording of four CPUs.
var head = record.Header{Version: record.Version, Start: time.Unix(1_700_000_000, 0).UTC(), CPUs: 4, Mechanism: "weight", Policy: "version: 1\n"}

// script is a recording in which best-effort work takes all there is, and a service
// of the workload with an inode is slow from the 10th to the 20th second.
func script(t *testing.T, of uint64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := record.NewWriter(&b)
	write := func(l *record.Line) {
		if err := w.Write(l); err != nil {
			t.Fatal(err)
		}
	}
	h := head
	h.State.Pending = 1
	write(&record.Line{Header: &h})
	for ino, path := range map[uint64]string{7: "/anole-ls/web", 8: "/anole-be/job"} {
		write(&record.Line{Join: &record.Join{Workload: workload.Workload{ID: path[1:], Path: path, Ino: ino}}})
	}
	busy := 3.4
	for i := range 300 {
		s := &record.Step{At: int64(i+1) * 1e8, Dt: 1e8, Busy: &busy, Samples: []record.Sample{{Ino: 7, Fresh: true, Used: 0.5, Delta: 5e7}, {Ino: 8, Fresh: true, Used: 2.9, Delta: 29e7, Throttled: 1}}}
		if i >= 100 && i < 200 {
			s.Slow = []record.Slow{{Ino: of, ID: "server:80@1", Of: "default/web", P99: 61e6, Usual: 2e6, Cause: "cpu_contention"}}
		}
		write(&record.Line{Step: s})
	}
	return b.Bytes()
}

func replayed(t *testing.T, rec []byte, policy string) *Replay {
	t.Helper()
	r, err := record.NewReader(bytes.NewReader(rec), "rec")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := ReplayOptions{}
	if policy != "" {
		p, err := ParsePolicy([]byte("version: 1\n"+policy+"\n"), "p.yaml")
		if err != nil {
			t.Fatal(err)
		}
		o.Policy = &p
	}
	out, err := ReplayRecording(context.Background(), r, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestReplayHeedsSlowServices(t *testing.T) {
	said := func(x *Replay) (out []string) {
		for _, m := range x.Moves {
			if strings.HasPrefix(m.Why, "requests of") {
				out = append(out, fmt.Sprintf("%.1f %s", m.At, m.Why))
			}
		}
		return out
	}
	own := replayed(t, script(t, 7), "")
	moves := said(own)
	if len(moves) == 0 || !strings.HasPrefix(moves[0], "10.1 requests of default/web at p99 61 ms, usually 2.0 ms (cpu_contention)") {
		t.Fatalf("%q", moves)
	}
	if own.Now.LeastCap > 0.8 || own.Now.LeastCap < 0.2 {
		t.Errorf("a cap of %v at the least", own.Now.LeastCap)
	}
	for name, x := range map[string]*Replay{
		"of the best-effort workload":   replayed(t, script(t, 8), ""),
		"switched off":                  replayed(t, script(t, 7), "feedback: {requests: off}"),
		"of one that is BE by a policy": replayed(t, script(t, 7), `rules: [{match: {path: "/**"}, class: BE}]`),
	} {
		if moves := said(x); len(moves) > 0 {
			t.Errorf("%s: %q", name, moves)
		}
	}
	if x := replayed(t, script(t, 7), "feedback: {least: 0.6}"); x.Now.LeastCap < 1.9 {
		t.Errorf("at least 60 %%: a cap of %v", x.Now.LeastCap)
	}
}
