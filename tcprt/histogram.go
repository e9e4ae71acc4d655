package tcprt

import (
	"math"
	"math/bits"
	"time"
)

// Buckets is how many a Histogram has. Bucket 0 has what is under 2⁻²⁰ s (0.95 µs),
// the last what is 2⁷ s (128 s) and more; between them are four to the octave, as
// Prometheus's native histograms of schema 2 have them.
const Buckets = 110

// NativeSchema is the schema of Prometheus's native histograms that has these
// buckets, and NativeOffset what to take from a bucket's number to get the one there.
const (
	NativeSchema = 2
	NativeOffset = 80
)

// Histogram counts durations.
type Histogram struct {
	Counts [Buckets]uint64
	Sum    time.Duration
}

// The quarters of an octave: 2^(1/4), 2^(1/2), 2^(3/4), in 2⁻³¹.
var quarters = [3]uint64{0x9837f052, 0xb504f334, 0xd744fccb}

// Bucket gives the number of a duration's bucket. The kernel's side does the same.
func Bucket(d time.Duration) int {
	if d < 0 {
		return 0
	}
	ns := uint64(d)
	if ns >= 1<<37 {
		return Buckets - 1
	}
	x := ns + ns*79179681>>30 // in 2⁻³⁰ s
	octave := bits.Len64(x) - 1
	if x < 1<<10 {
		return 0
	}
	if octave >= 37 {
		return Buckets - 1
	}
	m := x << (63 - octave) >> 32 // 1 to 2, in 2⁻³¹
	i := 1 + 4*(octave-10)
	for _, q := range quarters {
		if m >= q {
			i++
		}
	}
	return i
}

// UpperBound gives the end of a bucket; of the last one, +Inf.
func UpperBound(bucket int) float64 {
	if bucket >= Buckets-1 {
		return math.Inf(1)
	}
	return math.Exp2(float64(bucket-NativeOffset) / 4)
}

// Add counts one.
func (h *Histogram) Add(d time.Duration) {
	h.Counts[Bucket(d)]++
	h.Sum += max(0, d)
}

// Merge adds all of another.
func (h *Histogram) Merge(o *Histogram) {
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
	h.Sum += o.Sum
}

// Sub takes an earlier state of the same histogram away.
func (h *Histogram) Sub(before *Histogram) {
	for i, n := range before.Counts {
		h.Counts[i] -= n
	}
	h.Sum -= before.Sum
}

// Count gives how many there are.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Mean is 0 of none.
func (h *Histogram) Mean() time.Duration {
	if n := h.Count(); n > 0 {
		return h.Sum / time.Duration(n)
	}
	return 0
}

// Quantile gives the duration that a share q, from 0 to 1, is not over: within a
// bucket, which is 19 % wide, as if they lay evenly on a scale of logarithms. It is
// 0 of none.
func (h *Histogram) Quantile(q float64) time.Duration {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := min(max(q, 0), 1) * float64(n)
	var below float64
	for i, c := range h.Counts {
		if c == 0 || below+float64(c) < rank {
			below += float64(c)
			continue
		}
		at := (rank - below) / float64(c)
		switch i {
		case 0:
			return time.Duration(at * UpperBound(0) * 1e9)
		case Buckets - 1:
			return time.Duration(UpperBound(Buckets-2) * 1e9)
		}
		return time.Duration(math.Exp2((float64(i-1-NativeOffset)+at)/4) * 1e9)
	}
	return 0
}
