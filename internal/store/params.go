package store

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// The earliest and latest times of the API: with a margin for the difference
// between the Unix epoch and Go's year 1, so that adding to them in ms is safe.
var (
	minTime = time.Unix(math.MinInt64/1000+62135596801, 0).UTC()
	maxTime = time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC()

	minTimeText = minTime.Format(time.RFC3339Nano)
	maxTimeText = maxTime.Format(time.RFC3339Nano)
)

// parseTime reads a timestamp: Unix seconds with an optional fraction, or RFC
// 3339. The result is rounded to milliseconds and lies in [minTime, maxTime].
func parseTime(s string) (time.Time, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		// False for NaN too. The bounds are exact: 2^53 is far beyond them.
		if !(f >= float64(minTime.Unix()) && f <= float64(maxTime.Unix())) {
			return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp. It is out of range", s)
		}
		sec, frac := math.Modf(f)
		return time.Unix(int64(sec), int64(math.Round(frac*1000))*int64(time.Millisecond)).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	switch s { // time.Parse reads four-digit years only
	case minTimeText:
		return minTime, nil
	case maxTimeText:
		return maxTime, nil
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", s)
}

// parseDuration reads seconds with an optional fraction, or Prometheus' 1h30m.
func parseDuration(s string) (time.Duration, error) {
	if f, err := strconv.ParseFloat(s, 64); err == nil {
		ns := f * float64(time.Second)
		if !(ns >= math.MinInt64 && ns < math.MaxInt64) { // false for NaN too
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", s)
		}
		return time.Duration(ns), nil
	}
	d, err := model.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("cannot parse %q to a valid duration", s)
	}
	return time.Duration(d), nil
}

func timeParam(r *http.Request, name string, def time.Time) (time.Time, error) {
	v := r.FormValue(name)
	if v == "" {
		return def, nil
	}
	t, err := parseTime(v)
	if err != nil {
		return t, badParam(name, err)
	}
	return t, nil
}

// limitParam reads "limit"; 0 means none.
func limitParam(r *http.Request) (int, error) {
	const name = "limit"
	v := r.FormValue(name)
	if v == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(v)
	if err == nil && n < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, badParam(name, err)
	}
	return n, nil
}

// span is the part of the history that series and label requests look at.
type span struct {
	start, end time.Time
	limit      int
	sets       [][]*labels.Matcher
}

func spanParam(p parser.Parser, r *http.Request) (sp span, err error) {
	if sp.limit, err = limitParam(r); err != nil {
		return sp, err
	}
	if sp.start, err = timeParam(r, "start", minTime); err != nil {
		return sp, err
	}
	if sp.end, err = timeParam(r, "end", maxTime); err != nil {
		return sp, err
	}
	if sp.end.Before(sp.start) {
		return sp, badParam("end", errors.New("end timestamp must not be before start time"))
	}
	sp.sets, err = matchers(p, r.Form["match[]"])
	return sp, err
}

// matchers parses selectors. One that matches the empty label set would select
// everything, which Prometheus refuses.
func matchers(p parser.Parser, selectors []string) ([][]*labels.Matcher, error) {
	sets, err := p.ParseMetricSelectors(selectors)
	if err != nil {
		return nil, badParam("match[]", err)
	}
	for _, set := range sets {
		if !selective(set) {
			return nil, badParam("match[]", errors.New("match[] must contain at least one non-empty matcher"))
		}
	}
	return sets, nil
}

func selective(set []*labels.Matcher) bool {
	for _, m := range set {
		if m != nil && !m.Matches("") {
			return true
		}
	}
	return false
}
