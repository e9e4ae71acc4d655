package store

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the store's own, registered with Options.Registerer. None of them
// takes a lock that the loop holds while it gathers them.
type metrics struct {
	reg   prometheus.Registerer
	all   []prometheus.Collector
	bytes atomic.Int64

	appended prometheus.Counter
	skipped  *prometheus.CounterVec
	gathers  *prometheus.CounterVec
	failures prometheus.Counter
	aside    prometheus.Counter
	queries  *prometheus.CounterVec
	seconds  prometheus.Histogram
}

// Reasons for which a sample is not kept.
const (
	skipOld       = "too_old"
	skipDuplicate = "duplicate"
	skipInvalid   = "invalid"
	skipClock     = "clock"
)

func newMetrics(s *Store, reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		reg:      reg,
		appended: counter("samples_appended_total", "Samples appended to the metrics history."),
		skipped:  counters("samples_skipped_total", "Samples not kept, by reason.", "reason"),
		gathers:  counters("gathers_total", "Gathers of the agent's metrics, by result.", "result"),
		failures: counter("failures_total", "Failed attempts to open, write or compact the metrics history."),
		aside:    counter("moved_aside_total", "Histories moved aside as corrupted or dated in the future."),
		queries:  counters("queries_total", "API requests answered from the metrics history, by HTTP status code.", "code"),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "anole_store_append_duration_seconds", Help: "Time to gather and append all metrics once.",
			Buckets: []float64{.001, .005, .01, .05, .1, .5, 1, 5},
		}),
	}
	for _, reason := range []string{skipOld, skipDuplicate, skipInvalid, skipClock} {
		m.skipped.WithLabelValues(reason)
	}
	m.all = []prometheus.Collector{
		m.appended, m.skipped, m.gathers, m.failures, m.aside, m.queries, m.seconds,
		gauge("ready", "1 while samples are being kept, else 0.", func() float64 {
			if s.Health().State == Ready {
				return 1
			}
			return 0
		}),
		gauge("series", "Series in the part of the history that is held in memory.", func() float64 {
			if ses := s.session(); ses != nil {
				return float64(ses.db.Head().NumSeries())
			}
			return 0
		}),
		gauge("size_bytes", "Size of the metrics history on disk, as of the last housekeeping.", func() float64 {
			return float64(m.bytes.Load())
		}),
	}
	return m, m.register()
}

func (m *metrics) register() error {
	if m.reg == nil {
		return nil
	}
	for i, c := range m.all {
		if err := m.reg.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return err
		}
	}
	return nil
}

// unregister leaves the registry to a later Store of the same agent.
func (m *metrics) unregister() {
	if m.reg == nil {
		return
	}
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

func counter(name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Name: "anole_store_" + name, Help: help})
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "anole_store_" + name, Help: help}, labels)
}

func gauge(name, help string, f func() float64) prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "anole_store_" + name, Help: help}, f)
}
