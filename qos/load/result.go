package load

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Quantiles summarise a latency distribution; three significant digits.
type Quantiles struct {
	Count int64         `json:"count"`
	Mean  time.Duration `json:"mean_ns"`
	P50   time.Duration `json:"p50_ns"`
	P90   time.Duration `json:"p90_ns"`
	P99   time.Duration `json:"p99_ns"`
	P999  time.Duration `json:"p99_9_ns"`
	Max   time.Duration `json:"max_ns"`
}

// Kinds of Result.Errors.
const (
	ErrClosed     = "closed"     // connection failed or closed before the response was whole
	ErrProtocol   = "protocol"   // the response was not valid HTTP/1.x
	ErrStatus     = "status"     // status other than 2xx
	ErrTimeout    = "timeout"    // sent, no response within Timeout
	ErrUnfinished = "unfinished" // sent, no response at the end of the drain
	ErrMissed     = "missed"     // never sent: no connection was free in time
)

// Result is what one Generate run measured. Of the counted part,
// Requests = OK + the sum of Errors.
type Result struct {
	URL     string  `json:"url"`
	Arrival Arrival `json:"arrival"`
	Rate    float64 `json:"rate"`
	Seed    uint64  `json:"seed"`

	// Start is the wall clock at the start of the run, StartMono the same
	// instant of CLOCK_MONOTONIC: a step happened at StartMono + Step.At,
	// comparable with the clocks of all processes of the node.
	Start     time.Time     `json:"start"`
	StartMono time.Duration `json:"start_mono_ns"`
	// Measured is the length of the counted part.
	Measured time.Duration `json:"measured_ns"`
	// Interrupted says that the context ended the run early.
	Interrupted bool `json:"interrupted,omitempty"`

	Requests   int64            `json:"requests"`
	OK         int64            `json:"ok"`
	Errors     map[string]int64 `json:"errors,omitempty"`
	Throughput float64          `json:"throughput"` // OK per second
	// Missed are the arrivals that were never sent; also in Errors.
	Missed int64 `json:"missed"`
	// Waited are the arrivals that found every connection busy.
	Waited int64 `json:"waited"`
	// ConnErrors are failures of connections that carried no request.
	ConnErrors int64 `json:"conn_errors"`

	// Latency runs from the intended arrival to the last byte of the
	// response. Timed out, unfinished and missed requests count with their
	// age, a lower bound; other errors are left out.
	Latency Quantiles `json:"latency"`
	// Histogram of Latency in nanoseconds: HdrHistogram V2 compressed, base64.
	Histogram string `json:"histogram"`
	// Segments split Latency by step; only when the run had steps.
	Segments []Segment `json:"segments,omitempty"`

	// Lateness is how far behind the schedule the generator itself took an
	// arrival up, whatever the service did: a round with a large P99 says
	// nothing about the service.
	Lateness Quantiles `json:"lateness"`
	// CPU of the generator's process over the run, drain included.
	CPU time.Duration `json:"cpu_ns"`
	// CPUPercent is CPU as part of one CPU.
	CPUPercent float64 `json:"cpu_percent"`
	// Scheduler is the policy the process ran under: "fifo" or "other".
	Scheduler      string `json:"scheduler"`
	SchedulerError string `json:"scheduler_error,omitempty"`
}

// Segment is the part of a run between two steps, by intended arrival.
type Segment struct {
	At      time.Duration `json:"at_ns"`
	Rate    float64       `json:"rate"`
	Latency Quantiles     `json:"latency"`
}

// Failed is the sum of Errors.
func (r Result) Failed() int64 {
	n := int64(0)
	for _, v := range r.Errors {
		n += v
	}
	return n
}

// Decode returns the histogram of Latency in nanoseconds.
func (r Result) Decode() (*hdrhistogram.Histogram, error) {
	h, err := hdrhistogram.Decode([]byte(r.Histogram))
	if err != nil {
		return nil, fmt.Errorf("decode histogram: %w", err)
	}
	return h, nil
}

