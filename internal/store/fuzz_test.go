package store

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"0", "1435781451.781", "-1e3", "NaN", "Inf", "1e300", "2026-03-01T12:00:00Z", "2026-03-01T12:00:00.5+02:00", minTimeText, maxTimeText, "", "now", "0x1p-2", "9223372036"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseTime(s)
		if err == nil && (got.Before(minTime) || got.After(maxTime)) {
			t.Errorf("parseTime(%q) = %v, outside the API's range", s, got)
		}
	})
}

func FuzzParseDuration(f *testing.F) {
	for _, s := range []string{"5", "0.5", "1h30m", "-1", "NaN", "1e30", "9223372036.854775807", "", "5 s", "1y", "99999999y"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := parseDuration(s); err != nil && d != 0 {
			t.Errorf("parseDuration(%q) = %v with error %v", s, d, err)
		}
	})
}

// FuzzRequest: whatever the parameters, the answer is JSON of the documented
// shape with one of the documented codes.
func FuzzRequest(f *testing.F) {
	for _, s := range [][5]string{
		{"query", "up", "0", "10", "1"}, {"query_range", "rate(up[1m])", "-1e3", "2026-03-01T12:00:00Z", "1h"},
		{"series", "{a=~'.*'}", "x", "", ""}, {"labels", "up", minTimeText, maxTimeText, "NaN"}, {"label/a/values", "", "", "", ""},
		{"query", "up[5m:1ms] offset -1e9", "1e11", "", ""}, {"query_range", "1", "9e15", "9.1e15", "1e12"},
	} {
		f.Add(s[0], s[1], s[2], s[3], s[4])
	}
	clock := &fakeClock{now: epoch}
	s, err := newStore(Options{Dir: f.TempDir(), Gatherer: prometheus.NewRegistry(), Now: clock.Now, MaxSamples: 1000})
	if err != nil {
		f.Fatal(err)
	}
	close(s.done)
	f.Cleanup(func() { _ = s.Close() })
	for range 10 {
		clock.add(5 * time.Second)
		s.step()
	}
	h := s.Handler()
	f.Fuzz(func(t *testing.T, path, query, start, end, step string) {
		v := url.Values{"query": {query}, "match[]": {query}, "time": {start}, "start": {start}, "end": {end}, "step": {step}, "limit": {step}, "timeout": {"1s"}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: "/api/v1/" + path, RawQuery: v.Encode()}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code == http.StatusTemporaryRedirect || w.Code == http.StatusMovedPermanently {
			return // the path was not clean
		}
		var rep reply
		if err := json.Unmarshal(w.Body.Bytes(), &rep); err != nil {
			t.Fatalf("%s?%s: %d is not JSON: %v", path, v.Encode(), w.Code, err)
		}
		if ok := rep.Status == "success"; ok != (w.Code == 200) || ok == (rep.ErrorType != "") || w.Code == 500 {
			t.Fatalf("%s?%s: %d %+v", path, v.Encode(), w.Code, rep)
		}
	})
}

func FuzzVerifyMeta(f *testing.F) {
	const name = "01JQ0000000000000000000000"
	f.Add([]byte(`{"ulid":"` + name + `","minTime":1,"maxTime":2,"version":1}`))
	f.Add([]byte(`{"version":1}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if verifyMeta(raw, name) == nil && !json.Valid(raw) {
			t.Errorf("accepted %q", raw)
		}
	})
}

// FuzzVerifySegment: a segment is whole, torn at its end, or corrupt, and never
// a panic.
func FuzzVerifySegment(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("garbage"))
	f.Add([]byte{1, 0, 1, 0, 0, 0, 0, 7})
	f.Add([]byte{9, 0xff, 0xff})
	f.Add(make([]byte, 100))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p := filepath.Join(t.TempDir(), "00000000")
		if err := os.WriteFile(p, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		records, torn, err := verifySegment(p)
		if err != nil && (records > 0 && torn) {
			t.Errorf("both torn and corrupt: %v", err)
		}
	})
}
