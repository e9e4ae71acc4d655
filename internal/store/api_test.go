package store

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// served is a rig with two gauges and ten steps of history.
func served(t *testing.T, change ...func(*Options)) *rig {
	t.Helper()
	r := newRig(t, change...)
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cpu_cores", Help: "CPU given."}, []string{"class"})
	r.reg.MustRegister(g)
	g.WithLabelValues("ls").Set(1.5)
	g.WithLabelValues("be").Set(.25)
	r.steps(10)
	r.wantState(Ready)
	return r
}

func TestBadRequests(t *testing.T) {
	r := served(t, func(o *Options) { o.MaxSamples = 50 })
	for _, c := range []struct {
		path, params string
		code         int
		kind, text   string
	}{
		{"query", "query=", 400, "bad_data", `invalid parameter "query"`},
		{"query", "query=sum(", 400, "bad_data", "parse error"},
		{"query", "query=up&time=noon", 400, "bad_data", `invalid parameter "time"`},
		{"query", "query=up&time=NaN", 400, "bad_data", "out of range"},
		{"query", "query=up&timeout=0", 400, "bad_data", `invalid parameter "timeout"`},
		{"query", "query=up&limit=-1", 400, "bad_data", `invalid parameter "limit"`},
		{"query", "query=up&lookback_delta=x", 400, "bad_data", `invalid parameter "lookback_delta"`},
		{"query", "query=%zz", 400, "bad_data", "parse form"},
		{"query", "query=label_replace(up,'a','$1','b','(')", 422, "execution", "invalid regular expression"},
		{"query_range", "query=up&start=0&end=1", 400, "bad_data", `invalid parameter "step"`},
		{"query_range", "query=up&start=0&end=1&step=0", 400, "bad_data", "zero or negative"},
		{"query_range", "query=up&start=0&end=1&step=0.0001", 400, "bad_data", "zero or negative"},
		{"query_range", "query=up&start=2&end=1&step=1", 400, "bad_data", "end timestamp must not be before start time"},
		{"query_range", "query=up&start=0&end=11001&step=1", 400, "bad_data", "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)"},
		{"query_range", "query=vector(1)&start=0&end=1000&step=1", 422, "execution", "too many samples"},
		{"series", "", 400, "bad_data", "no match[] parameter provided"},
		{"series", "match[]={}", 400, "bad_data", "match[]"},
		{"series", "match[]=up&start=2&end=1", 400, "bad_data", "end timestamp"},
		{"labels", "match[]=up{", 400, "bad_data", "match[]"},
		{"label/%FF/values", "", 400, "bad_data", "invalid label name"},
		{"metadata", "limit=x", 400, "bad_data", "limit"},
		{"nothing", "", 404, "not_found", "/api/v1/nothing"},
	} {
		resp, err := http.Get(r.url + "/api/v1/" + c.path + "?" + strings.ReplaceAll(c.params, "+", "%2B"))
		rep := r.decode(resp, err)
		if rep.Status != "error" || rep.code != c.code || rep.ErrorType != c.kind || !strings.Contains(rep.Error, c.text) {
			t.Errorf("%s?%s: %d %s %q\nwant %d %s %q", c.path, c.params, rep.code, rep.ErrorType, rep.Error, c.code, c.kind, c.text)
		}
	}
	if rep := r.get("query_range", "query", "up", "start", "0", "end", "11000", "step", "1"); rep.code != 200 {
		t.Errorf("11,000 points refused: %s", rep.Error)
	}
}

