package web

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
)

// Querier lets the real PromQL engine read the synthetic day, so that a panel's
// query that Prometheus would refuse fails here as well.
func (n *fakeNode) Querier(mint, maxt int64) (storage.Querier, error) {
	return fakeQuerier{n, mint, maxt}, nil
}

type fakeQuerier struct {
	node       *fakeNode
	mint, maxt int64
}

func (q fakeQuerier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &fakeSet{}
	for _, key := range q.node.order {
		s := q.node.series[key]
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			continue
		}
		set.all = append(set.all, storage.NewListSeries(s.labels, q.samples(s)))
	}
	return set
}

func (q fakeQuerier) samples(s *fakeSeries) []chunks.Sample {
	var out []chunks.Sample
	now := time.Now().UnixMilli()
	first := max(0, (q.mint-q.node.start.UnixMilli())/fakeStep.Milliseconds())
	for i := int(first); i < len(s.values); i++ {
		v, t := s.values[i], q.node.start.UnixMilli()+int64(i)*fakeStep.Milliseconds()
		if t > min(q.maxt, now) {
			break
		}
		if t >= q.mint && !math.IsNaN(v) {
			out = append(out, fakeSample{t, v})
		}
	}
	return out
}

func (fakeQuerier) Close() error { return nil }

func (fakeQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, nil
}

func (q fakeQuerier) LabelValues(_ context.Context, name string, _ *storage.LabelHints, _ ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	var out []string
	for _, key := range q.node.order {
		if v := q.node.series[key].labels.Get(name); v != "" {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil, nil
}

type fakeSet struct {
	all []storage.Series
	at  int
}

func (s *fakeSet) Next() bool                        { s.at++; return s.at <= len(s.all) }
func (s *fakeSet) At() storage.Series                { return s.all[s.at-1] }
func (s *fakeSet) Err() error                        { return nil }
func (s *fakeSet) Warnings() annotations.Annotations { return nil }

type fakeSample struct {
	t int64
	v float64
}

func (s fakeSample) T() int64                      { return s.t }
func (s fakeSample) ST() int64                     { return 0 }
func (s fakeSample) F() float64                    { return s.v }
func (s fakeSample) H() *histogram.Histogram       { return nil }
func (s fakeSample) FH() *histogram.FloatHistogram { return nil }
func (s fakeSample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s fakeSample) Copy() chunks.Sample           { return s }

// prometheus adds the query API over the synthetic day to mux.
func (n *fakeNode) prometheus(mux *http.ServeMux) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 50e6, Timeout: time.Minute, LookbackDelta: 20 * time.Second, Parser: parser.NewParser(parser.Options{})})
	mux.HandleFunc("GET /api/v1/query", func(w http.ResponseWriter, r *http.Request) {
		q, err := engine.NewInstantQuery(r.Context(), n, nil, r.FormValue("query"), seconds(r.FormValue("time")))
		answer(w, r, q, err)
	})
	mux.HandleFunc("GET /api/v1/query_range", func(w http.ResponseWriter, r *http.Request) {
		step, _ := strconv.ParseFloat(r.FormValue("step"), 64)
		q, err := engine.NewRangeQuery(r.Context(), n, nil, r.FormValue("query"), seconds(r.FormValue("start")), seconds(r.FormValue("end")),
			time.Duration(step*float64(time.Second)))
		answer(w, r, q, err)
	})
	mux.HandleFunc("GET /api/v1/label/{name}/values", func(w http.ResponseWriter, r *http.Request) {
		values, _, _ := fakeQuerier{node: n}.LabelValues(r.Context(), r.PathValue("name"), nil)
		reply(w, http.StatusOK, map[string]any{"status": "success", "data": values})
	})
}

func seconds(s string) time.Time {
	f, _ := strconv.ParseFloat(s, 64)
	return time.UnixMilli(int64(f * 1000))
}

func answer(w http.ResponseWriter, r *http.Request, q promql.Query, err error) {
	if err == nil {
		defer q.Close()
		res := q.Exec(r.Context())
		if err = res.Err; err == nil {
			reply(w, http.StatusOK, map[string]any{"status": "success", "data": map[string]any{"resultType": res.Value.Type(), "result": shape(res.Value)}})
			return
		}
	}
	reply(w, http.StatusBadRequest, map[string]any{"status": "error", "errorType": "bad_data", "error": err.Error()})
}

// shape writes a result as Prometheus does: numbers as strings.
func shape(v parser.Value) any {
	pair := func(t int64, f float64) []any { return []any{float64(t) / 1000, strconv.FormatFloat(f, 'f', -1, 64)} }
	out := []any{}
	switch v := v.(type) {
	case promql.Matrix:
		for _, s := range v {
			values := [][]any{}
			for _, p := range s.Floats {
				values = append(values, pair(p.T, p.F))
			}
			out = append(out, map[string]any{"metric": s.Metric.Map(), "values": values})
		}
	case promql.Vector:
		for _, s := range v {
			out = append(out, map[string]any{"metric": s.Metric.Map(), "value": pair(s.T, s.F)})
		}
	case promql.Scalar:
		return pair(v.T, v.V)
	}
	return out
}

func reply(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(fmt.Sprintf("encode a fake answer: %v", err))
	}
}
