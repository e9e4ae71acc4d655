package store

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/anole-os/anole/internal/testkit"
)

// TestFootprint runs three hours of 2,000 series at 5 s, fast. Run it alone: the
// numbers are those of the whole test process.
func TestFootprint(t *testing.T) {
	testkit.Select(t, "slow")
	t.Logf("at start: %s", memory(t))
	r := newRig(t, func(o *Options) {
		if dir := os.Getenv("ANOLE_STORE_DIR"); dir != "" {
			o.Dir = dir
		}
	})
	g := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "usage_cores", Help: "."}, []string{"namespace", "pod", "container"})
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "lat_seconds", Help: ".", Buckets: prometheus.ExponentialBuckets(1e-6, 2, 25)}, []string{"class"})
	r.reg.MustRegister(g, h)
	set := func(n int) {
		for i := range 1384 {
			g.WithLabelValues(fmt.Sprintf("ns-%d", i%7), fmt.Sprintf("pod-of-some-length-%d", i), "main").Set(float64(n*(i%17)) / 7)
		}
		for i := range 22 {
			h.WithLabelValues(fmt.Sprint("class-", i)).Observe(float64(n%50) / 1e4)
		}
	}
	start := time.Now()
	const steps = 3 * 720
	for n := range steps {
		set(n)
		r.steps(1)
		if n%12 == 0 {
			if err := r.session().housekeep(); err != nil {
				t.Fatal(err)
			}
		}
	}
	series := r.session().db.Head().NumSeries()
	t.Logf("%d series, %s per gather and append, %d blocks, %d KiB on disk", series,
		time.Since(start)/steps, len(r.session().db.Blocks()), r.session().bytes()>>10)
	t.Logf("after 3 h: %s", memory(t))
	for range 20 {
		r.get("query_range", "query", "sum by (namespace) (rate(usage_cores[1m]))",
			"start", fmt.Sprint(r.clock.Now().Add(-time.Hour).Unix()), "end", fmt.Sprint(r.clock.Now().Unix()), "step", "15")
	}
	t.Logf("after 20 queries: %s", memory(t))
	runtime.GC()
	t.Logf("after a collection: %s", memory(t))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	start = time.Now()
	again := newRig(t, func(o *Options) { o.Dir = r.opt.Dir })
	again.clock.now = r.clock.Now()
	again.steps(1)
	again.wantState(Ready)
	t.Logf("reopened in %s", time.Since(start))
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if heap := m.HeapAlloc >> 20; heap > 40 {
		t.Errorf("heap of %d MiB with two heads in memory", heap)
	}
}

// memory reads the process's resident set and the Go heap.
func memory(t *testing.T) string {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	out := fmt.Sprintf("heap %.1f MiB (sys %.1f)", float64(m.HeapAlloc)/(1<<20), float64(m.HeapSys-m.HeapReleased)/(1<<20))
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if w := strings.Fields(sc.Text()); len(w) > 1 && (w[0] == "VmRSS:" || w[0] == "VmHWM:" || w[0] == "RssAnon:" || w[0] == "RssFile:") {
			kib, _ := strconv.Atoi(w[1])
			out += fmt.Sprintf(", %s %.1f MiB", strings.TrimSuffix(w[0], ":"), float64(kib)/1024)
		}
	}
	return out
}
