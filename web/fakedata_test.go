package web

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// fakeStep is the resolution of the agent's history.
const fakeStep = 5 * time.Second

// fakeSeries is one series on the history's grid; NaN is a missing sample.
type fakeSeries struct {
	labels labels.Labels
	values []float64
}

// fakeNode is a day, and a while ahead, of a two-core node under load: a
// latency-sensitive service with a daily wave and spikes, batch work that takes
// the rest under a moving cap, and a window in which the agent was down. It is
// the same for the same seed but for where the day begins.
type fakeNode struct {
	start  time.Time
	series map[string]*fakeSeries
	order  []string
	steps  int
}

const (
	fakeCPUs = 2.0
	fakePast = 24 * time.Hour
	fakeNext = 2 * time.Hour
)

// fakeLoads are the workloads, by class, with each one's share of the class.
// One carries markup in its name, as a hostile tenant would.
var fakeLoads = []struct {
	id, class string
	share     float64
}{
	{"web", "LS", 0.62}, {"checkout", "LS", 0.28}, {xssName, "LS", 0.10},
	{"rt-audio", "LSR", 1},
	{"encode-0", "BE", 0.45}, {"encode-1", "BE", 0.35}, {"reindex", "BE", 0.20},
	{"cron", "NONE", 0.7}, {"backup", "NONE", 0.3},
	{"system.slice", "SYSTEM", 1},
}

const xssName = `<img src=x onerror="window.pwned=1">`

func newFakeNode(seed uint64, now time.Time) *fakeNode {
	n := &fakeNode{start: now.Add(-fakePast).Truncate(fakeStep), series: map[string]*fakeSeries{}}
	n.steps = int((fakePast + fakeNext) / fakeStep)
	rnd := rand.New(rand.NewPCG(seed, 7))
	gapFrom := n.steps - int((fakeNext+9*time.Minute)/fakeStep)
	gapTo := gapFrom + int(70*time.Second/fakeStep)
	burst := 0.0
	for i := range n.steps {
		t := float64(i) * fakeStep.Seconds()
		if rnd.Float64() < 0.03 {
			burst = 0.35 + 0.3*rnd.Float64()
		}
		burst *= 0.82
		n.step(i, t, burst, rnd, i >= gapFrom && i < gapTo)
	}
	return n
}

// step simulates one moment: how much each class used, waited and was held.
func (n *fakeNode) step(i int, t, burst float64, rnd *rand.Rand, gap bool) {
	wave := math.Sin(t/5400) + 0.4*math.Sin(t/411)
	use := map[string]float64{
		"LS":     math.Max(0.05, 0.46+0.12*wave+0.1*math.Sin(t/61)+burst+0.03*rnd.NormFloat64()),
		"LSR":    0.06 + 0.01*rnd.Float64(),
		"NONE":   0.10 + 0.05*math.Sin(t/97) + 0.02*rnd.Float64(),
		"SYSTEM": 0.05 + 0.01*rnd.Float64(),
	}
	rest := use["LS"] + use["LSR"] + use["NONE"] + use["SYSTEM"]
	beCap := math.Max(0.1, fakeCPUs*0.97-rest-0.08)
	use["BE"] = math.Max(0, math.Min(beCap, 1.15+0.35*math.Sin(t/130)+0.05*rnd.NormFloat64()))
	used := math.Min(fakeCPUs, rest+use["BE"])

	n.gauge(i, gap, fakeCPUs, "anole_qos_node_cpu_capacity_cores")
	n.gauge(i, gap, used, "anole_qos_node_cpu_used_cores")
	n.gauge(i, gap, 0.02*rnd.Float64(), "anole_qos_node_cpu_steal_cores")
	n.gauge(i, gap, beCap, "anole_qos_be_cap_cores")
	dt := fakeStep.Seconds()
	for _, c := range []string{"LS", "LSR", "NONE", "BE", "SYSTEM"} {
		n.class(i, gap, c, use[c], burst, rnd)
	}
	for _, l := range fakeLoads {
		n.count(i, gap, use[l.class]*l.share*dt, "anole_qos_workload_cpu_usage_seconds_total", "class", l.class, "workload", l.id)
	}
	n.count(i, gap, 0.05+2*burst*rnd.Float64(), "anole_qos_knob_writes_total", "knob", "cpu.cfs_quota_us", "result", "ok")
	n.count(i, gap, 0.01, "anole_qos_knob_writes_total", "knob", "cpu.cfs_burst_us", "result", "ok")
	n.resources(i, gap, burst, rnd)
}

// resources simulates memory, disks and network.
func (n *fakeNode) resources(i int, gap bool, burst float64, rnd *rand.Rand) {
	const mib, gib = 1 << 20, 1 << 30
	wave := math.Sin(float64(i) / 300)
	for kind, v := range map[string]float64{"total": 16 * gib, "free": (1.3 + 0.3*wave) * gib, "available": (5 + wave) * gib, "target": 0.8 * gib} {
		n.gauge(i, gap, v, "anole_qos_node_memory_bytes", "kind", kind)
	}
	for class, v := range map[string]float64{"LS": 4 * gib, "LSR": gib, "NONE": gib / 2, "BE": (5 - wave) * gib, "SYSTEM": gib / 4} {
		n.gauge(i, gap, v, "anole_qos_memory_used_bytes", "class", class)
	}
	n.gauge(i, gap, (5.6-wave)*gib, "anole_qos_memory_bound_bytes", "class", "BE")
	n.count(i, gap, 40*rnd.Float64(), "anole_qos_memory_major_faults_total", "class", "BE")
	n.count(i, gap, 0, "anole_qos_memory_major_faults_total", "class", "LS")
	n.count(i, gap, 30*burst*mib, "anole_qos_memory_reclaimed_bytes_total", "mechanism", "memory.limit_in_bytes")
	n.count(i, gap, 0, "anole_qos_memory_evictions_total")
	for class, part := range map[string]float64{"LS": 12, "BE": 90} {
		for _, direction := range []string{"read", "write"} {
			n.count(i, gap, part*mib*5*(1+0.3*wave), "anole_qos_io_bytes_total", "class", class, "direction", direction)
		}
	}
	n.gauge(i, gap, 0.7+burst, "anole_qos_io_ls_latency_ratio", "disk", "nvme0n1")
	for class, part := range map[string]float64{"LS": 40, "BE": 210, "REST": 3} {
		for _, direction := range []string{"out", "in"} {
			n.count(i, gap, part*mib*5*(1+0.2*wave), "anole_qos_net_bytes_total", "class", class, "direction", direction)
			n.count(i, gap, math.Max(0, part-100)*rnd.Float64(), "anole_qos_net_dropped_packets_total", "class", class, "direction", direction)
		}
	}
}

