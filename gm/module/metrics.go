package module

import (
	"strings"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/rng"
	"github.com/anole-os/anole/gm/selftest"
)

// descs lists all metrics of the room.
var descs []*core.Desc

func desc(kind core.Kind, name, help string, labels ...string) *core.Desc {
	d := &core.Desc{Name: "anole_gm_" + name, Help: help, Kind: kind, Labels: labels}
	descs = append(descs, d)
	return d
}

// Metrics implements core.Describer.
func (m *Module) Metrics() []*core.Desc { return descs }

var (
	implInfo       = desc(core.Gauge, "impl_info", "The implementation that was chosen for the processor; always 1.", "alg", "impl")
	selftestStatus = desc(core.Gauge, "selftest_status", "What the self-tests came to: 1 passed, 0 failed, -1 not run.")
	rngUp          = desc(core.Gauge, "rng_up", "Whether the random bit generator gives any: 0 in its error state.")
	rngFailures    = desc(core.Counter, "rng_health_failures_total", "Failures of the source of entropy, by the test: repetition, proportion, or source for an error of it.", "test")
	rngReseeds     = desc(core.Counter, "rng_reseeds_total", "Times that a generator was seeded anew.")
	rngBytes       = desc(core.Counter, "rng_bytes_total", "Random bytes given.")
	policyMode     = desc(core.Gauge, "policy_info", "The mode of the policy in force; always 1.", "mode")
	policyDenied   = desc(core.Counter, "policy_denied_total", "What the policy denied in the agent.", "op", "alg")

	imaUp       = desc(core.Gauge, "ima_enforcer_up", "Whether labels are enforced, where gm.ima.enforce asks for it.")
	imaRestarts = desc(core.Counter, "ima_enforcer_restarts_total", "Times that the process that enforces labels ended by itself.")
	imaEvents   = desc(core.Counter, "ima_events_total", "Starts of programs, and openings, that the kernel asked about.")
	imaHits     = desc(core.Counter, "ima_cache_hits_total", "Of those, answered without reading the file.")
	imaVerified = desc(core.Counter, "ima_verified_total", "Files whose label was checked, by the result: good or bad.", "result")
	imaAnswers  = desc(core.Counter, "ima_refused_total", "What had no good label, by what was done: denied, told (mode log) or excepted (gm.ima.enforce.allow).", "action")
	imaTimeouts = desc(core.Counter, "ima_timeouts_total", "Answers that were due before the file was read.")
	imaErrors   = desc(core.Counter, "ima_errors_total", "Errors of the kernel's questions.")
)

// Collect implements core.Collector.
func (m *Module) Collect(emit func(core.Metric)) {
	value := func(d *core.Desc, v float64, labels ...string) { emit(core.Metric{Desc: d, Values: labels, Value: v}) }
	for _, i := range implementations() {
		value(implInfo, 1, strings.ToLower(i.Algorithm), i.Implementation)
	}
	value(selftestStatus, map[selftest.State]float64{selftest.Passed: 1, selftest.Untested: -1}[selftest.Last().State])
	value(rngUp, truth(rng.Reader.Err() == nil))
	g := rng.Reader.Stats()
	value(rngFailures, float64(g.Repetition), "repetition")
	value(rngFailures, float64(g.Proportion), "proportion")
	value(rngFailures, float64(g.Source), "source")
	value(rngReseeds, float64(g.Reseeds))
	value(rngBytes, float64(g.Bytes))
	value(policyMode, 1, string(policy.Default.Policy().Config().Mode))
	for _, d := range policy.Default.Denials() {
		value(policyDenied, float64(d.Count), string(d.Op), string(d.Alg))
	}
	m.mu.Lock()
	guard := m.guard
	m.mu.Unlock()
	if guard == nil {
		return
	}
	s := guard.state()
	value(imaUp, truth(s.Running))
	value(imaRestarts, float64(s.Restarts))
	value(imaEvents, float64(s.Stats.Events))
	value(imaHits, float64(s.Stats.CacheHits))
	value(imaVerified, float64(s.Stats.Verified), "good")
	value(imaVerified, float64(s.Stats.Rejected), "bad")
	value(imaAnswers, float64(s.Stats.Denied), "denied")
	value(imaAnswers, float64(s.Stats.Told), "told")
	value(imaAnswers, float64(s.Stats.Excepted), "excepted")
	value(imaTimeouts, float64(s.Stats.Timeouts))
	value(imaErrors, float64(s.Stats.Errors))
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
