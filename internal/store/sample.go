package store

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
)

// sample gathers once and appends everything under one timestamp. An error
// means that the database did not take it.
func (s *Store) sample(ses *session) error {
	start := time.Now()
	t := s.opt.Now().UnixMilli()
	if head := ses.db.Head(); head.NumSeries() > 0 || len(ses.db.Blocks()) > 0 {
		switch v, why := s.clock.judge(t, newest(ses)); v {
		case skip:
			s.met.skipped.WithLabelValues(skipClock).Add(float64(max(s.cache.len(), 1)))
			s.enter(Waiting, why)
			return nil
		case restart:
			return fmt.Errorf("%w: %s", errCorrupt, why)
		}
	}
	families, err := s.gather()
	if s.ctx.Err() != nil {
		return nil
	}
	s.publish(families)
	if err := s.append(ses, t, families, err == nil || len(families) > 0); err != nil {
		return err
	}
	s.met.seconds.Observe(time.Since(start).Seconds())
	s.enter(Ready, "")
	return nil
}

// newest is the time of the newest sample, in ms.
func newest(ses *session) int64 {
	t := int64(math.MinInt64)
	if head := ses.db.Head(); head.NumSeries() > 0 {
		t = head.MaxTime()
	}
	for _, b := range ses.db.Blocks() {
		t = max(t, b.MaxTime()-1) // a block's range is half open
	}
	return t
}

// gather calls the gatherer. A partial result is used; its error is logged when
// the text changes, because a broken collector fails each time.
func (s *Store) gather() (families []*dto.MetricFamily, err error) {
	defer func() {
		result, text := "ok", ""
		if err != nil {
			result, text = "error", err.Error()
		}
		s.met.gathers.WithLabelValues(result).Inc()
		if text != s.gatherErr && text != "" {
			s.log.Warn("metrics gathered in part", "error", text)
		}
		s.gatherErr = text
	}()
	defer recovered("gather metrics", &err)
	return s.opt.Gatherer.Gather()
}

// append writes one sample per series plus stale markers for the series that
// were there last time and are not any more.
func (s *Store) append(ses *session, t int64, families []*dto.MetricFamily, up bool) (err error) {
	defer recovered("append samples", &err)
	b := batch{app: ses.db.Appender(context.Background()), t: t, met: s.met}
	s.cache.gen++
	s.cache.up.write(&b, up)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			s.cache.entry(f, m).write(&b, f, m)
		}
	}
	for _, sr := range s.cache.sweep() {
		b.float(sr, t, staleNaN)
	}
	if err := b.app.Commit(); err != nil {
		return fmt.Errorf("append samples: %w", err)
	}
	s.met.appended.Add(float64(b.n))
	return nil
}

var staleNaN = math.Float64frombits(value.StaleNaN)

// batch is one append transaction.
type batch struct {
	app storage.Appender
	t   int64 // ms
	n   int   // samples taken
	met *metrics
}

// float appends v to the series and remembers its reference.
func (b *batch) float(sr *series, t int64, v float64) {
	ref, err := b.app.Append(sr.ref, sr.lset, t, v)
	b.account(sr, ref, err)
}

// native appends a native histogram.
func (b *batch) native(sr *series, t int64, h *dto.Histogram) {
	i, f := nativeOf(h)
	ref, err := b.app.AppendHistogram(sr.ref, sr.lset, t, i, f)
	b.account(sr, ref, err)
}

// account files the outcome of one append. A refused sample is counted and
// otherwise ignored: the next one may well be taken.
func (b *batch) account(sr *series, ref storage.SeriesRef, err error) {
	if err == nil {
		sr.ref = ref
		b.n++
		return
	}
	reason := skipInvalid
	switch {
	case errors.Is(err, storage.ErrOutOfOrderSample), errors.Is(err, storage.ErrOutOfBounds), errors.Is(err, storage.ErrTooOldSample):
		reason = skipOld
	case errors.Is(err, storage.ErrDuplicateSampleForTimestamp):
		reason = skipDuplicate
	}
	b.met.skipped.WithLabelValues(reason).Inc()
}

// formatBound writes a bucket bound or quantile as Prometheus 3 stores it after
// a scrape: whole numbers with ".0", so that le="1.0" joins across sources.
func formatBound(f float64) string {
	s := strconv.FormatFloat(f, 'g', -1, 64)
	for _, c := range s {
		if c == '.' || c == 'e' || c == 'I' || c == 'N' {
			return s
		}
	}
	return s + ".0"
}