// Pool merges the latency histograms of several runs, so that a tail is read
// from all their requests and not averaged.
func Pool(results ...Result) (Quantiles, error) {
	all := newHistogram()
	for i, r := range results {
		h, err := r.Decode()
		if err != nil {
			return Quantiles{}, fmt.Errorf("pool run %d: %w", i, err)
		}
		all.Merge(h)
	}
	return quantiles(all), nil
}

// histogramMax is the longest latency told apart, histogramMin the shortest.
const (
	histogramMin = int64(time.Microsecond)
	histogramMax = int64(10 * time.Minute)
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(histogramMin, histogramMax, 3) }

// record never fails: the value is clamped into the range first.
func record(h *hdrhistogram.Histogram, ns int64) {
	_ = h.RecordValue(min(max(ns, 0), histogramMax))
}

func quantiles(h *hdrhistogram.Histogram) Quantiles {
	if h.TotalCount() == 0 {
		return Quantiles{}
	}
	at := func(p float64) time.Duration { return time.Duration(h.ValueAtPercentile(p)) }
	return Quantiles{
		Count: h.TotalCount(), Mean: time.Duration(h.Mean()),
		P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: time.Duration(h.Max()),
	}
}

// recorder collects while a run goes on. It belongs to the loop.
type recorder struct {
	latency  *hdrhistogram.Histogram
	lateness *hdrhistogram.Histogram
	segments []*hdrhistogram.Histogram // nil without steps
	recent   recent

	requests, ok, waited, connErrors int64
	errors                           map[string]int64

	totalDone, totalErrors int64 // warm-up included, for Progress
}

func newRecorder(steps int) *recorder {
	r := &recorder{latency: newHistogram(), lateness: newHistogram(), errors: make(map[string]int64)}
	if steps > 0 {
		for range steps + 1 {
			r.segments = append(r.segments, newHistogram())
		}
	}
	return r
}

func (r *recorder) took(p pending, latency int64) {
	if !p.counted {
		return
	}
	record(r.latency, latency)
	if r.segments != nil {
		record(r.segments[p.segment], latency)
	}
}

// done records a complete response.
func (r *recorder) done(p pending, now int64) {
	r.totalDone++
	r.recent.add(now, now-p.at)
	if p.counted {
		r.ok++
	}
	r.took(p, now-p.at)
}

// failed records a request that got no good response.
func (r *recorder) failed(p pending, now int64, kind string) {
	r.totalErrors++
	if kind == ErrTimeout || kind == ErrUnfinished || kind == ErrMissed {
		r.recent.add(now, now-p.at)
		r.took(p, now-p.at)
	}
	if p.counted {
		r.errors[kind]++
	}
}

func (r *recorder) result(o GenOptions, measured time.Duration) (Result, error) {
	encoded, err := r.latency.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return Result{}, fmt.Errorf("encode histogram: %w", err)
	}
	res := Result{
		URL: o.URL, Arrival: o.Arrival, Rate: o.Rate, Seed: o.Seed, Measured: measured,
		Requests: r.requests, OK: r.ok, Errors: r.errors, Missed: r.errors[ErrMissed],
		Waited: r.waited, ConnErrors: r.connErrors,
		Latency: quantiles(r.latency), Histogram: string(encoded), Lateness: quantiles(r.lateness),
	}
	if res.Arrival == "" {
		res.Arrival = Poisson
	}
	if measured > 0 {
		res.Throughput = float64(r.ok) / measured.Seconds()
	}
	for i, h := range r.segments {
		seg := Segment{Rate: o.Rate, Latency: quantiles(h)}
		if i > 0 {
			seg.At, seg.Rate = o.Steps[i-1].At, o.Steps[i-1].Rate
		}
		res.Segments = append(res.Segments, seg)
	}
	return res, nil
}