// TestEndpoints compares whole answers with what Prometheus gives.
func TestEndpoints(t *testing.T) {
	r := served(t)
	now := strconv.FormatInt(r.clock.Now().Unix(), 10)
	cpu := `"__name__":"cpu_cores"`
	who := `"instance":"node1","job":"anole"`
	for _, c := range []struct{ path, params, want string }{
		{"query", "query=1%2B1&time=" + now, `{"resultType":"scalar","result":[` + now + `,"2"]}`},
		{"query", "query='x'&time=12.345", `{"resultType":"string","result":[12.345,"x"]}`},
		{"query", "query=none", `{"resultType":"vector","result":[]}`},
		{"query", "query=cpu_cores{class='ls'}&time=" + now, `{"resultType":"vector","result":[{"metric":{` + cpu + `,"class":"ls",` + who + `},"value":[` + now + `,"1.5"]}]}`},
		{"query_range", "query=none&start=0&end=1&step=1", `{"resultType":"matrix","result":[]}`},
		{"series", "match[]=cpu_cores&match[]=cpu_cores{class='be'}", `[{` + cpu + `,"class":"be",` + who + `},{` + cpu + `,"class":"ls",` + who + `}]`},
		{"labels", "", `["__name__","class","instance","job"]`},
		{"labels", "match[]=up", `["__name__","instance","job"]`},
		{"label/class/values", "", `["be","ls"]`},
		{"label/__name__/values", "", `["cpu_cores","up"]`},
		{"label/U__class/values", "match[]=cpu_cores{class='ls'}&match[]=up", `["ls"]`},
		{"label/none/values", "", `[]`},
		{"metadata", "metric=cpu_cores", `{"cpu_cores":[{"type":"gauge","help":"CPU given.","unit":""}]}`},
		{"rules", "", `{"groups":[]}`},
		{"alerts", "", `{"alerts":[]}`},
		{"query_exemplars", "query=up", `[]`},
		{"format_query", "query=sum+by(a)(x)", `"sum by (a) (x)"`},
	} {
		resp, err := http.Get(r.url + "/api/v1/" + c.path + "?" + c.params)
		rep := r.decode(resp, err)
		if rep.code != 200 || rep.Status != "success" || string(rep.Data) != c.want {
			t.Errorf("%s?%s: %d %s\n got %s\nwant %s", c.path, c.params, rep.code, rep.Error, rep.Data, c.want)
		}
		if resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: content type %q", c.path, resp.Header.Get("Content-Type"))
		}
	}
}

func TestPostAndLimit(t *testing.T) {
	r := served(t)
	for path, params := range map[string][]string{
		"query":  {"query", "cpu_cores", "limit", "1", "time", strconv.FormatInt(r.clock.Now().Unix(), 10)},
		"series": {"match[]", "cpu_cores", "limit", "1"}, "labels": {"limit", "1"},
	} {
		rep := r.post(path, params...)
		if rep.code != 200 || len(rep.Warnings) != 1 || rep.Warnings[0] != "results truncated due to limit" {
			t.Errorf("%s: %d %s %v", path, rep.code, rep.Data, rep.Warnings)
		}
	}
	if rep := r.post("labels"); rep.code != 200 || len(rep.Warnings) != 0 {
		t.Errorf("labels: %d %v", rep.code, rep.Warnings)
	}
	if rep := r.post("rules"); rep.code != http.StatusNotFound {
		t.Errorf("POST rules: %d", rep.code)
	}
}

func TestStatus(t *testing.T) {
	r := served(t)
	for path, fields := range map[string][]string{
		"status/buildinfo":   {"version", "revision", "branch", "buildUser", "buildDate", "goVersion"},
		"status/runtimeinfo": {"startTime", "goroutineCount", "storageRetention", "GOMAXPROCS"},
		"status/flags":       {"storage.tsdb.retention.time", "query.timeout"},
		"status/tsdb":        {"headStats", "seriesCountByMetricName", "labelValueCountByLabelName", "memoryInBytesByLabelName", "seriesCountByLabelValuePair"},
	} {
		var data map[string]any
		rep := r.get(path)
		if err := json.Unmarshal(rep.Data, &data); err != nil || rep.code != 200 {
			t.Errorf("%s: %d %v", path, rep.code, err)
		}
		for _, f := range fields {
			if _, ok := data[f]; !ok {
				t.Errorf("%s lacks %s: %s", path, f, rep.Data)
			}
		}
	}
	if rep := r.get("status/tsdb"); !strings.Contains(string(rep.Data), `"numSeries":3`) {
		t.Errorf("three series expected: %s", rep.Data)
	}
	for in, want := range map[string]string{"v0.316.0": "3.16.0", "v0.305.2": "3.5.2", "v1.0.0": "d", "x": "d", "v0.3x6.0": "d", "(devel)": "d"} {
		if got := releaseOf(in, "d"); got != want {
			t.Errorf("releaseOf(%s) = %s, want %s", in, got, want)
		}
	}
}

