package tcprt

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// Each duration lies in the bucket whose bounds are around it.
func TestBuckets(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		d := time.Duration(math.Exp2(r.Float64() * 40))
		i := Bucket(d)
		s := d.Seconds()
		const grain = 2e-9 // what whole ns and whole 2⁻³⁰ s make of it
		if up := UpperBound(i); s > up*(1+1e-8)+grain {
			t.Fatalf("%v is over %v, the end of bucket %d", d, up, i)
		}
		if i > 0 && s < UpperBound(i-1)*(1-1e-8)-grain {
			t.Fatalf("%v is under %v, the beginning of bucket %d", d, UpperBound(i-1), i)
		}
	}
	for d, want := range map[time.Duration]int{-1: 0, 0: 0, 900: 0, 954: 1, time.Second: NativeOffset + 1, 129 * time.Second: Buckets - 1, math.MaxInt64: Buckets - 1} {
		if got := Bucket(d); got != want {
			t.Errorf("%v is in bucket %d, want %d", d, got, want)
		}
	}
}

func TestQuantile(t *testing.T) {
	var h Histogram
	if h.Quantile(0.5) != 0 || h.Mean() != 0 {
		t.Error("of nothing there is something")
	}
	for i := range 10_000 {
		h.Add(time.Duration(i+1) * time.Microsecond)
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 0.999} {
		want := q * 10_000
		if got := float64(h.Quantile(q).Microseconds()); math.Abs(got-want) > 0.19*want {
			t.Errorf("quantile %v is %v µs, want %v", q, got, want)
		}
	}
	if got := h.Mean(); got != 5000500*time.Nanosecond {
		t.Error(got)
	}
	before := h
	h.Add(time.Second)
	h.Sub(&before)
	if h.Count() != 1 || h.Sum != time.Second || h.Counts[Bucket(time.Second)] != 1 {
		t.Errorf("%+v", h)
	}
	h.Merge(&before)
	if h.Count() != 10_001 {
		t.Error(h.Count())
	}
}

// What is counted of requests is all there is to be found in them.
func TestTotals(t *testing.T) {
	var a, b Totals
	whole := Record{Role: Server, T0: 1000, T1: 3000, Read: 4000, T2: 9000, Last: 10_000, T3: 20_000, RequestBytes: 5, AnswerBytes: 7, RTT: 50, Busy: 4, WindowLimited: 2, BufferLimited: 1}
	a.Add(&whole)
	a.Add(&Record{T0: 1, Flags: AbortedRequest | Piggyback, RequestBytes: 1, Retransmits: 3, OutOfOrder: 2, ZeroWindows: 1})
	b.Add(&Record{T0: 1, T1: 2, T2: 3, Flags: AbortedAnswer | Overlap})
	b.Add(&Record{T0: 1, T1: 2, Flags: OneWay | Closed})
	if b.Complete() != 0 || b.Failed() != 1 || b.OneWay != 1 {
		t.Errorf("%+v", b)
	}
	before := a
	a.Merge(&b)
	if a.Requests != 4 || a.OneWay != 1 || a.Complete() != 1 || a.Failed() != 2 || a.AbortedRequests != 1 || a.AbortedAnswers != 1 || a.Overlaps != 1 || a.Piggybacks != 1 || a.RequestBytes != 6 || a.AnswerBytes != 7 ||
		a.Retransmits != 3 || a.OutOfOrder != 2 || a.ZeroWindows != 1 || a.Busy != 4 || a.RTT.Count() != 1 {
		t.Errorf("%+v", a)
	}
	for p, want := range []time.Duration{2000, 1000, 5000, 1000, 10_000, 19_000} {
		if got := a.Phases[p]; got.Count() != 1 || got.Sum != want {
			t.Errorf("%v: %d of %v, want one of %v", Phase(p), got.Count(), got.Sum, want)
		}
	}
	a.Sub(&before)
	if a != b {
		t.Errorf("%+v\n%+v", a, b)
	}
}
