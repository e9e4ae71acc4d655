package runq

import (
	"iter"
	"math"
	"math/bits"
	"time"

	"github.com/anole-os/anole/qos/runq/bpf"
)

// Shape of a Hist; the numbers come from the compiled program.
const (
	minLog = int(bpf.RunqShapeMIN_LOG)
	maxLog = int(bpf.RunqShapeMAX_LOG)
	subLog = int(bpf.RunqShapeSUB_LOG)
	subs   = int(bpf.RunqShapeSUBS)

	// NumBuckets is the number of buckets of a Hist.
	NumBuckets = int(bpf.RunqShapeBUCKETS)
)

// Hist is a log-linear histogram of waits. Bucket 0 holds those below 256 ns,
// the last bucket those of 2^36 ns (68.7 s) and more; between them each power
// of two is cut into four equal buckets, so a bucket is at most a quarter
// wider than its lower bound. The zero value is an empty histogram. A Hist is
// plain data: copy it freely, but do not share one that is being written.
type Hist struct {
	SumNS  uint64             // sum of all waits, ns; exact, not from the buckets
	Counts [NumBuckets]uint64 // waits per bucket
}

// BucketBounds gives the waits that bucket i holds: low <= wait < high. The
// last bucket has no upper bound and gives math.MaxInt64. It panics when i is
// not in [0, NumBuckets).
func BucketBounds(i int) (low, high time.Duration) {
	if i < 0 || i >= NumBuckets {
		panic("runq: no such bucket")
	}
	high = math.MaxInt64
	if i < NumBuckets-1 {
		high = lowerBound(i + 1)
	}
	return lowerBound(i), high
}

func lowerBound(i int) time.Duration {
	if i == 0 {
		return 0
	}
	octave, sub := (i-1)/subs, (i-1)%subs
	return time.Duration(subs+sub) << (minLog + octave - subLog)
}

// bucketOf is bucket_of of runq.bpf.c.
func bucketOf(ns uint64) int {
	log := bits.Len64(ns) - 1
	switch {
	case log < minLog:
		return 0
	case log >= maxLog:
		return NumBuckets - 1
	}
	return (log-minLog)*subs + int(ns>>(log-subLog))&(subs-1) + 1
}

// Add records one wait, as the kernel side does. Negative waits count as 0.
func (h *Hist) Add(wait time.Duration) {
	ns := uint64(max(wait, 0))
	h.SumNS += ns
	h.Counts[bucketOf(ns)]++
}

// Merge adds the waits of o, for example to join classes.
func (h *Hist) Merge(o *Hist) {
	h.SumNS += o.SumNS
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
}

// Count gives the number of waits.
func (h *Hist) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Mean gives the mean wait, 0 when there was none.
func (h *Hist) Mean() time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return time.Duration(h.SumNS / n)
}

// Quantile gives the wait that a share q of all waits does not exceed, by
// linear interpolation within its bucket: the error is below the bucket's
// width, a quarter of the value. q is clamped to [0, 1], NaN counts as 0. In
// the last bucket, which has no end, it gives that bucket's lower bound; of an
// empty histogram 0.
func (h *Hist) Quantile(q float64) time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	if !(q > 0) {
		q = 0
	}
	rank := min(q, 1) * float64(n)
	var below float64
	last := 0
	for i, c := range h.Counts {
		if c == 0 {
			continue
		}
		last = i
		if below+float64(c) >= rank {
			return interpolate(i, (rank-below)/float64(c))
		}
		below += float64(c)
	}
	return interpolate(last, 1) // rounding of very large counts only
}

func interpolate(bucket int, share float64) time.Duration {
	low, high := BucketBounds(bucket)
	if bucket == NumBuckets-1 {
		return low
	}
	return low + time.Duration(share*float64(high-low))
}

// Below gives the number of waits in buckets that end at or before bound:
// exact when bound is the bound of a bucket, as are all powers of two from
// 256 ns to 2^36 ns. With a few such bounds an exporter makes a coarser
// cumulative histogram.
func (h *Hist) Below(bound time.Duration) uint64 {
	var n uint64
	for i, c := range h.Counts {
		if _, high := BucketBounds(i); high > bound {
			break
		}
		n += c
	}
	return n
}

// Buckets yields every bucket's upper bound with the number of waits below it,
// cumulative as in a Prometheus histogram. The last pair is math.MaxInt64,
// which stands for +Inf, and Count.
func (h *Hist) Buckets() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		var n uint64
		for i, c := range h.Counts {
			n += c
			if _, high := BucketBounds(i); !yield(high, n) {
				return
			}
		}
	}
}