// TestEncoding compares the streaming encoder with promql's own MarshalJSON.
func TestEncoding(t *testing.T) {
	ls := labels.FromStrings("a", "x\"\\\n\u2028<é", "b", "")
	floats := []promql.FPoint{
		{T: 0, F: 0}, {T: -1, F: math.Inf(1)}, {T: 1001, F: math.NaN()}, {T: -12345, F: 1e-7},
		{T: 1435781451781, F: 1e300}, {T: 10, F: -1.5}, {T: 200, F: math.Inf(-1)},
	}
	for _, v := range []parser.Value{
		promql.Matrix{{Metric: ls, Floats: floats}, {Floats: floats[:1]}, {Metric: ls, Floats: floats[2:]}}, promql.Matrix{},
		promql.Vector{{Metric: ls, T: 1, F: 2}, {T: -1999, F: .1}}, promql.Vector{},
		promql.Scalar{T: 5, V: 7}, promql.String{T: 5, V: "\x00<\""},
	} {
		var got bytes.Buffer
		out := bufio.NewWriter(&got)
		(&result{value: v}).write(out)
		if err := out.Flush(); err != nil {
			t.Fatal(err)
		}
		ref, err := json.Marshal(map[string]any{"resultType": v.Type(), "result": v})
		if err != nil {
			t.Fatal(err)
		}
		if g, w := generic(t, got.Bytes()), generic(t, ref); !reflect.DeepEqual(g, w) {
			t.Errorf("got %s\nwant %s", got.Bytes(), ref)
		}
	}
}

// generic decodes JSON with numbers in strings as numbers, whose spelling may
// differ ("1e+300" or its digits).
func generic(t *testing.T, raw []byte) any {
	t.Helper()
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	var walk func(any) any
	walk = func(v any) any {
		switch v := v.(type) {
		case []any:
			for i := range v {
				v[i] = walk(v[i])
			}
		case map[string]any:
			for k := range v {
				v[k] = walk(v[k])
			}
		case string:
			if f, err := strconv.ParseFloat(v, 64); err == nil && !math.IsNaN(f) {
				return f
			}
		}
		return v
	}
	return walk(v)
}

func TestPromtool(t *testing.T) {
	tool, err := exec.LookPath("promtool")
	if err != nil {
		testkit.Need(t, &feature.UnsupportedError{Feature: "promtool", Reason: feature.NoPeer, Need: "promtool in PATH", Fix: "apt-get install prometheus", Err: err})
	}
	r := served(t)
	at := r.clock.Now().Format(time.RFC3339)
	start := r.clock.Now().Add(-20 * time.Second).Format(time.RFC3339)
	for want, args := range map[string][]string{
		`cpu_cores{class="ls", instance="node1", job="anole"} => 1.5`: {"query", "instant", "--time=" + at, r.url, `cpu_cores{class="ls"}`},
		`0.25 @`:                 {"query", "range", "--start=" + start, "--end=" + at, "--step=5s", r.url, `cpu_cores{class="be"}`},
		`cpu_cores", class="be"`: {"query", "series", "--match=cpu_cores", "--start=" + start, "--end=" + at, r.url},
		"ls":                     {"query", "labels", "--start=" + start, "--end=" + at, r.url, "class"},
	} {
		out, err := exec.Command(tool, args...).CombinedOutput()
		got := strings.ReplaceAll(string(out), `{__name__="`, "") // the spelling differs between versions
		got = strings.ReplaceAll(got, `cpu_cores{class="be"`, `cpu_cores", class="be"`)
		if err != nil || !strings.Contains(got, want) {
			t.Errorf("promtool %v: %v\n%s\nwant %s", args, err, out, want)
		}
	}
}

func TestQueriesWaitForSlots(t *testing.T) {
	r := served(t)
	for range querySlots {
		r.slots <- struct{}{}
	}
	rep := r.get("query", "query", "up", "timeout", "1ms")
	if rep.code != http.StatusServiceUnavailable || rep.ErrorType != "timeout" {
		t.Errorf("no slot: %d %s, want 503 timeout", rep.code, rep.ErrorType)
	}
	for range querySlots {
		<-r.slots
	}
	if rep := r.get("query", "query", "up"); rep.code != 200 {
		t.Errorf("slot free: %d", rep.code)
	}
	if n := len(r.slots); n != 0 {
		t.Errorf("%d slots still taken", n)
	}
}
