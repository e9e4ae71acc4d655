package store

import (
	"errors"
	"math"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
)

func TestRoundTrip(t *testing.T) {
	r := newRig(t)
	jobs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "jobs_total", Help: "Jobs."}, []string{"class"})
	lat := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "lat_seconds", Help: "Latency.", Buckets: []float64{.1, 1, 10}})
	sum := prometheus.NewSummary(prometheus.SummaryOpts{Name: "size_bytes", Help: "Size.", Objectives: map[float64]float64{.5: .05}})
	r.reg.MustRegister(jobs, lat, sum)
	for range 40 {
		jobs.WithLabelValues("ls").Add(10)
		jobs.WithLabelValues("be").Add(5)
		for range 100 {
			lat.Observe(.5)
		}
		sum.Observe(7)
		r.steps(1)
	}
	r.wantState(Ready)

	rate := r.values("rate(jobs_total[1m])", "class")
	if rate["ls"] != "2" || rate["be"] != "1" {
		t.Errorf("rate = %v, want ls 2 and be 1", rate)
	}
	q := r.values("histogram_quantile(0.5, rate(lat_seconds_bucket[1m]))", "job")
	if v, err := strconv.ParseFloat(q["anole"], 64); err != nil || math.Abs(v-.55) > 1e-9 {
		t.Errorf("median = %v, want 0.55, the middle of the bucket (0.1, 1]", q)
	}
	if got := r.values("lat_seconds_bucket", "le"); len(got) != 4 || got["+Inf"] != "4000" || got["1.0"] != "4000" || got["0.1"] != "0" {
		t.Errorf("buckets = %v", got)
	}
	for query, want := range map[string]string{
		"lat_seconds_count": "4000", "lat_seconds_sum": "2000", "size_bytes_sum": "280", "size_bytes_count": "40",
		`size_bytes{quantile="0.5"}`: "7", "up": "1",
	} {
		if got := r.values(query, "instance"); len(got) != 1 || got["node1"] != want {
			t.Errorf("%s = %v, want %s", query, got, want)
		}
	}
	end := strconv.FormatInt(r.clock.Now().Unix(), 10)
	start := strconv.FormatInt(r.clock.Now().Unix()-10, 10)
	rep := r.post("query_range", "query", `jobs_total{class="ls"}`, "start", start, "end", end, "step", "5s")
	want := `{"resultType":"matrix","result":[{"metric":{"__name__":"jobs_total","class":"ls","instance":"node1","job":"anole"},` +
		`"values":[[` + start + `,"380"],[` + strconv.FormatInt(r.clock.Now().Unix()-5, 10) + `,"390"],[` + end + `,"400"]]}]}`
	if string(rep.Data) != want {
		t.Errorf("range:\n got %s\nwant %s", rep.Data, want)
	}
}

func TestSurvivesRestart(t *testing.T) {
	r := newRig(t)
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "."})
	r.reg.MustRegister(g)
	g.Set(3)
	r.steps(20)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if rep := r.get("query", "query", "g"); rep.code != http.StatusServiceUnavailable || rep.ErrorType != "unavailable" {
		t.Errorf("after Close: %d %q, want 503 unavailable", rep.code, rep.ErrorType)
	}
	again := newRig(t, func(o *Options) { o.Dir = r.opt.Dir })
	again.clock.now = r.clock.Now()
	again.step()
	again.wantState(Ready)
	if got := again.values("count_over_time(g[10m])", "job"); got["anole"] != "20" {
		t.Errorf("samples after restart = %v, want 20", got)
	}
	if n := again.Health().Note; n != "" {
		t.Errorf("note = %q after a clean restart", n)
	}
}

