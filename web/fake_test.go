package web

import (
	"compress/gzip"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// fakeAgent is a console with an API behind it that answers for a synthetic
// node. It can be made to go away and to have nothing to show.
type fakeAgent struct {
	*httptest.Server
	node  *fakeNode
	began time.Time
	gone  atomic.Bool // connections are cut
	empty atomic.Bool // no workloads, no decisions
	bare  atomic.Bool // nothing but CPU is isolated
	big   atomic.Bool // thousands of workloads, many disks and interfaces
	off   atomic.Bool // no history
}

func newFakeAgent(t testing.TB) *fakeAgent {
	a := &fakeAgent{node: fakeDay(), began: time.Now().Add(-3*time.Hour - 12*time.Minute)}
	mux := http.NewServeMux()
	mux.Handle("/", Handler([]Panel{
		{ID: "qos", Title: "QoS", Order: 10, FS: os.DirFS("../qos/module/panel")},
		{ID: "tcprt", Title: "Requests", Order: 20, FS: os.DirFS("../tcprt/module/panel")},
	}))
	mux.HandleFunc("GET /api/v1/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, a.status()) })
	mux.HandleFunc("GET /api/v1/features", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, map[string]any{"features": fakeFeatures}) })
	mux.HandleFunc("GET /api/v1/qos/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, a.qos()) })
	mux.HandleFunc("GET /api/v1/qos/explain", a.explain)
	mux.HandleFunc("GET /api/v1/workload/status", func(w http.ResponseWriter, _ *http.Request) { reply(w, 200, a.containers()) })
	a.tcprt(mux)
	a.node.prometheus(mux)
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a.gone.Load() {
			panic(http.ErrAbortHandler)
		}
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			mux.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip") // as the agent packs its answers
		z := gzip.NewWriter(w)
		defer z.Close()
		mux.ServeHTTP(packed{w, z}, r)
	}))
	t.Cleanup(a.Close)
	return a
}

// fakeDay is the node that all tests share; nothing writes to it.
var fakeDay = sync.OnceValue(func() *fakeNode { return newFakeNode(1, time.Now()) })

// packed is an answer whose body goes through gzip.
type packed struct {
	http.ResponseWriter
	z *gzip.Writer
}

func (p packed) Write(b []byte) (int, error) { return p.z.Write(b) }

type obj = map[string]any

func (a *fakeAgent) status() obj {
	problems := []string{}
	history := obj{"enabled": true, "state": "ready", "bytes": 38 << 20, "retention": "24h0m0s"}
	if a.off.Load() {
		history = obj{"enabled": true, "state": "off", "reason": "open /var/lib/anole/history: no space left on device"}
		problems = append(problems, "metrics history is off: open /var/lib/anole/history: no space left on device")
	}
	return obj{
		"version": "v0.1.0", "started": a.began.Format(time.RFC3339), "uptime_seconds": time.Since(a.began).Seconds(), "pid": 4127, "node": "edge-07", "state": "degraded", "problems": problems,
		"config":  obj{"file": "/etc/anole/anole.yaml", "generation": 3, "loaded": a.began.Add(2 * time.Hour).Format(time.RFC3339), "reloads": obj{"ok": 2}},
		"history": history,
		"modules": []obj{
			{"name": "qos", "state": "degraded", "summary": "10 workloads in 5 classes; BE capped; CPI not available"},
			{"name": "workload", "state": "running", "summary": "watching 41 cgroups, 2 rules"},
			{"name": "tcprt", "state": "unsupported", "summary": "needs kprobes or fentry, this kernel has neither"},
		},
	}
}

