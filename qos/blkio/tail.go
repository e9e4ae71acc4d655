package blkio

import (
	"fmt"
	"math"
	"time"

	"github.com/anole-os/anole/qos/runq"
)

// tail watches the slowest hundredth of latency-sensitive requests: a few that
// meet a burst of best-effort IO hardly move a mean, and make a p99. The p99 of
// the quiet disk is learned; the signal is the share of requests that take
// Factor times that, which is 1 % when nothing is wrong. That share is told from
// chance with far fewer requests than a p99 itself.
type tail struct {
	cur   runq.Hist // of the Governor's window
	win   runq.Hist // of windows since the last judgement
	began time.Time // of win
	quiet runq.Hist // of the quiet disk, older ones fading
	// ready says that a window was judged, or given up, since the limit last rose;
	// without measurements it is never asked.
	ready    bool
	measured bool
	// excess is how many requests more than should be were slow, window by window
	// (a CUSUM): a little too many of them is chance in one window and not in ten.
	excess float64
}

const (
	// tailOps make a window of the tail, tailKeep is how many of the quiet disk
	// are remembered before they count for half.
	tailOps  = 200
	tailKeep = 20_000
	slowest  = 0.01
	// mostExcess is what may be chance, calmExcess what a rise may begin with.
	mostExcess = 4
	calmExcess = 1
	// tailStale is the age of a window at which it is given up.
	tailStale = 10 * time.Second
)

// fold takes a window beside best-effort IO.
func (t *tail) fold() {
	t.win.Merge(&t.cur)
	t.cur = runq.Hist{}
}

// learn takes a window on the quiet disk.
func (t *tail) learn() {
	if t.quiet.Count() > tailKeep {
		t.quiet.SumNS /= 2
		for i := range t.quiet.Counts {
			t.quiet.Counts[i] /= 2
		}
	}
	t.quiet.Merge(&t.cur)
	t.reset()
	t.excess, t.ready = 0, true
}

// add takes requests of the window.
func (t *tail) add(h *runq.Hist) {
	if t.measured = h != nil; t.measured {
		t.cur.Merge(h)
	}
}

// reset begins a new window: what is in force changed.
func (t *tail) reset() { t.cur, t.win, t.began, t.ready = runq.Hist{}, runq.Hist{}, time.Time{}, false }

// pending says that the limit should not rise yet.
func (t *tail) pending() bool { return t.measured && (!t.ready || t.excess > calmExcess) }

// learning says that requests are measured, and too few of the quiet disk's.
func (t *tail) learning() bool {
	n := t.quiet.Count()
	return n > 0 && n < tailOps
}

// judge gives how many times more requests are slow than should be, 0 while that
// is not known.
func (t *tail) judge(now time.Time, o Options) (ratio float64, why string) {
	if t.began.IsZero() || now.Before(t.began) {
		t.began = now
	}
	n := float64(t.win.Count())
	if n < tailOps {
		if now.Sub(t.began) > tailStale {
			t.win, t.began, t.ready = runq.Hist{}, now, true
		}
		return 0, ""
	}
	defer func() { t.win, t.began, t.ready = runq.Hist{}, now, true }()
	limit := o.Latency
	if limit == 0 {
		if t.quiet.Count() < tailOps {
			return 0, ""
		}
		p99 := t.quiet.Quantile(1 - slowest)
		limit = max(time.Duration(float64(p99)*o.Factor), p99+slack)
	} else {
		limit *= 4 // the objective is of the mean
	}
	slow := above(&t.win, limit)
	chance := slowest*n + 2*math.Sqrt(slowest*n)
	t.excess = max(0, t.excess+slow-slowest*n)
	if slow <= chance && t.excess <= mostExcess {
		return slow / (chance + 1e-9), ""
	}
	t.excess = 0
	return max(1.05, slow/(slowest*n)), fmt.Sprintf("%.1f %% of LS requests take more than %v", slow/n*100, round(limit))
}

// above counts the waits longer than a bound; a bucket that holds the bound is
// taken to be filled evenly.
func above(h *runq.Hist, bound time.Duration) float64 {
	var n float64
	for i, c := range h.Counts {
		low, high := runq.BucketBounds(i)
		switch {
		case c == 0 || high <= bound:
		case low >= bound || high == math.MaxInt64:
			n += float64(c)
		default:
			n += float64(c) * float64(high-bound) / float64(high-low)
		}
	}
	return n
}
