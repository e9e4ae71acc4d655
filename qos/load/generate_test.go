package load

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// serve answers with h until the test ends.
func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/work"
}

func generated(t *testing.T, o GenOptions) Result {
	t.Helper()
	r, err := Generate(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Requests != r.OK+r.Failed() {
		t.Fatalf("%d requests, %d ok, errors %v", r.Requests, r.OK, r.Errors)
	}
	return r
}

func TestGenerateCountsWhatTheServiceSaw(t *testing.T) {
	var seen, unstamped atomic.Int64
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		seen.Add(1)
		if sinceSent(r.Header.Get(SentHeader)) < 0 {
			unstamped.Add(1)
		}
	})
	r := generated(t, GenOptions{URL: url, Rate: 400, Warmup: 100 * time.Millisecond, Duration: 400 * time.Millisecond, Seed: 1})
	if r.OK != r.Requests || r.OK < 80 || r.OK >= seen.Load() || unstamped.Load() > 0 {
		t.Fatalf("%d of %d ok, service saw %d, %d without time; errors %v", r.OK, r.Requests, seen.Load(), unstamped.Load(), r.Errors)
	}
	if r.Latency.Count != r.OK || r.Latency.P50 <= 0 || r.Latency.P50 > r.Latency.P99 || r.Latency.P99 > r.Latency.Max {
		t.Fatalf("latency %+v", r.Latency)
	}
	if r.Lateness.Count != r.Requests || r.CPU <= 0 || r.CPUPercent <= 0 || r.StartMono <= 0 {
		t.Fatalf("lateness %+v, cpu %v", r.Lateness, r.CPU)
	}
}

// TestNoCoordinatedOmission stalls a service once for 200 ms. A generator
// that waits for it would see one slow request; the open loop must see all
// that were due meanwhile, with about half of the stall on average.
func TestNoCoordinatedOmission(t *testing.T) {
	const stall = 200 * time.Millisecond
	var gate sync.Mutex
	var once sync.Once
	url := serve(t, func(http.ResponseWriter, *http.Request) {
		gate.Lock()
		defer gate.Unlock()
		once.Do(func() { time.Sleep(stall) })
	})
	// Two connections: most arrivals wait inside the generator.
	r := generated(t, GenOptions{URL: url, Rate: 500, Arrival: Uniform, Duration: 600 * time.Millisecond, Connections: 2})
	if r.OK != r.Requests || r.Requests < 295 {
		t.Fatalf("%d of %d ok: %v", r.OK, r.Requests, r.Errors)
	}
	slow := int64(0) // requests that took at least a quarter of the stall
	h, err := r.Decode()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range h.Distribution() {
		if b.From >= int64(stall/4) {
			slow += b.Count
		}
	}
	// 500/s over 150 ms are 75 requests; a closed loop has 2.
	if slow < 60 || r.Latency.Max < stall || r.Waited < 60 {
		t.Fatalf("%d slow requests, max %v, %d waited", slow, r.Latency.Max, r.Waited)
	}
}

func TestGenerateCountIsExact(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := generated(t, GenOptions{URL: url, Rate: 2000, Arrival: Batch, BatchSize: 10, Count: 250, Seed: 2})
	if r.Requests != 250 || r.OK != 250 {
		t.Fatalf("%d requests, %d ok: %v", r.Requests, r.OK, r.Errors)
	}
}

func TestGenerateSplitsBySteps(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := generated(t, GenOptions{URL: url, Rate: 100, Arrival: Uniform, Duration: 400 * time.Millisecond,
		Steps: []Step{{At: 200 * time.Millisecond, Rate: 1000}}})
	if len(r.Segments) != 2 || r.Segments[0].Latency.Count < 19 || r.Segments[0].Latency.Count > 21 ||
		r.Segments[1].Latency.Count < 198 || r.Segments[1].Latency.Count > 201 {
		t.Fatalf("segments %+v", r.Segments)
	}
}

func TestGenerateStatusIsAnError(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	r := generated(t, GenOptions{URL: url, Rate: 500, Duration: 100 * time.Millisecond})
	if r.OK != 0 || r.Errors[ErrStatus] != r.Requests || r.Requests == 0 {
		t.Fatalf("%d requests, errors %v", r.Requests, r.Errors)
	}
}

func TestGenerateLateRepliesKeepTheirAge(t *testing.T) {
	release := make(chan struct{})
	url := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	r := generated(t, GenOptions{URL: url, Rate: 100, Arrival: Uniform, Duration: 300 * time.Millisecond,
		Connections: 1, Timeout: 100 * time.Millisecond, Drain: 100 * time.Millisecond})
	if r.OK != 0 || r.Errors[ErrTimeout] == 0 || r.Missed == 0 || r.Latency.Count != r.Requests || r.Latency.P99 < 100*time.Millisecond {
		t.Fatalf("errors %v, latency %+v", r.Errors, r.Latency)
	}
}

