package store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"
)

// seriesOf answers /series: the label sets that match.
func (s *Store) seriesOf(ctx context.Context, db storage.Queryable, r *http.Request) (*answer, error) {
	if len(r.Form["match[]"]) == 0 {
		return nil, &apiError{kind: "bad_data", code: http.StatusBadRequest, err: errors.New("no match[] parameter provided")}
	}
	sp, err := spanParam(s.parser, r)
	if err != nil {
		return nil, err
	}
	q, err := db.Querier(sp.start.UnixMilli(), sp.end.UnixMilli())
	if err != nil {
		return nil, queryError(err)
	}
	defer q.Close()
	hints := &storage.SelectHints{Start: sp.start.UnixMilli(), End: sp.end.UnixMilli(), Func: "series", Limit: hint(sp.limit)}
	sets := make([]storage.SeriesSet, 0, len(sp.sets))
	for _, m := range sp.sets {
		sets = append(sets, q.Select(ctx, true, hints, m...))
	}
	return collect(storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge), sp.limit)
}

// collect reads the label sets, copied, since they may point into a mapped file.
func collect(set storage.SeriesSet, limit int) (*answer, error) {
	found := []map[string]string{}
	notes := annotations.New()
	for set.Next() {
		if limit > 0 && len(found) >= limit {
			notes.Add(errTruncated)
			break
		}
		m := make(map[string]string)
		set.At().Labels().Range(func(l labels.Label) { m[strings.Clone(l.Name)] = strings.Clone(l.Value) })
		found = append(found, m)
	}
	if err := set.Err(); err != nil {
		return nil, queryError(err)
	}
	notes.Merge(set.Warnings())
	return &answer{data: found, notes: *notes}, nil
}

// labelNames answers /labels.
func (s *Store) labelNames(ctx context.Context, db storage.Queryable, r *http.Request) (*answer, error) {
	return s.names(db, r, func(q storage.Querier, h *storage.LabelHints, m []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, h, m...)
	})
}

// labelValues answers /label/<name>/values. A name that is not plain ASCII comes
// escaped behind the prefix U__.
func (s *Store) labelValues(ctx context.Context, db storage.Queryable, r *http.Request) (*answer, error) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") {
		name = model.UnescapeName(name, model.ValueEncodingEscaping)
	}
	if !model.UTF8Validation.IsValidLabelName(name) {
		return nil, &apiError{kind: "bad_data", code: http.StatusBadRequest, err: fmt.Errorf("invalid label name: %q", name)}
	}
	return s.names(db, r, func(q storage.Querier, h *storage.LabelHints, m []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, h, m...)
	})
}

type lister func(storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error)

// names unites what list returns for each selector, or for no selector at all.
func (s *Store) names(db storage.Queryable, r *http.Request, list lister) (*answer, error) {
	sp, err := spanParam(s.parser, r)
	if err != nil {
		return nil, err
	}
	q, err := db.Querier(sp.start.UnixMilli(), sp.end.UnixMilli())
	if err != nil {
		return nil, queryError(err)
	}
	defer q.Close()
	if len(sp.sets) == 0 {
		sp.sets = append(sp.sets, nil)
	}
	all, notes := []string{}, annotations.New()
	for _, m := range sp.sets {
		some, warn, err := list(q, &storage.LabelHints{Limit: hint(sp.limit)}, m)
		if err != nil {
			return nil, queryError(err)
		}
		for _, v := range some {
			all = append(all, strings.Clone(v)) // not safe beyond the querier
		}
		notes.Merge(warn)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if sp.limit > 0 && len(all) > sp.limit {
		all = all[:sp.limit]
		notes.Add(errTruncated)
	}
	return &answer{data: all, notes: *notes}, nil
}

// hint asks the database for one more than the limit, to notice a cut.
func hint(limit int) int {
	if limit == 0 {
		return 0
	}
	return limit + 1
}
