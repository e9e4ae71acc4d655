package store

import (
	"context"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/index"
)

// buildInfo answers /status/buildinfo. The version is that of the Prometheus
// whose API and query language this is, because Grafana decides by it which
// features to offer.
func (s *Store) buildInfo(context.Context, storage.Queryable, *http.Request) (*answer, error) {
	return &answer{data: map[string]string{
		"version": prometheusVersion(), "revision": "", "branch": "", "buildUser": "anole", "buildDate": "",
		"goVersion": runtime.Version(),
	}}, nil
}

// prometheusVersion derives 3.16.0 from the module version v0.316.0.
func prometheusVersion() string {
	const floor = "3.0.0"
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return floor
	}
	i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == "github.com/prometheus/prometheus" })
	if i < 0 {
		return floor
	}
	return releaseOf(info.Deps[i].Version, floor)
}

// releaseOf maps the module version v0.XYY.Z to the release X.YY.Z.
func releaseOf(module, def string) string {
	part := strings.Split(module, ".")
	if len(part) != 3 || part[0] != "v0" || len(part[1]) != 3 {
		return def
	}
	minor, err := strconv.Atoi(part[1][1:])
	if err != nil {
		return def
	}
	return part[1][:1] + "." + strconv.Itoa(minor) + "." + part[2]
}

// runtimeInfo answers /status/runtimeinfo.
func (s *Store) runtimeInfo(context.Context, storage.Queryable, *http.Request) (*answer, error) {
	corruptions := 0.0
	if ses := s.session(); ses != nil {
		corruptions = ses.value("prometheus_tsdb_wal_corruptions_total")
	}
	return &answer{data: map[string]any{
		"startTime": s.started.UTC(), "serverTime": s.opt.Now().UTC(),
		"hostname": hostname(), "reloadConfigSuccess": true, "lastConfigTime": s.started.UTC(),
		"corruptionCount": int64(corruptions), "goroutineCount": runtime.NumGoroutine(),
		"GOMAXPROCS": runtime.GOMAXPROCS(0), "GOMEMLIMIT": debug.SetMemoryLimit(-1),
		"GOGC": os.Getenv("GOGC"), "GODEBUG": os.Getenv("GODEBUG"),
		"storageRetention": retentionText(s.opt),
	}}, nil
}

func retentionText(o Options) string {
	return model.Duration(o.Retention).String() + " or " + strconv.FormatInt(o.MaxBytes>>20, 10) + "MiB"
}

// flags answers /status/flags with the options as Prometheus' flags.
func (s *Store) flags(context.Context, storage.Queryable, *http.Request) (*answer, error) {
	return &answer{data: map[string]string{
		"storage.tsdb.path":           s.opt.Dir,
		"storage.tsdb.retention.time": model.Duration(s.opt.Retention).String(),
		"storage.tsdb.retention.size": strconv.FormatInt(s.opt.MaxBytes, 10) + "B",
		"query.lookback-delta":        model.Duration(lookback).String(),
		"query.max-concurrency":       strconv.Itoa(querySlots),
		"query.max-samples":           strconv.Itoa(s.opt.MaxSamples),
		"query.timeout":               model.Duration(queryLimit).String(),
		"scrape.interval":             s.opt.Interval.Round(time.Millisecond).String(),
	}}, nil
}

// statusTSDB answers /status/tsdb: what the in-memory part of the history holds.
func (s *Store) statusTSDB(ctx context.Context, _ storage.Queryable, r *http.Request) (*answer, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = 10
	}
	ses, release, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	st := ses.db.Head().Stats(model.MetricNameLabel, min(limit, 10000))
	p := st.IndexPostingStats
	return &answer{data: map[string]any{
		"headStats": map[string]int64{
			"numSeries": int64(st.NumSeries), "numLabelPairs": int64(p.NumLabelPairs),
			"chunkCount": int64(ses.value("prometheus_tsdb_head_chunks")), "minTime": st.MinTime, "maxTime": st.MaxTime,
		},
		"seriesCountByMetricName":     ranking(p.CardinalityMetricsStats),
		"labelValueCountByLabelName":  ranking(p.CardinalityLabelStats),
		"memoryInBytesByLabelName":    ranking(p.LabelValueStats),
		"seriesCountByLabelValuePair": ranking(p.LabelValuePairsStats),
	}}, nil
}

type rank struct {
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}

func ranking(in []index.Stat) []rank {
	out := make([]rank, 0, len(in))
	for _, st := range in {
		out = append(out, rank{Name: st.Name, Value: st.Count})
	}
	return out
}

// metricMetadata answers /metadata from the latest gather.
func (s *Store) metricMetadata(_ context.Context, _ storage.Queryable, r *http.Request) (*answer, error) {
	limit, err := limitParam(r)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]family)
	want := r.FormValue("metric")
	for name, f := range s.metadata() {
		if want != "" && name != want {
			continue
		}
		if limit > 0 && len(out) >= limit {
			break
		}
		out[name] = []family{f}
	}
	return &answer{data: out}, nil
}
