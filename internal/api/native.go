package api

import (
	"sort"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/anole-os/anole/core"
)

// rich is a classic histogram with native buckets or exemplars. The library makes
// constant ones of either kind, but none of both.
type rich struct {
	prometheus.Metric
	h *core.Hist
}

// Write implements prometheus.Metric.
func (r *rich) Write(out *dto.Metric) error {
	if err := r.Metric.Write(out); err != nil {
		return err
	}
	h := out.Histogram
	if n := r.h.Native; n != nil {
		h.Schema, h.ZeroThreshold, h.ZeroCount = proto.Int32(n.Schema), proto.Float64(n.Zero), proto.Uint64(n.ZeroCount)
		h.PositiveSpan, h.PositiveDelta = spans(n.First, n.Counts)
		if len(h.PositiveSpan) == 0 { // which tells a native histogram of nothing from a classic one
			h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}}
		}
	}
	for i := range r.h.Exemplars {
		e := exemplar(&r.h.Exemplars[i])
		if e == nil {
			continue
		}
		if r.h.Native != nil {
			h.Exemplars = append(h.Exemplars, e)
		}
		at := sort.Search(len(h.Bucket), func(i int) bool { return h.Bucket[i].GetUpperBound() >= e.GetValue() })
		if at < len(h.Bucket) {
			h.Bucket[at].Exemplar = e
		}
	}
	return nil
}

// spans encodes counts as runs of buckets that have any, each count as the difference
// to the one before (Prometheus client data model, io.prometheus.client.Histogram).
func spans(first int32, counts []uint64) (out []*dto.BucketSpan, deltas []int64) {
	var last int64
	next := int32(0) // the bucket after the last span
	for i, c := range counts {
		if c == 0 {
			continue
		}
		at := first + int32(i)
		if len(out) == 0 || at != next {
			out = append(out, &dto.BucketSpan{Offset: proto.Int32(at - next), Length: proto.Uint32(0)})
		}
		s := out[len(out)-1]
		s.Length = proto.Uint32(s.GetLength() + 1)
		deltas = append(deltas, int64(c)-last)
		last, next = int64(c), at+1
	}
	return out, deltas
}

// exemplar gives nil for one whose labels are longer than OpenMetrics allows.
func exemplar(x *core.Exemplar) *dto.Exemplar {
	e := &dto.Exemplar{Value: proto.Float64(x.Value), Timestamp: timestamppb.New(x.Time)}
	runes := 0
	for k, v := range x.Labels {
		if !utf8.ValidString(v) {
			return nil
		}
		runes += utf8.RuneCountInString(k) + utf8.RuneCountInString(v)
		e.Label = append(e.Label, &dto.LabelPair{Name: proto.String(k), Value: proto.String(v)})
	}
	if runes > prometheus.ExemplarMaxRunes {
		return nil
	}
	sort.Slice(e.Label, func(i, j int) bool { return e.Label[i].GetName() < e.Label[j].GetName() })
	return e
}