var fakeFeatures = []obj{
	{"room": "qos", "feature": "cpu.idle", "doc": "best-effort groups run only when nobody else wants the CPU", "answer": "yes", "detail": "/sys/fs/cgroup/cpu"},
	{"room": "qos", "feature": "cpu.cfs_burst_us", "doc": "a group banks unused quota", "answer": "yes", "detail": "burst ≤ quota"},
	{"room": "qos", "feature": "cpu.bvt_warp_ns", "doc": "group identity", "answer": "no", "reason": "no_kernel", "need": "an ANCK kernel", "fix": "Nothing to do: cpu.idle is used instead"},
	{"room": "qos", "feature": "run-queue tracer", "doc": "latency from ready to running, per class", "answer": "yes", "detail": "tp_btf sched_switch, sched_wakeup"},
	{"room": "qos", "feature": "cpi", "doc": "cycles per instruction, the sign of a noisy neighbour", "answer": "no", "reason": "no_hardware", "need": "a PMU visible to this machine", "fix": "On a virtual machine, ask the host for vPMU"},
	{"room": "qos", "feature": "psi", "doc": "pressure of CPU, memory and IO", "answer": "yes", "detail": "through a shadow cgroup2 tree"},
	{"room": "tcprt", "feature": "fentry", "doc": "hooks in the TCP stack", "answer": "no", "reason": "no_kernel", "need": "CONFIG_FUNCTION_TRACER", "fix": "Boot a kernel built with CONFIG_FUNCTION_TRACER=y"},
	{"room": "workload", "feature": "containerd", "doc": "classes from container labels", "answer": "could not tell", "detail": "dial /run/containerd/containerd.sock: permission denied"},
}

func (a *fakeAgent) qos() obj {
	now := time.Now()
	last := func(name string, kv ...string) float64 { return a.node.last(now, false, name, kv...) }
	out := obj{
		"time":         now.UnixMilli(),
		"node":         obj{"name": "edge-07", "kernel": "6.18.5", "cpus": 2, "cgroup": "v1", "busy_cores": last("anole_qos_node_cpu_used_cores"), "steal_cores": 0.0, "target": 0.97},
		"mechanisms":   fakeMechanisms,
		"io":           fakeDisks,
		"network":      fakeLinks,
		"be_cap_cores": last("anole_qos_be_cap_cores"), "be_cap_why": "node use",
		"classes": a.classes(now), "workloads": a.workloads(now), "decisions": a.decisions(""),
		"degraded": []obj{{"feature": "cpi", "reason": "no_hardware", "detail": "perf_event_open: cycles not supported"}},
	}
	out["node"].(obj)["memory"] = obj{"total_bytes": 16 << 30, "free_bytes": 1300 << 20, "available_bytes": 5 << 30, "target_free_bytes": 800 << 20}
	if a.bare.Load() {
		delete(out["node"].(obj), "memory")
		delete(out, "network")
		out["io"], out["mechanisms"] = []obj{}, fakeBare
	}
	if a.big.Load() {
		grow(out)
	}
	if a.empty.Load() {
		out["be_cap_cores"], out["classes"], out["workloads"], out["decisions"], out["degraded"] = nil, []obj{}, []obj{}, []obj{}, []obj{}
	}
	return out
}

func (a *fakeAgent) classes(now time.Time) []obj {
	var out []obj
	for _, c := range []struct {
		class    string
		p50, p99 float64
	}{{"LS", 17, 340}, {"LSR", 8, 140}, {"NONE", 900, 15000}, {"BE", 6000, 90000}, {"SYSTEM", 60, 1000}} {
		count := 0
		for _, l := range fakeLoads {
			if l.class == c.class {
				count++
			}
		}
		throttled := a.node.last(now, true, "anole_qos_cpu_throttled_periods_total", "class", c.class) / 10
		out = append(out, obj{"class": c.class, "workloads": count, "used_cores": a.node.last(now, true, "anole_qos_cpu_usage_seconds_total", "class", c.class),
			"throttled_ratio": throttled, "burst_cores": 0.01, "runq_p50_us": c.p50, "runq_p99_us": c.p99, "psi_cpu": 0.01})
	}
	return out
}