func TestGenerateEndsWithContext(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	views := 0
	var last Progress
	r, err := Generate(ctx, GenOptions{URL: url, Rate: 300, Progress: func(p Progress) {
		views, last = views+1, p
		if p.Done > 30 {
			cancel()
		}
	}})
	if err != nil || r.OK < 30 || r.Requests != r.OK+r.Failed() {
		t.Fatalf("%d requests, %d ok, %v, %v", r.Requests, r.OK, r.Errors, err)
	}
	if views < 2 || last.RPS <= 0 || last.P99 <= 0 || last.Rate != 300 {
		t.Fatalf("%d views, last %+v", views, last)
	}
}

func TestGenerateSlowProgressDoesNotDelay(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	hold := make(chan struct{})
	time.AfterFunc(500*time.Millisecond, func() { close(hold) })
	r := generated(t, GenOptions{URL: url, Rate: 500, Arrival: Uniform, Duration: 400 * time.Millisecond,
		Progress: func(Progress) { <-hold }})
	if r.OK < 195 {
		t.Fatalf("%d ok", r.OK)
	}
}

func TestGenerateFIFOIsReported(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := generated(t, GenOptions{URL: url, Rate: 300, Duration: 100 * time.Millisecond, SchedFIFO: true})
	if fine := r.Scheduler == "fifo" && r.SchedulerError == ""; !fine && (r.Scheduler != "other" || r.SchedulerError == "") {
		t.Fatalf("scheduler %q, %q", r.Scheduler, r.SchedulerError)
	}
	if r.OK == 0 {
		t.Fatal("no request went through")
	}
	if err := eachThread(func(tid int) error {
		if a, err := unix.SchedGetAttr(tid, 0); err == nil && a.Policy == unix.SCHED_FIFO {
			t.Errorf("thread %d is still under SCHED_FIFO", tid)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestGenerateRefuses(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]GenOptions{
		"https":       {URL: "https://127.0.0.1:1/", Rate: 1},
		"no url":      {Rate: 1},
		"no rate":     {URL: addr},
		"connections": {URL: addr, Rate: 1, Connections: -1},
		"duration":    {URL: addr, Rate: 1, Duration: -1},
		"refused":     {URL: addr, Rate: 1, ConnectTimeout: 100 * time.Millisecond, Duration: time.Second},
	} {
		if _, err := Generate(t.Context(), o); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestGenerateAgainstBrokenServices lets raw TCP peers misbehave.
func TestGenerateAgainstBrokenServices(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"
	for name, c := range map[string]struct {
		answer, kind string
	}{
		"early close": {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc", ErrClosed},
		"no answer":   {"", ErrClosed},
		"malformed":   {"HELLO\r\n\r\n", ErrProtocol},
		"bad chunk":   {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n!\r\n", ErrProtocol},
		"huge":        {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", ErrProtocol},
		"pipelined":   {ok + ok, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			addr := rawServer(t, c.answer)
			r := generated(t, GenOptions{URL: addr, Rate: 200, Duration: 200 * time.Millisecond, Connections: 4, Drain: 100 * time.Millisecond})
			if r.OK != 0 || r.Errors[c.kind] == 0 || r.Latency.Count != r.Missed+r.Errors[ErrUnfinished]+r.Errors[ErrTimeout] {
				t.Fatalf("ok %d, errors %v", r.OK, r.Errors)
			}
		})
	}
}

// rawServer reads a request, writes answer and closes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close()
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = c.Write([]byte(answer))
				}
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); conns.Wait() })
	return ln.Addr().String()
}

func TestGenerateReconnectsAfterConnectionClose(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Connection", "close") })
	r := generated(t, GenOptions{URL: url, Rate: 300, Arrival: Uniform, Duration: 200 * time.Millisecond, Connections: 2})
	if r.OK != r.Requests || r.OK < 55 {
		t.Fatalf("%d of %d ok: %v", r.OK, r.Requests, r.Errors)
	}
}

func TestResultJSONAndPool(t *testing.T) {
	url := serve(t, func(http.ResponseWriter, *http.Request) {})
	r := generated(t, GenOptions{URL: url, Rate: 300, Duration: 100 * time.Millisecond})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, field := range []string{`"p99_ns":`, `"p99_9_ns":`, `"lateness":`, `"histogram":"`, `"throughput":`, `"missed":0`} {
		if !strings.Contains(string(b), field) {
			t.Errorf("no %s in %s", field, b)
		}
	}
	var back Result
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	q, err := Pool(back, r)
	if err != nil || q.Count != 2*r.Latency.Count || q.Max != r.Latency.Max || q.P50 != r.Latency.P50 {
		t.Fatalf("pool %+v, run %+v, %v", q, r.Latency, err)
	}
	if _, err := Pool(Result{Histogram: "nonsense"}); err == nil {
		t.Fatal("pool accepted nonsense")
	}
}
