package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Work per request when the options name none.
const (
	DefaultWork = time.Millisecond
	BurstWork   = 3 * time.Millisecond
)

const maxWork = 10 * time.Second

// ServiceOptions describes the LS service.
type ServiceOptions struct {
	// Listen is the address, on loopback only: the service burns CPU for
	// whoever asks. Empty means "127.0.0.1:0".
	Listen string `json:"listen,omitempty"`
	// Work is the CPU time of a request on an idle node, DefaultWork when
	// zero. HTTP handling comes on top.
	Work time.Duration `json:"work_ns,omitempty"`
	// Batch is the service side of the burst workload: Work defaults to
	// BurstWork.
	Batch bool `json:"batch,omitempty"`
	// Threads sets GOMAXPROCS of the process while the service runs; zero
	// leaves it alone.
	Threads int `json:"threads,omitempty"`
	// Calibration from Calibrate; zero calibrates in OpenService.
	Calibration Calibration `json:"calibration"`
}

// Reply is the body of a response of /work.
type Reply struct {
	// QueueNS is the time from the send that SentHeader names to the handler:
	// socket, run queue and Go scheduler. -1 when the request names none.
	QueueNS int64 `json:"queue_ns"`
	// ServeNS is the wall time of the work.
	ServeNS int64 `json:"serve_ns"`
}

// ServiceStats is what /stats answers, since the start of the service.
type ServiceStats struct {
	Addr        string        `json:"addr"`
	Work        time.Duration `json:"work_ns"`
	Calibration Calibration   `json:"calibration"`
	Requests    int64         `json:"requests"`
	Queue       Quantiles     `json:"queue"`
	Serve       Quantiles     `json:"serve"`
	CPU         time.Duration `json:"cpu_ns"` // of the process
}

// Service is an HTTP service whose every request costs the same work. It
// serves /work, /healthz and /stats. Safe for concurrent use.
type Service struct {
	ln          net.Listener
	work        time.Duration
	threads     int
	iterations  uint64
	calibration Calibration

	mu           sync.Mutex
	queue, serve *hdrhistogram.Histogram
}

// OpenService calibrates if need be and listens. The caller calls Serve, or
// Close when it does not.
func OpenService(o ServiceOptions) (*Service, error) {
	if o.Work == 0 {
		o.Work = DefaultWork
		if o.Batch {
			o.Work = BurstWork
		}
	}
	if o.Work < 0 || o.Work > maxWork || o.Threads < 0 {
		return nil, fmt.Errorf("open service: work %v is not in 0..%v or threads %d is negative", o.Work, maxWork, o.Threads)
	}
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	addr, err := net.ResolveTCPAddr("tcp", o.Listen)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", o.Listen, err)
	}
	if !addr.IP.IsLoopback() {
		return nil, fmt.Errorf("listen on %s: not a loopback address", o.Listen)
	}
	cal, err := o.Calibration.complete(false)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", o.Listen, err)
	}
	return &Service{
		ln: ln, work: o.Work, threads: o.Threads, iterations: cal.spins(o.Work), calibration: cal,
		queue: newHistogram(), serve: newHistogram(),
	}, nil
}

// Addr is the address in use.
func (s *Service) Addr() string { return s.ln.Addr().String() }

// URL is the address of the work, for GenOptions.
func (s *Service) URL() string { return "http://" + s.Addr() + "/work" }

// Close stops listening; only for a service that Serve was not called on.
func (s *Service) Close() error { return s.ln.Close() }

// Serve answers until ctx ends, then closes all connections and returns the
// final statistics with a nil error. To be called once.
func (s *Service) Serve(ctx context.Context) (ServiceStats, error) {
	if s.threads > 0 {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(s.threads))
	}
	srv := &http.Server{Handler: s.Handler(), ReadHeaderTimeout: time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() }) // measured load: no grace
	defer stop()
	if err := srv.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return ServiceStats{}, fmt.Errorf("serve on %s: %w", s.Addr(), err)
	}
	return s.Stats()
}

// Handler is the HTTP handler without the listener.
func (s *Service) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/work", s.serveWork)
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { write(w, []byte("ok\n")) })
	mux.HandleFunc("/stats", s.serveStats)
	return mux
}

func (s *Service) serveWork(w http.ResponseWriter, r *http.Request) {
	queued := sinceSent(r.Header.Get(SentHeader))
	begin := time.Now()
	spin(s.iterations)
	served := int64(time.Since(begin))
	s.mu.Lock()
	record(s.serve, served)
	if queued >= 0 {
		record(s.queue, queued)
	}
	s.mu.Unlock()
	b := append(make([]byte, 0, 64), `{"queue_ns":`...)
	b = append(strconv.AppendInt(b, queued, 10), `,"serve_ns":`...)
	b = append(strconv.AppendInt(b, served, 10), "}\n"...)
	w.Header().Set("Content-Type", "application/json")
	write(w, b)
}

// sinceSent returns nanoseconds since the monotonic time in text, or -1 when
// it is absent, malformed, in the future or over an hour ago.
func sinceSent(text string) int64 {
	sent, ok := decimal([]byte(text))
	if !ok {
		return -1
	}
	now, err := monotonic()
	if queued := int64(now) - sent; err == nil && queued >= 0 && queued < int64(time.Hour) {
		return queued
	}
	return -1
}

func (s *Service) serveStats(w http.ResponseWriter, _ *http.Request) {
	stats, err := s.Stats()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	b, err := json.Marshal(stats)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	write(w, append(b, '\n'))
}

// Stats returns the statistics since the start.
func (s *Service) Stats() (ServiceStats, error) {
	cpu, err := processCPU()
	if err != nil {
		return ServiceStats{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return ServiceStats{
		Addr: s.Addr(), Work: s.work, Calibration: s.calibration, Requests: s.serve.TotalCount(),
		Queue: quantiles(s.queue), Serve: quantiles(s.serve), CPU: cpu,
	}, nil
}

// write sends a whole body with its length, so that it is never chunked. A
// client that went away is no news.
func write(w http.ResponseWriter, b []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	_, _ = w.Write(b)
}
