package runq

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestBucketBoundsTile(t *testing.T) {
	var end time.Duration
	for i := range NumBuckets {
		low, high := BucketBounds(i)
		if low != end || high <= low {
			t.Fatalf("bucket %d is [%d, %d), the one before ends at %d", i, low, high, end)
		}
		if i > 0 && i < NumBuckets-1 && high-low > low/4 {
			t.Errorf("bucket %d [%d, %d) is wider than a quarter of its bound", i, low, high)
		}
		if got := bucketOf(uint64(low)); got != i {
			t.Errorf("lower bound %d of bucket %d falls into %d", low, i, got)
		}
		if got := bucketOf(uint64(high) - 1); got != i {
			t.Errorf("last value of bucket %d falls into %d", i, got)
		}
		end = high
	}
	if end != math.MaxInt64 {
		t.Fatalf("last bucket ends at %d", end)
	}
	if low, _ := BucketBounds(NumBuckets - 1); low != 1<<36 {
		t.Fatalf("overflow begins at %v", low)
	}
}

func TestBucketBoundsPanicsOutside(t *testing.T) {
	for _, i := range []int{-1, NumBuckets} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("BucketBounds(%d) did not panic", i)
				}
			}()
			BucketBounds(i)
		}()
	}
}

func FuzzBucketHoldsValue(f *testing.F) {
	for _, v := range []uint64{0, 1, 255, 256, 319, 320, 1<<36 - 1, 1 << 36, math.MaxInt64 - 1} {
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v uint64) {
		v %= math.MaxInt64
		low, high := BucketBounds(bucketOf(v))
		if d := time.Duration(v); d < low || d >= high {
			t.Fatalf("%d is not in [%d, %d)", v, low, high)
		}
	})
}

func TestEmptyHist(t *testing.T) {
	var h Hist
	if h.Count() != 0 || h.Mean() != 0 || h.Quantile(0.99) != 0 || h.Below(math.MaxInt64) != 0 {
		t.Fatalf("empty histogram is not all zero: %v", h.Quantile(0.99))
	}
	for bound, n := range h.Buckets() {
		if n != 0 {
			t.Fatalf("%d waits below %v", n, bound)
		}
	}
}

func TestOverflowBucket(t *testing.T) {
	var h Hist
	h.Add(100 * time.Second)
	h.Add(time.Millisecond)
	if got := h.Quantile(1); got != 1<<36 {
		t.Errorf("quantile in the overflow bucket is %v, want its lower bound", got)
	}
	if got := h.Below(1 << 36); got != 1 {
		t.Errorf("%d waits below the overflow bucket, want 1", got)
	}
	if got, want := h.Mean(), (100*time.Second+time.Millisecond)/2; got != want {
		t.Errorf("mean %v, want %v: the sum must not be clipped", got, want)
	}
}

func TestQuantileOddArguments(t *testing.T) {
	var h Hist
	for range 8 {
		h.Add(time.Millisecond)
	}
	low, high := BucketBounds(bucketOf(uint64(time.Millisecond)))
	for _, q := range []float64{math.NaN(), math.Inf(-1), -1, 0} {
		if got := h.Quantile(q); got != low {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, low)
		}
	}
	for _, q := range []float64{1, 2, math.Inf(1)} {
		if got := h.Quantile(q); got != high {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, high)
		}
	}
	if h.Add(-1); h.Counts[0] != 1 {
		t.Error("a negative wait is not counted as 0")
	}
}

// Against the exact quantile of the raw values: same bucket, and monotone.
func TestQuantileProperty(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var h Hist
		waits := make([]uint64, 1+rng.IntN(300))
		for i := range waits {
			waits[i] = rng.Uint64N(1 << (1 + rng.IntN(38)))
			h.Add(time.Duration(waits[i]))
		}
		slices.Sort(waits)
		last := time.Duration(0)
		for q := 0.01; q < 1; q += 0.0173 {
			got := h.Quantile(q)
			if got < last {
				t.Fatalf("Quantile(%v) = %v falls below %v", q, got, last)
			}
			last = got
			exact := waits[int(math.Ceil(q*float64(len(waits))))-1]
			low, high := BucketBounds(bucketOf(exact))
			if got < low || got > high {
				t.Fatalf("Quantile(%v) = %v, exact %v lies in [%v, %v)", q, got, exact, low, high)
			}
		}
	}
}

func TestBucketsAgreeWithBelow(t *testing.T) {
	var h Hist
	rng := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		h.Add(time.Duration(rng.Uint64N(1 << (1 + rng.IntN(38)))))
	}
	var pairs int
	var last uint64
	for bound, n := range h.Buckets() {
		if n != h.Below(bound) || n < last {
			t.Fatalf("%d waits below %v, Below says %d, the bucket before %d", n, bound, h.Below(bound), last)
		}
		last = n
		pairs++
	}
	if pairs != NumBuckets || last != h.Count() || last != 1000 {
		t.Fatalf("%d pairs, last %d, count %d", pairs, last, h.Count())
	}
	for range h.Buckets() {
		break // must not panic
	}
}

func TestDeltaUndoesMerge(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	fill := func(s *Snapshot) {
		for c := range s.Class {
			for range rng.IntN(50) {
				s.Class[c].Wait.Add(time.Duration(rng.Uint64N(1 << 38)))
			}
			s.Class[c].Switches += rng.Uint64N(9)
			s.Class[c].Preempted += rng.Uint64N(9)
		}
	}
	for range 50 {
		var before, more Snapshot
		fill(&before)
		fill(&more)
		after := before
		after.Time = time.Unix(7, 0)
		for c := range after.Class {
			after.Class[c].Wait.Merge(&more.Class[c].Wait)
			after.Class[c].Switches += more.Class[c].Switches
			after.Class[c].Preempted += more.Class[c].Preempted
		}
		got := after.Delta(&before)
		if got.Time != after.Time || got.Class != more.Class {
			t.Fatal("(before + more).Delta(before) is not more")
		}
	}
}

func TestDeltaAfterReset(t *testing.T) {
	var before, after Snapshot
	before.Class[1].Wait.Add(time.Second)
	before.Class[1].Switches = 10
	after.Class[1].Switches = 3
	if d := after.Delta(&before); d.Class[1].Switches != 3 || d.Class[1].Wait.Count() != 0 {
		t.Fatalf("after a reset: switches %d, waits %d", d.Class[1].Switches, d.Class[1].Wait.Count())
	}
}