func (a *fakeAgent) workloads(now time.Time) []obj {
	var out []obj
	for i, l := range fakeLoads {
		w := obj{"id": l.id, "name": l.id, "class": l.class, "rule": "cgroup path /anole-" + l.class + "/**", "source": "tree", "cgroup": "/anole-" + l.class + "/" + l.id,
			"used_cores":  a.node.last(now, true, "anole_qos_workload_cpu_usage_seconds_total", "class", l.class, "workload", l.id),
			"limit_cores": nil, "throttled_ratio": 0.0, "burst": nil, "rt_threads": 0}
		if l.class == "LS" {
			w["limit_cores"], w["throttled_ratio"], w["source"], w["rule"] = 0.3*float64(3-i), 0.002*float64(i), "run", "anole qos run --class ls"
			w["burst"] = obj{"mode": "auto", "kernel": "period+burst", "period_us": 500000, "quota_us": 150000 * (3 - i), "burst_us": 150000, "credits": i}
		}
		if l.class == "BE" {
			w["throttled_ratio"], w["cap_cores"] = 0.31, 0.4
		}
		if !a.bare.Load() {
			a.resources(w, now)
		}
		out = append(out, w)
	}
	return out
}

// decisions are a few hours of the controller's writes, newest first.
func (a *fakeAgent) decisions(of string) []obj {
	var out []obj
	t := time.Now().Truncate(20 * time.Second)
	for i := range 120 {
		l := fakeLoads[i%len(fakeLoads)]
		d := obj{"time": t.UnixMilli(), "controller": "suppress", "workload": l.id, "file": "/sys/fs/cgroup/cpu/anole-be/" + l.id + "/cpu.cfs_quota_us",
			"old": "145000", "new": "120000", "why": "LS run-queue p99 2.1 ms > 1 ms", "result": "ok"}
		switch i % 5 {
		case 1:
			d["controller"], d["file"], d["old"], d["new"], d["why"] = "burst", "/sys/fs/cgroup/cpu/anole-ls/"+l.id+"/cpu.cfs_burst_us", "0", "150000", "observed p99.9 demand 290 ms wants a bucket of 300 ms"
		case 2:
			d["old"], d["new"], d["why"] = "120000", "124000", "quiet for 2 s: giving back 4 ms"
		case 3:
			d["controller"], d["file"], d["old"], d["new"], d["why"] = "priority", "/sys/fs/cgroup/cpu/anole-be/"+l.id+"/cpu.idle", "0", "1", "class BE"
		}
		if i == 9 {
			d["result"] = "gone"
		}
		if i == 17 {
			d["result"] = "error: write cpu.idle: device or resource busy"
		}
		out = append(out, d)
		t = t.Add(-time.Duration(20+i*7%40) * time.Second)
	}
	return slices.DeleteFunc(out, func(d obj) bool { return of != "" && d["workload"] != of })
}

func (a *fakeAgent) explain(w http.ResponseWriter, r *http.Request) {
	id := r.FormValue("id")
	for _, l := range a.workloads(time.Now()) {
		if l["id"] != id {
			continue
		}
		dir := "/sys/fs/cgroup/cpu" + l["cgroup"].(string)
		reply(w, 200, obj{"workload": l, "decisions": a.decisions(id), "files": []obj{
			{"file": dir + "/cpu.cfs_period_us", "original": "100000", "current": "500000", "wanted": "500000", "controller": "burst", "why": "bucket of 300 ms needs a longer period"},
			{"file": dir + "/cpu.cfs_quota_us", "original": "30000", "current": "150000", "wanted": "150000", "controller": "burst", "why": "the same 0.3 cores over 500 ms"},
			{"file": dir + "/cpu.shares", "original": "1024", "current": "1024", "wanted": "262144", "controller": "priority", "why": "class " + l["class"].(string)},
		}})
		return
	}
	reply(w, 404, obj{"error": obj{"code": "Not Found", "message": "no workload " + id}})
}
