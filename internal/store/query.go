package store

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
)

// maxPoints is Prometheus' limit on the resolution of a range query.
const maxPoints = 11000

// query answers /query: the value of an expression at one time.
func (s *Store) query(ctx context.Context, q storage.Queryable, r *http.Request) (*answer, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, err
	}
	at, err := timeParam(r, "time", s.opt.Now())
	if err != nil {
		return nil, err
	}
	opts, err := queryOpts(r)
	if err != nil {
		return nil, err
	}
	text := r.FormValue("query")
	qry, err := s.engine.NewInstantQuery(ctx, q, opts, text, at)
	if err != nil {
		return nil, badParam("query", err)
	}
	return execute(ctx, qry, text, limit)
}

// queryRange answers /query_range: an expression evaluated at each step.
func (s *Store) queryRange(ctx context.Context, q storage.Queryable, r *http.Request) (*answer, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, err
	}
	start, end, step, err := rangeParam(r)
	if err != nil {
		return nil, err
	}
	opts, err := queryOpts(r)
	if err != nil {
		return nil, err
	}
	text := r.FormValue("query")
	qry, err := s.engine.NewRangeQuery(ctx, q, opts, text, start, end, step)
	if err != nil {
		return nil, badParam("query", err)
	}
	return execute(ctx, qry, text, limit)
}

// rangeParam reads start, end and step and refuses more than maxPoints steps.
func rangeParam(r *http.Request) (start, end time.Time, step time.Duration, err error) {
	if start, err = parseTime(r.FormValue("start")); err != nil {
		return start, end, 0, badParam("start", err)
	}
	if end, err = parseTime(r.FormValue("end")); err != nil {
		return start, end, 0, badParam("end", err)
	}
	if end.Before(start) {
		return start, end, 0, badParam("end", errors.New("end timestamp must not be before start time"))
	}
	if step, err = parseDuration(r.FormValue("step")); err != nil {
		return start, end, 0, badParam("step", err)
	}
	// The engine counts in ms; below one it would not get anywhere.
	if step < time.Millisecond {
		return start, end, 0, badParam("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if (end.UnixMilli()-start.UnixMilli())/step.Milliseconds() > maxPoints {
		return start, end, 0, &apiError{kind: "bad_data", code: http.StatusBadRequest, err: errors.New(
			"exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)")}
	}
	return start, end, step, nil
}

func queryOpts(r *http.Request) (promql.QueryOpts, error) {
	var back time.Duration
	if v := r.FormValue("lookback_delta"); v != "" {
		var err error
		if back, err = parseDuration(v); err != nil {
			return nil, badParam("lookback_delta", err)
		}
	}
	return promql.NewPrometheusQueryOpts(false, back, nil), nil
}

// execute runs qry. The engine reuses the result's memory, so the query is
// closed after the answer is written.
func execute(ctx context.Context, qry promql.Query, text string, limit int) (a *answer, err error) {
	defer func() {
		if a == nil {
			qry.Close()
		}
	}()
	res := qry.Exec(ctx)
	if res.Err != nil {
		return nil, queryError(res.Err)
	}
	notes := res.Warnings
	value, cut := truncate(res.Value, limit)
	if cut {
		notes = notes.Add(errTruncated)
	}
	return &answer{data: &result{value: value}, notes: notes, query: text, done: qry.Close}, nil
}

var errTruncated = errors.New("results truncated due to limit")

func truncate(v parser.Value, limit int) (parser.Value, bool) {
	switch v := v.(type) {
	case promql.Matrix:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	case promql.Vector:
		if limit > 0 && len(v) > limit {
			return v[:limit], true
		}
	}
	return v, false
}

// formatQuery answers /format_query: the expression, pretty-printed.
func (s *Store) formatQuery(_ context.Context, _ storage.Queryable, r *http.Request) (*answer, error) {
	expr, err := s.parser.ParseExpr(r.FormValue("query"))
	if err != nil {
		return nil, badParam("query", err)
	}
	return &answer{data: expr.Pretty(0)}, nil
}
