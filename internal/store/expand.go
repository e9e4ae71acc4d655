package store

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/histogram"
)

// upSeries is the synthetic series up: 1 when the gather gave anything, else 0.
// Its gaps show when the agent was not running.
type upSeries struct{ series }

func (u *upSeries) write(b *batch, up bool) {
	v := 0.0
	if up {
		v = 1
	}
	b.float(&u.series, b.t, v)
}

// write appends the values of m in the order in which build made the series.
func (e *entry) write(b *batch, f *dto.MetricFamily, m *dto.Metric) {
	t, i := b.t, 0
	if m.TimestampMs != nil {
		t = m.GetTimestampMs()
	}
	next := func(v float64) {
		b.float(e.series[i], t, v)
		i++
	}
	switch f.GetType() {
	case dto.MetricType_COUNTER:
		next(m.GetCounter().GetValue())
	case dto.MetricType_GAUGE:
		next(m.GetGauge().GetValue())
	case dto.MetricType_UNTYPED:
		next(m.GetUntyped().GetValue())
	case dto.MetricType_SUMMARY:
		sm := m.GetSummary()
		for _, q := range sm.GetQuantile() {
			next(q.GetValue())
		}
		next(sm.GetSampleSum())
		next(float64(sm.GetSampleCount()))
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		h := m.GetHistogram()
		if e.native {
			b.native(e.series[0], t, h)
			i++
		}
		if len(e.bounds) > 0 {
			classic(h, next)
		}
	}
}

// classic passes on the cumulative buckets, +Inf included, the sum and the count.
func classic(h *dto.Histogram, next func(float64)) {
	for _, b := range h.GetBucket() {
		next(floatOr(b.GetCumulativeCountFloat(), b.GetCumulativeCount()))
	}
	count := floatOr(h.GetSampleCountFloat(), h.GetSampleCount())
	if !endsInf(h) {
		next(count)
	}
	next(h.GetSampleSum())
	next(count)
}

func floatOr(f float64, n uint64) float64 {
	if f > 0 {
		return f
	}
	return float64(n)
}

// bounds lists upper bounds or quantiles, the missing +Inf bucket included.
func bounds(to []float64, f *dto.MetricFamily, m *dto.Metric) []float64 {
	switch f.GetType() {
	case dto.MetricType_SUMMARY:
		for _, q := range m.GetSummary().GetQuantile() {
			to = append(to, q.GetQuantile())
		}
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			to = append(to, b.GetUpperBound())
		}
		if hasClassic(h) && !endsInf(h) {
			to = append(to, math.Inf(1))
		}
	}
	return to
}

// hasClassic: a histogram without buckets of either kind is a classic one, of
// which only +Inf is left.
func hasClassic(h *dto.Histogram) bool { return len(h.GetBucket()) > 0 || !isNative(h) }

func endsInf(h *dto.Histogram) bool {
	n := len(h.GetBucket())
	return n > 0 && math.IsInf(h.GetBucket()[n-1].GetUpperBound(), 1)
}

// isNative: the schema field is set, and there is a span or a zero bucket
// (client_model metrics.proto: an empty native histogram carries a no-op span).
func isNative(h *dto.Histogram) bool {
	return h != nil && h.Schema != nil &&
		(len(h.GetPositiveSpan()) > 0 || len(h.GetNegativeSpan()) > 0 || h.GetZeroThreshold() > 0)
}

// nativeOf converts h to an integer or, if its counts are floats, to a float
// native histogram. One of the results is nil.
func nativeOf(h *dto.Histogram) (*histogram.Histogram, *histogram.FloatHistogram) {
	if h.GetSampleCountFloat() > 0 || h.GetZeroCountFloat() > 0 {
		return nil, &histogram.FloatHistogram{
			Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: h.GetZeroCountFloat(),
			Count: h.GetSampleCountFloat(), Sum: h.GetSampleSum(),
			PositiveSpans: spans(h.GetPositiveSpan()), NegativeSpans: spans(h.GetNegativeSpan()),
			PositiveBuckets: h.GetPositiveCount(), NegativeBuckets: h.GetNegativeCount(),
		}
	}
	return &histogram.Histogram{
		Schema: h.GetSchema(), ZeroThreshold: h.GetZeroThreshold(), ZeroCount: h.GetZeroCount(),
		Count: h.GetSampleCount(), Sum: h.GetSampleSum(),
		PositiveSpans: spans(h.GetPositiveSpan()), NegativeSpans: spans(h.GetNegativeSpan()),
		PositiveBuckets: h.GetPositiveDelta(), NegativeBuckets: h.GetNegativeDelta(),
	}, nil
}

func spans(in []*dto.BucketSpan) []histogram.Span {
	out := make([]histogram.Span, 0, len(in))
	for _, s := range in {
		out = append(out, histogram.Span{Offset: s.GetOffset(), Length: s.GetLength()})
	}
	return out
}
