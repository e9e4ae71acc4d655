package load

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"
)

// Defaults of GenOptions.
const (
	DefaultConnections    = 64
	DefaultTimeout        = 10 * time.Second
	DefaultDrain          = 2 * time.Second
	DefaultConnectTimeout = 10 * time.Second

	// fifoPriority lies above the lane that LS threads may get (priority 1):
	// an arrival must not wait for the service that it is sent to.
	fifoPriority = 50
	maxConns     = 16 << 10
)

// GenOptions describes one open-loop run. Only URL and Rate (or Steps) are
// required.
type GenOptions struct {
	// URL of the service, http only: "http://127.0.0.1:8080/work". A bare
	// "host:port" means the path "/work".
	URL string `json:"url"`
	// Rate in requests per second until the first step.
	Rate float64 `json:"rate"`
	// Steps change the rate later on, in ascending order.
	Steps []Step `json:"steps,omitempty"`
	// Arrival is the arrival process, Poisson when empty.
	Arrival Arrival `json:"arrival,omitempty"`
	// BatchSize is the number of requests that arrive together under Batch.
	BatchSize int `json:"batch_size,omitempty"`
	// Seed makes the arrivals repeatable.
	Seed uint64 `json:"seed"`

	// Warmup comes before Duration; its arrivals are sent but not counted.
	Warmup time.Duration `json:"warmup_ns,omitempty"`
	// Duration of the counted part; zero runs until the context ends.
	Duration time.Duration `json:"duration_ns,omitempty"`
	// Count ends the counted part after this many arrivals when not zero.
	Count int64 `json:"count,omitempty"`

	// Connections bounds the requests in flight. Arrivals beyond wait in the
	// generator, and their latency includes that wait.
	Connections int `json:"connections,omitempty"`
	// ConnectTimeout bounds the wait for the service to accept at the start.
	ConnectTimeout time.Duration `json:"connect_timeout_ns,omitempty"`
	// Timeout of a request from its intended arrival.
	Timeout time.Duration `json:"timeout_ns,omitempty"`
	// Drain is how long to wait for replies after the last arrival.
	Drain time.Duration `json:"drain_ns,omitempty"`

	// SchedFIFO puts the whole process under SCHED_FIFO for the run, so give
	// the generator a process of its own. Without permission the run goes on;
	// Result.SchedulerError says why.
	SchedFIFO bool `json:"sched_fifo,omitempty"`
	// Spin busy-waits for the last part of each gap; it buys a few
	// microseconds of precision for CPU time. Zero only sleeps.
	Spin time.Duration `json:"spin_ns,omitempty"`

	// Progress receives a view of the run each 100 ms, on a goroutine of its
	// own; when it is slow, views are dropped and the load is not disturbed.
	Progress func(Progress) `json:"-"`
}

// Generate sends requests as o schedules them and returns what it measured.
// It blocks until the run and the drain are over. When ctx ends it stops at
// once and returns the result so far with a nil error: requests in flight at
// that moment are left out. Errors: options, and a service that accepts no
// connection within ConnectTimeout. Failed requests are part of the Result.
//
// All work happens on the calling goroutine with epoll and a timerfd, past
// net/http and the runtime's network poller, whose millisecond timers and
// thread switches would show in the latency.
func Generate(ctx context.Context, o GenOptions) (Result, error) {
	t, err := o.resolve()
	if err != nil {
		return Result{}, err
	}
	sched, err := NewSchedule(o)
	if err != nil {
		return Result{}, err
	}
	return generate(ctx, o, t, sched)
}

// target is where and what to send.
type target struct {
	addr *net.TCPAddr
	host string
	path string
}

// resolve fills defaults in and checks the options.
func (o *GenOptions) resolve() (target, error) {
	if o.Connections == 0 {
		o.Connections = DefaultConnections
	}
	if o.Connections < 1 || o.Connections > maxConns {
		return target{}, fmt.Errorf("generate: %d connections is not in 1..%d", o.Connections, maxConns)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		unset time.Duration
	}{
		{"warmup", &o.Warmup, 0}, {"duration", &o.Duration, 0}, {"spin", &o.Spin, 0}, {"timeout", &o.Timeout, DefaultTimeout},
		{"drain", &o.Drain, DefaultDrain}, {"connect timeout", &o.ConnectTimeout, DefaultConnectTimeout},
	} {
		if *d.value < 0 {
			return target{}, fmt.Errorf("generate: %s %v is negative", d.name, *d.value)
		}
		if *d.value == 0 {
			*d.value = d.unset
		}
	}
	return parseTarget(o.URL)
}

func parseTarget(raw string) (target, error) {
	u := &url.URL{Scheme: "http", Host: raw, Path: "/work"}
	if _, _, err := net.SplitHostPort(raw); err != nil {
		if u, err = url.Parse(raw); err != nil {
			return target{}, fmt.Errorf("parse url: %w", err)
		}
	}
	if u.Scheme != "http" || u.Host == "" {
		return target{}, fmt.Errorf("url %q is not http://host:port/path", raw)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return target{}, fmt.Errorf("resolve %s: %w", u.Host, err)
	}
	return target{addr: addr, host: u.Host, path: u.RequestURI()}, nil
}
