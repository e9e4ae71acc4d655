package api

import (
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
)

// NewRegistry makes the agent's metrics: those of its modules, of itself, and,
// if runtime, of the Go runtime and the process.
func NewRegistry(a Agent, version string, runtime bool, log *slog.Logger) *prometheus.Registry {
	r := prometheus.NewRegistry()
	if runtime {
		r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	r.MustRegister(&collector{agent: a, version: version, log: log, seen: map[string]bool{}})
	return r
}

// Families of the agent itself.
var (
	descBuild = &core.Desc{Name: "anole_build_info", Kind: core.Gauge, Labels: []string{"version"},
		Help: "Always 1; the version of the agent."}
	descState = &core.Desc{Name: "anole_module_state", Kind: core.Gauge, Labels: []string{"module", "state"},
		Help: "1 for the state that the module is in, 0 for the others."}
	descFeature = &core.Desc{Name: "anole_feature_supported", Kind: core.Gauge, Labels: []string{"room", "feature", "reason"},
		Help: "1 if the node has the feature, 0 if not or if that could not be told, with the reason."}
	descReloads = &core.Desc{Name: "anole_config_reloads_total", Kind: core.Counter, Labels: []string{"result"},
		Help: "Configuration reloads by result."}
	descGeneration = &core.Desc{Name: "anole_config_generation", Kind: core.Gauge,
		Help: "Generation of the configuration in force."}
	descReady = &core.Desc{Name: "anole_ready_seconds", Kind: core.Gauge,
		Help: "Time from exec to ready."}
	descRefused = &core.Desc{Name: "anole_metrics_refused_total", Kind: core.Counter,
		Help: "Samples of modules that were dropped because they break the rules for metrics; the log names them."}
)

// collector turns core's metrics into Prometheus' ones at each scrape.
type collector struct {
	agent   Agent
	version string
	log     *slog.Logger
	descs   sync.Map // *core.Desc → *family

	mu      sync.Mutex
	refused float64
	seen    map[string]bool // families complained about
}

type family struct {
	desc *prometheus.Desc
	err  error
}

// Describe says nothing: modules, and so families, come and go with reloads.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	emit := func(m core.Metric) {
		pm, err := c.convert(m)
		if err != nil {
			c.refuse(m, err)
			return
		}
		ch <- pm
	}
	c.own(emit)
	c.agent.Collect(emit)
	c.mu.Lock()
	refused := c.refused
	c.mu.Unlock()
	emit(core.Metric{Desc: descRefused, Value: refused})
}

func (c *collector) own(emit func(core.Metric)) {
	st := c.agent.Status()
	emit(core.Metric{Desc: descBuild, Values: []string{c.version}, Value: 1})
	emit(core.Metric{Desc: descGeneration, Value: float64(st.Config.Generation)})
	emit(core.Metric{Desc: descReady, Value: st.ReadyIn})
	for _, r := range []string{"ok", "unchanged", "error"} {
		emit(core.Metric{Desc: descReloads, Values: []string{r}, Value: float64(st.Config.Reloads[r])})
	}
	for _, m := range st.Modules {
		for _, s := range []core.State{core.Running, core.Degraded, core.Unsupported, core.Stopped, core.Failed} {
			emit(core.Metric{Desc: descState, Values: []string{m.Name, string(s)}, Value: boolValue(s == m.State)})
		}
	}
	for _, f := range c.agent.Probed() {
		reason := string(f.Reason)
		if f.Answer == feature.Unknown {
			reason = "could_not_tell"
		}
		emit(core.Metric{Desc: descFeature, Values: []string{f.Room, f.Feature, reason}, Value: boolValue(f.Answer == feature.Yes)})
	}
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func (c *collector) refuse(m core.Metric, err error) {
	name := "?"
	if m.Desc != nil {
		name = m.Desc.Name
	}
	c.mu.Lock()
	c.refused++
	known := c.seen[name]
	c.seen[name] = true
	c.mu.Unlock()
	if !known {
		c.log.Warn("metric refused", "metric", name, "error", err)
	}
}

func (c *collector) convert(m core.Metric) (prometheus.Metric, error) {
	if m.Desc == nil {
		return nil, fmt.Errorf("a sample without a Desc")
	}
	f := c.family(m.Desc)
	if f.err != nil {
		return nil, f.err
	}
	values := make([]string, len(m.Values))
	for i, v := range m.Values {
		values[i] = strings.ToValidUTF8(v, "\uFFFD")
	}
	switch m.Desc.Kind {
	case core.Histogram:
		return histogram(f.desc, m.Hist, values)
	case core.Counter:
		return prometheus.NewConstMetric(f.desc, prometheus.CounterValue, m.Value, values...)
	default:
		return prometheus.NewConstMetric(f.desc, prometheus.GaugeValue, m.Value, values...)
	}
}

func histogram(desc *prometheus.Desc, h *core.Hist, values []string) (prometheus.Metric, error) {
	if h == nil || len(h.Bounds) != len(h.Counts) {
		return nil, fmt.Errorf("a histogram with as many counts as bounds is needed")
	}
	if !slices.IsSorted(h.Bounds) || !slices.IsSorted(h.Counts) {
		return nil, fmt.Errorf("bounds and cumulative counts must not fall")
	}
	buckets := make(map[float64]uint64, len(h.Bounds))
	for i, b := range h.Bounds {
		buckets[b] = h.Counts[i]
	}
	m, err := prometheus.NewConstHistogram(desc, h.Count, h.Sum, buckets, values...)
	if err != nil || h.Native == nil && len(h.Exemplars) == 0 {
		return m, err
	}
	return &rich{m, h}, nil
}

func (c *collector) family(d *core.Desc) *family {
	if f, ok := c.descs.Load(d); ok {
		return f.(*family)
	}
	f := &family{err: lint(d)}
	if f.err == nil {
		f.desc = prometheus.NewDesc(d.Name, d.Help, d.Labels, nil)
	}
	actual, _ := c.descs.LoadOrStore(d, f)
	return actual.(*family)
}

var (
	metricName = regexp.MustCompile(`^anole(_[a-z0-9]+)+$`)
	labelName  = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// lint holds a family to the house's rules, which are Prometheus' own naming
// rules with the prefix anole_.
func lint(d *core.Desc) error {
	switch total := strings.HasSuffix(d.Name, "_total"); {
	case !metricName.MatchString(d.Name):
		return fmt.Errorf("the name %q is not of the form anole_<room>_<thing>_<unit>", d.Name)
	case d.Help == "":
		return fmt.Errorf("%s has no help", d.Name)
	case d.Kind == core.Counter && !total:
		return fmt.Errorf("the counter %s does not end in _total", d.Name)
	case d.Kind != core.Counter && total:
		return fmt.Errorf("%s ends in _total and is not a counter", d.Name)
	}
	for _, l := range d.Labels {
		if !labelName.MatchString(l) || l == "le" || l == "quantile" {
			return fmt.Errorf("%s has the bad label %q", d.Name, l)
		}
	}
	return nil
}
