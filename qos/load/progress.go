package load

import (
	"slices"
	"time"
)

// Progress is a view of a run for a progress bar. P50 and P99 cover the
// replies of the last second, RPS likewise; counts include the warm-up.
type Progress struct {
	Elapsed time.Duration `json:"elapsed_ns"`
	Total   time.Duration `json:"total_ns"` // warm-up and duration, zero when open-ended
	Warmup  bool          `json:"warmup"`
	Rate    float64       `json:"rate"` // what the schedule asks for now
	RPS     float64       `json:"rps"`
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	Done    int64         `json:"done"`
	Errors  int64         `json:"errors"`
	Busy    int           `json:"busy"`    // requests in flight
	Waiting int           `json:"waiting"` // arrivals without a connection
}

const (
	progressEvery  = 100 * time.Millisecond
	progressWindow = int64(time.Second)
	recentSize     = 1 << 12
)

// recent is a ring of the newest latencies. Above recentSize replies per
// window it covers less time than the window.
type recent struct {
	at, latency [recentSize]int64
	added       int64
}

func (r *recent) add(now, latency int64) {
	i := r.added % recentSize
	r.at[i], r.latency[i] = now, latency
	r.added++
}

// since appends the latencies recorded at or after from, newest first, and
// returns how long a time they cover up to now.
func (r *recent) since(from, now int64, out []int64) ([]int64, int64) {
	held := min(r.added, recentSize)
	for back := range held {
		i := (r.added - 1 - back) % recentSize
		if r.at[i] < from {
			return out, now - from
		}
		out = append(out, r.latency[i])
	}
	if held == recentSize {
		from = r.at[r.added%recentSize]
	}
	return out, now - from
}

// view is a Progress on its way to the reporter, with the raw latencies: the
// sorting is left to the reporter.
type view struct {
	Progress
	latencies []int64
	span      int64
}

// reporter calls a progress function outside the loop.
type reporter struct {
	ready, free chan *view
	done        chan struct{}
}

func newReporter(f func(Progress)) *reporter {
	if f == nil {
		return nil
	}
	r := &reporter{ready: make(chan *view, 2), free: make(chan *view, 2), done: make(chan struct{})}
	for range cap(r.free) {
		r.free <- &view{latencies: make([]int64, 0, recentSize)}
	}
	go func() {
		defer close(r.done)
		for v := range r.ready {
			v.summarise()
			f(v.Progress)
			r.free <- v
		}
	}()
	return r
}

// offer fills and queues a view, or drops it when f is still busy with
// earlier ones. Never blocks.
func (r *reporter) offer(fill func(*view)) {
	if r == nil {
		return
	}
	select {
	case v := <-r.free:
		fill(v)
		r.ready <- v // has room for all views
	default:
	}
}

// stop waits for the last call of f to return.
func (r *reporter) stop() {
	if r != nil {
		close(r.ready)
		<-r.done
	}
}

func (v *view) summarise() {
	n := len(v.latencies)
	v.RPS, v.P50, v.P99 = 0, 0, 0
	if n == 0 || v.span <= 0 {
		return
	}
	slices.Sort(v.latencies)
	v.RPS = float64(n) / time.Duration(v.span).Seconds()
	v.P50 = time.Duration(v.latencies[(n-1)/2])
	v.P99 = time.Duration(v.latencies[(n*99+99)/100-1])
}
