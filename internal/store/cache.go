package store

import (
	"math"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// job is the value of the job label of everything the store keeps.
const job = "anole"

// cache maps what the gatherer returns to series of the database, so that label
// sets are built once and not at each gather. It belongs to one session, whose
// series references it holds.
type cache struct {
	instance string
	gen      uint64 // number of the current gather
	entries  map[string]*entry
	retired  []*series // replaced within an entry, due a stale marker
	key      []byte
	up       upSeries
}

// series is one series of the database. ref is a hint: the database ignores it
// once it has dropped the series, and looks lset up instead.
type series struct {
	ref  storage.SeriesRef
	lset labels.Labels
}

// entry holds the series of one metric: one for a counter or gauge, one per
// bucket or quantile plus sum and count for histograms and summaries.
type entry struct {
	gen    uint64
	series []*series
	bounds []float64 // of buckets or quantiles, to notice when they change
	native bool
}

func newCache(instance string) *cache {
	c := &cache{instance: instance, entries: make(map[string]*entry)}
	c.up.lset = c.labels("up", nil, "", "")
	return c
}

func (c *cache) len() int { return len(c.entries) }

// entry returns the entry of m, building it on first sight and whenever the
// metric changed its shape, and marks it as seen in this gather.
func (c *cache) entry(f *dto.MetricFamily, m *dto.Metric) *entry {
	c.key = appendKey(c.key[:0], f, m)
	e, ok := c.entries[string(c.key)] // does not copy the key
	if !ok {
		e = c.build(f, m)
		c.entries[string(c.key)] = e
	} else if !e.fits(f, m) {
		fresh := c.build(f, m)
		c.retire(e, fresh)
		*e = *fresh
	}
	e.gen = c.gen
	return e
}

// appendKey writes the identity of m. 0xff occurs in no UTF-8 text.
func appendKey(key []byte, f *dto.MetricFamily, m *dto.Metric) []byte {
	key = append(key, f.GetName()...)
	key = append(key, 0xff, byte(f.GetType()))
	for _, l := range m.GetLabel() {
		key = append(key, 0xff)
		key = append(key, l.GetName()...)
		key = append(key, 0xff)
		key = append(key, l.GetValue()...)
	}
	return key
}

// retire remembers the series of old that fresh lacks.
func (c *cache) retire(old, fresh *entry) {
	keep := make(map[uint64]bool, len(fresh.series))
	for _, sr := range fresh.series {
		keep[sr.lset.Hash()] = true
	}
	for _, sr := range old.series {
		if !keep[sr.lset.Hash()] {
			c.retired = append(c.retired, sr)
		}
	}
}

// sweep drops the entries not seen in this gather and returns their series.
func (c *cache) sweep() []*series {
	gone := c.retired
	c.retired = nil
	for key, e := range c.entries {
		if e.gen != c.gen {
			gone = append(gone, e.series...)
			delete(c.entries, key)
		}
	}
	return gone
}

// build makes the label sets of all series of m.
func (c *cache) build(f *dto.MetricFamily, m *dto.Metric) *entry {
	e := &entry{bounds: bounds(nil, f, m), native: isNative(m.GetHistogram())}
	name, lset := f.GetName(), m.GetLabel()
	add := func(suffix, label, v string) {
		e.series = append(e.series, &series{lset: c.labels(name+suffix, lset, label, v)})
	}
	switch f.GetType() {
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		if e.native {
			add("", "", "")
		}
		if len(e.bounds) > 0 {
			for _, b := range e.bounds {
				add("_bucket", model.BucketLabel, formatBound(b))
			}
			add("_sum", "", "")
			add("_count", "", "")
		}
	case dto.MetricType_SUMMARY:
		for _, q := range e.bounds {
			add("", model.QuantileLabel, formatBound(q))
		}
		add("_sum", "", "")
		add("_count", "", "")
	default:
		add("", "", "")
	}
	return e
}

// labels makes a label set: name, job, instance, the metric's own labels and one
// extra. As in a scrape, own labels called job or instance get the prefix
// exported_, and an empty value is no label.
func (c *cache) labels(name string, own []*dto.LabelPair, extra, v string) labels.Labels {
	b := labels.NewBuilder(labels.EmptyLabels())
	for _, l := range own {
		n := l.GetName()
		if n == model.JobLabel || n == model.InstanceLabel {
			n = model.ExportedLabelPrefix + n
		}
		b.Set(n, l.GetValue())
	}
	b.Set(model.MetricNameLabel, name)
	b.Set(model.JobLabel, job)
	b.Set(model.InstanceLabel, c.instance)
	if extra != "" {
		b.Set(extra, v)
	}
	return b.Labels()
}

// fits reports whether m still has the series of e.
func (e *entry) fits(f *dto.MetricFamily, m *dto.Metric) bool {
	h := m.GetHistogram()
	if e.native != isNative(h) {
		return false
	}
	i := 0
	same := func(b float64) bool {
		ok := i < len(e.bounds) && e.bounds[i] == b
		i++
		return ok
	}
	switch f.GetType() {
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		for _, b := range h.GetBucket() {
			if !same(b.GetUpperBound()) {
				return false
			}
		}
		if hasClassic(h) && !endsInf(h) && !same(math.Inf(1)) {
			return false
		}
	case dto.MetricType_SUMMARY:
		for _, q := range m.GetSummary().GetQuantile() {
			if !same(q.GetQuantile()) {
				return false
			}
		}
	}
	return i == len(e.bounds)
}