func (n *fakeNode) class(i int, gap bool, class string, use, burst float64, rnd *rand.Rand) {
	dt := fakeStep.Seconds()
	wait := map[string]float64{"LS": 18e-6, "LSR": 8e-6, "NONE": 900e-6, "BE": 6e-3, "SYSTEM": 60e-6}[class]
	throttled := map[string]float64{"LS": 0.002 + 0.02*burst, "BE": 0.3 + 0.3*burst}[class]
	stall := map[string]float64{"LS": 0.004, "LSR": 0.001, "NONE": 0.03, "BE": 0.35, "SYSTEM": 0.002}[class]
	n.count(i, gap, use*dt, "anole_qos_cpu_usage_seconds_total", "class", class)
	n.count(i, gap, 10*dt, "anole_qos_cpu_periods_total", "class", class)
	n.count(i, gap, 10*dt*throttled, "anole_qos_cpu_throttled_periods_total", "class", class)
	n.count(i, gap, 0.3*throttled*dt, "anole_qos_cpu_throttled_seconds_total", "class", class)
	if class == "LS" {
		n.count(i, gap, 0.12*burst*dt, "anole_qos_cpu_burst_seconds_total", "class", class)
		n.count(i, gap, 4*burst, "anole_qos_cpu_bursts_total", "class", class)
	}
	for _, r := range []struct {
		resource string
		share    float64
	}{{"cpu", 1}, {"memory", 0.02}, {"io", 0.1}} {
		some := stall * r.share * (1 + 0.2*rnd.NormFloat64()) * dt
		n.count(i, gap, math.Max(0, some), "anole_qos_pressure_stall_seconds_total", "class", class, "resource", r.resource, "kind", "some")
		n.count(i, gap, math.Max(0, some/3), "anole_qos_pressure_stall_seconds_total", "class", class, "resource", r.resource, "kind", "full")
	}
	n.latency(i, gap, class, wait*(1+1.5*burst)*math.Exp(0.12*rnd.NormFloat64()))
}

// fakeBounds are the buckets' bounds in seconds, powers of two from 1 µs.
func fakeBounds() (le []string, sec []float64) {
	names := []string{"1e-06", "2e-06", "4e-06", "8e-06", "1.6e-05", "3.2e-05", "6.4e-05", "0.000128", "0.000256", "0.000512",
		"0.001024", "0.002048", "0.004096", "0.008192", "0.016384", "0.032768", "0.065536", "0.131072"}
	for i := range names {
		sec = append(sec, 1e-6*math.Pow(2, float64(i)))
	}
	return append(names, "+Inf"), append(sec, math.Inf(1))
}

// latency counts 5,000 waits of a log-logistic spread around median seconds.
func (n *fakeNode) latency(i int, gap bool, class string, median float64) {
	const waits, shape = 5000, 1.6
	le, sec := fakeBounds()
	for k, bound := range sec {
		part := 1.0
		if !math.IsInf(bound, 1) {
			part = 1 / (1 + math.Pow(bound/median, -shape))
		}
		n.count(i, gap, waits*part, "anole_qos_runqueue_latency_seconds_bucket", "class", class, "le", le[k])
	}
}

func (n *fakeNode) gauge(i int, gap bool, v float64, name string, kv ...string) {
	if gap {
		v = math.NaN()
	}
	n.at(name, kv).values[i] = v
}

// count adds to a counter; the agent that was down comes back at zero.
func (n *fakeNode) count(i int, gap bool, more float64, name string, kv ...string) {
	s := n.at(name, kv)
	switch {
	case gap:
		s.values[i] = math.NaN()
	case i == 0 || math.IsNaN(s.values[i-1]):
		s.values[i] = more
	default:
		s.values[i] = s.values[i-1] + more
	}
}

func (n *fakeNode) at(name string, kv []string) *fakeSeries {
	key := name
	for _, s := range kv {
		key += "\x00" + s
	}
	s, ok := n.series[key]
	if !ok {
		s = &fakeSeries{labels: labels.FromStrings(append([]string{model.MetricNameLabel, name}, kv...)...), values: make([]float64, n.steps)}
		n.series[key] = s
		n.order = append(n.order, key)
	}
	return s
}

// last gives a gauge's value, or a counter's rate over a minute, at now.
func (n *fakeNode) last(now time.Time, rate bool, name string, kv ...string) float64 {
	i := min(n.steps-1, int(now.Sub(n.start)/fakeStep))
	v := n.at(name, kv).values
	if rate {
		return (v[i] - v[i-12]) / 60
	}
	return v[i]
}