func TestStaleness(t *testing.T) {
	r := newRig(t)
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "pod_cpu", Help: "."}, []string{"pod"})
	r.reg.MustRegister(v)
	v.WithLabelValues("a").Set(1)
	v.WithLabelValues("b").Set(2)
	r.steps(3)
	v.DeleteLabelValues("b")
	r.steps(1)
	if got := r.values("pod_cpu", "pod"); len(got) != 1 || got["a"] != "1" {
		t.Errorf("after deletion: %v, want a alone", got)
	}
	if n := r.cache.len(); n != 1 {
		t.Errorf("cache holds %d entries, want 1", n)
	}
	v.WithLabelValues("b").Set(5)
	r.steps(1)
	if got := r.values("pod_cpu", "pod"); got["b"] != "5" {
		t.Errorf("after return: %v, want b 5", got)
	}
}

// gatherFunc makes a Gatherer of a function.
type gatherFunc func() ([]*dto.MetricFamily, error)

func (f gatherFunc) Gather() ([]*dto.MetricFamily, error) { return f() }

func TestBucketsChange(t *testing.T) {
	bounds := []float64{.1, 1}
	h := func() prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: ".", Buckets: bounds})
	}
	r := newRig(t, func(o *Options) {
		o.Gatherer = gatherFunc(func() ([]*dto.MetricFamily, error) {
			reg := prometheus.NewRegistry()
			reg.MustRegister(h())
			return reg.Gather()
		})
	})
	r.steps(2)
	bounds = []float64{.1, 2}
	r.steps(1)
	got := r.values("h_bucket", "le")
	if _, old := got["1.0"]; old || len(got) != 3 || got["2.0"] != "0" || got["0.1"] != "0" {
		t.Errorf("buckets = %v, want 0.1, 2.0 and +Inf", got)
	}
}

func TestNativeHistogram(t *testing.T) {
	r := newRig(t)
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native_seconds", Help: ".", NativeHistogramBucketFactor: 1.1})
	r.reg.MustRegister(h)
	for range 20 {
		h.Observe(2)
		r.steps(1)
	}
	if got := r.values("histogram_count(native_seconds)", "job"); got["anole"] != "20" {
		t.Errorf("count = %v, want 20", got)
	}
	rep := r.get("query", "query", "native_seconds", "time", r.clock.Now().Format(time.RFC3339))
	if !strings.Contains(string(rep.Data), `"histogram":[`) || !strings.Contains(string(rep.Data), `"count":"20"`) {
		t.Errorf("native histogram in JSON: %s", rep.Data)
	}
}

func TestOwnLabelsAndEscapes(t *testing.T) {
	r := newRig(t)
	odd := "a\"b\\c\nd<é\u2028\x7f"
	v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "odd", Help: "."}, []string{"job", "text", "empty"})
	r.reg.MustRegister(v)
	v.WithLabelValues("mine", odd, "").Set(math.Inf(-1))
	r.steps(1)
	if got := r.values("odd", "text"); got[odd] != "-Inf" {
		t.Errorf("odd = %q", got)
	}
	if got := r.values(`odd{text=`+strconv.Quote(odd)+`,job="anole",exported_job="mine",empty=""}`, "exported_job"); got["mine"] != "-Inf" {
		t.Errorf("own job label: %v", got)
	}
}

func TestGatherTrouble(t *testing.T) {
	trouble := func() ([]*dto.MetricFamily, error) { panic("collector bug") }
	r := newRig(t, func(o *Options) {
		o.Gatherer = gatherFunc(func() ([]*dto.MetricFamily, error) { return trouble() })
	})
	r.steps(3)
	r.wantState(Ready)
	if got := r.values("up", "job"); got["anole"] != "0" {
		t.Errorf("up = %v while the gatherer panics, want 0", got)
	}
	if n := strings.Count(r.log.String(), "metrics gathered in part"); n != 1 {
		t.Errorf("repeated cause logged %d times, want once", n)
	}
	trouble = func() ([]*dto.MetricFamily, error) { return nil, errors.New("other") }
	r.steps(2)
	if n := strings.Count(r.log.String(), "metrics gathered in part"); n != 2 {
		t.Errorf("%d lines after the cause changed, want 2", n)
	}
	if got := testutil.ToFloat64(r.met.gathers.WithLabelValues("error")); got != 5 {
		t.Errorf("failed gathers = %v, want 5", got)
	}
}

func TestOwnMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	r := newRig(t, func(o *Options) { o.Registerer, o.Gatherer = reg, reg })
	r.steps(2)
	if got := r.values("anole_store_ready", "job"); got["anole"] != "1" {
		t.Errorf("ready = %v, want 1", got)
	}
	problems, err := testutil.GatherAndLint(reg)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v %v", problems, err)
	}
	if _, err := newStore(r.opt); err == nil {
		t.Error("a second store on one registry was accepted")
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if n, _ := testutil.GatherAndCount(reg); n != 0 {
		t.Errorf("%d metrics left in the registry after Close", n)
	}
}

func TestLoopAndClose(t *testing.T) {
	var calls = make(chan struct{}, 100)
	s, err := Open(Options{Dir: t.TempDir(), Interval: minInterval, Gatherer: gatherFunc(func() ([]*dto.MetricFamily, error) {
		select {
		case calls <- struct{}{}:
		default:
		}
		return nil, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		<-calls
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if h := s.Health(); h.State != Closed || h.Err() == nil {
		t.Errorf("health after Close = %+v", h)
	}
}

// TestCloseDuringGather: a collector that hangs must not hang the agent.
func TestCloseDuringGather(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	s, err := Open(Options{Dir: t.TempDir(), Gatherer: gatherFunc(func() ([]*dto.MetricFamily, error) {
		close(entered)
		<-leave
		return nil, nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	if err := s.Close(); err == nil {
		t.Error("Close said nothing about the hanging gather")
	}
	close(leave)
	<-s.done
}

func TestOptions(t *testing.T) {
	ok := Options{Dir: "/x", Gatherer: prometheus.NewRegistry()}
	o, err := ok.complete()
	if err != nil || o.Retention != 24*time.Hour || o.MaxBytes != 256<<20 || o.Interval != 5*time.Second || o.Instance == "" {
		t.Errorf("defaults: %+v, %v", o, err)
	}
	for name, f := range map[string]func(*Options){
		"no dir": func(o *Options) { o.Dir = "" }, "no gatherer": func(o *Options) { o.Gatherer = nil },
		"retention": func(o *Options) { o.Retention = -1 }, "bytes": func(o *Options) { o.MaxBytes = 1 },
		"interval": func(o *Options) { o.Interval = 1 }, "samples": func(o *Options) { o.MaxSamples = -1 },
		"retry": func(o *Options) { o.Retry = -1 },
	} {
		bad := ok
		f(&bad)
		if s, err := Open(bad); err == nil {
			_ = s.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	ts := tsdbOptions(o)
	if ts.RetentionDuration != 24*3600*1000 || ts.MaxBytes != 256<<20 || ts.MinBlockDuration != 3600*1000 || ts.MaxBlockDuration < ts.MinBlockDuration {
		t.Errorf("database options: %+v", ts)
	}
	if ts.EnableExemplarStorage || !ts.IsolationDisabled {
		t.Error("exemplars are on or isolation is")
	}
}

// TestRetention runs two hours of a ten-minute history with real compactions.
func TestRetention(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Retention = minRetention })
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "g", Help: "."})
	r.reg.MustRegister(g)
	for range 120 {
		for range 4 {
			r.clock.add(15 * time.Second)
			r.step()
		}
		if err := r.session().housekeep(); err != nil {
			t.Fatal(err)
		}
	}
	r.wantState(Ready)
	if n := len(r.session().db.Blocks()); n == 0 || n > 12 {
		t.Errorf("%d blocks, want a few", n)
	}
	if got := r.values("count_over_time(g[10m])", "job"); got["anole"] != "40" {
		t.Errorf("samples of the last ten minutes = %v, want 40", got)
	}
	if got := r.values("count_over_time(g[10m] offset 1h)", "job"); len(got) != 0 {
		t.Errorf("an hour ago there are still %v", got)
	}
	entries, err := os.ReadDir(r.opt.Dir)
	if err != nil || len(entries) > 20 {
		t.Errorf("%d entries in the directory, %v", len(entries), err)
	}
}
