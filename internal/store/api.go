package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
)

// maxBody bounds a POST form; queries are text typed by people or dashboards.
const maxBody = 1 << 20

// statusClientClosed is what Prometheus answers when the client went away.
const statusClientClosed = 499

// endpoint answers one request from the history. q is nil for endpoints that
// need none.
type endpoint func(ctx context.Context, q storage.Queryable, r *http.Request) (*answer, error)

// Handler serves the Prometheus HTTP API v1 below /api/v1/: query, query_range,
// series, labels, label/<name>/values, metadata, format_query, query_exemplars,
// rules, alerts, targets and status/{buildinfo,flags,runtimeinfo,tsdb}. Answers
// and errors have Prometheus' JSON shape. What needs history answers 503 with
// errorType "unavailable" while there is none. At most two queries run at a
// time, none longer than 30 s.
func (s *Store) Handler() http.Handler {
	mux := http.NewServeMux()
	both := func(path string, e endpoint) {
		mux.Handle("GET /api/v1/"+path, s.serve(e))
		mux.Handle("POST /api/v1/"+path, s.serve(e))
	}
	get := func(path string, e endpoint) { mux.Handle("GET /api/v1/"+path, s.serve(e)) }
	both("query", s.history(s.query))
	both("query_range", s.history(s.queryRange))
	both("series", s.history(s.seriesOf))
	both("labels", s.history(s.labelNames))
	get("label/{name}/values", s.history(s.labelValues))
	get("status/tsdb", s.statusTSDB)
	get("status/buildinfo", s.buildInfo)
	get("status/runtimeinfo", s.runtimeInfo)
	get("status/flags", s.flags)
	get("metadata", s.metricMetadata)
	both("format_query", s.formatQuery)
	both("query_exemplars", constant([]struct{}{}))
	get("rules", constant(map[string][]struct{}{"groups": {}}))
	get("alerts", constant(map[string][]struct{}{"alerts": {}}))
	get("targets", constant(map[string][]struct{}{"activeTargets": {}, "droppedTargets": {}}))
	mux.Handle("/api/v1/", s.serve(func(_ context.Context, _ storage.Queryable, r *http.Request) (*answer, error) {
		return nil, &apiError{kind: "not_found", code: http.StatusNotFound, err: fmt.Errorf("no endpoint %s %s", r.Method, r.URL.Path)}
	}))
	return mux
}

// constant answers the same for every request: the store evaluates no rules and
// scrapes no targets.
func constant(data any) endpoint {
	return func(context.Context, storage.Queryable, *http.Request) (*answer, error) {
		return &answer{data: data}, nil
	}
}

// serve parses the form, calls e and writes what it returns.
func (s *Store) serve(e endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		code := http.StatusOK
		defer func() { s.met.queries.WithLabelValues(strconv.Itoa(code)).Inc() }()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		var a *answer
		err := r.ParseForm()
		if err != nil {
			err = badData("parse form", err)
		} else {
			a, err = guarded(e, r)
		}
		if err != nil {
			code = writeError(w, err)
			return
		}
		if a.done != nil {
			defer a.done()
		}
		a.write(w)
	})
}

// guarded keeps a panic of the query engine from tearing down the connection.
func guarded(e endpoint, r *http.Request) (a *answer, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true)) // as in run
	defer recovered("answer request", &err)
	return e(r.Context(), nil, r)
}

// history wraps an endpoint that needs the database: it waits for a slot, keeps
// the session open for the whole answer and ends the request with the session.
func (s *Store) history(e endpoint) endpoint {
	return func(ctx context.Context, _ storage.Queryable, r *http.Request) (a *answer, err error) {
		limit, err := queryTimeout(r)
		if err != nil {
			return nil, err
		}
		ctx, cancel := context.WithTimeout(ctx, limit)
		ses, release, err := s.acquire(ctx)
		if err != nil {
			cancel()
			return nil, err
		}
		unhook := context.AfterFunc(ses.ctx, cancel)
		finish := func() { unhook(); cancel(); release() }
		defer func() {
			if a == nil { // an error or a panic
				finish()
			}
		}()
		a, err = e(ctx, ses.db, r)
		if err != nil {
			return nil, err
		}
		if done := a.done; done != nil {
			a.done = func() { done(); finish() }
		} else {
			a.done = finish
		}
		return a, nil
	}
}

// acquire waits for a query slot and takes a hold on the session.
func (s *Store) acquire(ctx context.Context) (*session, func(), error) {
	if s.session() == nil {
		return nil, nil, s.unavailable()
	}
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, queryError(promql.ErrQueryTimeout("query queue"))
	}
	s.mu.Lock()
	ses := s.ses
	if ses != nil {
		ses.users.Add(1)
	}
	s.mu.Unlock()
	if ses == nil {
		<-s.slots
		return nil, nil, s.unavailable()
	}
	return ses, func() { ses.users.Done(); <-s.slots }, nil
}

func (s *Store) unavailable() error {
	h := s.Health()
	err := h.Err()
	if err == nil { // it became ready between two looks
		err = errors.New("metrics history is starting")
	}
	return &apiError{kind: "unavailable", code: http.StatusServiceUnavailable, err: err}
}

// queryTimeout reads the timeout parameter, which can only shorten the limit.
func queryTimeout(r *http.Request) (time.Duration, error) {
	v := r.FormValue("timeout")
	if v == "" {
		return queryLimit, nil
	}
	d, err := parseDuration(v)
	if err != nil {
		return 0, badParam("timeout", err)
	}
	if d <= 0 {
		return 0, badParam("timeout", errors.New("it must be positive"))
	}
	return min(d, queryLimit), nil
}
