package qos

import (
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/workload"
)

// verdict is what a policy gives one workload.
type verdict struct {
	class class.Class
	rule  string // in the words of people
	mode  BurstMode
	lane  bool
}

// judge gives what follows from the rule that matched, nil if none did, for a
// workload that itself asked for the burst asked.
func (p *Policy) judge(r *compiledRule, asked BurstMode) verdict {
	v := verdict{class: class.None, rule: "no rule matches", mode: BurstOff}
	if r == nil {
		return v
	}
	v.class, v.rule = r.Class, r.name
	if v.class.Sensitive() {
		v.mode, v.lane = p.LS.Burst, p.LS.RTLane.Enabled
	}
	if asked.Set {
		v.mode = asked
	}
	if r.Burst.Set {
		v.mode = r.Burst
	}
	if r.RTLane != nil {
		v.lane = *r.RTLane && v.class.Sensitive()
	}
	return v
}

// match finds the first rule for a workload; nil means that none matches. exes
// is as for workload.Matcher.Match.
func match(rules []compiledRule, w *workload.Workload, exes func() []string) *compiledRule {
	for i := range rules {
		if rules[i].m.Match(w, exes) {
			return &rules[i]
		}
	}
	return nil
}
