package qos

import (
	"fmt"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/dialect"
	"github.com/anole-os/anole/workload"
)

// verdict is what a policy gives one workload.
type verdict struct {
	class class.Class
	rule  string // in the words of people
	mode  BurstMode
	lane  bool
	// refused are the labels and annotations that were not followed.
	refused []dialect.Refusal
}

// judge gives what follows for a workload from the rule that matched, nil if
// none did, and from its labels, for a workload of which anole qos run was asked
// for the burst asked.
func (p *Policy) judge(r *compiledRule, w *workload.Workload, consents []consent, asked BurstMode) verdict {
	v := verdict{class: class.None, rule: "no rule matches", mode: BurstOff}
	if r != nil {
		v.class, v.rule = r.Class, r.name
	}
	if (r == nil || !r.own) && p.Tenants.Labels != "off" {
		wish := v.heed(w, p.Tenants.highest(w, consents))
		if !asked.Set {
			asked = wish
		}
	}
	if v.class.Sensitive() {
		v.mode, v.lane = p.LS.Burst, p.LS.RTLane.Enabled
	}
	if asked.Set {
		v.mode = asked
	}
	if r == nil {
		return v
	}
	if r.Burst.Set {
		v.mode = r.Burst
	}
	if r.RTLane != nil {
		v.lane = *r.RTLane && v.class.Sensitive()
	}
	return v
}

// heed changes the verdict as far as a workload's labels may, and gives the
// burst that they ask for.
func (v *verdict) heed(w *workload.Workload, highest class.Class) (wish BurstMode) {
	ask := dialect.Read(w.Labels, w.Annotations)
	c, by, refused := ask.Resolve(v.class, highest)
	v.refused = ask.Refusals
	if refused != nil {
		v.refused = append(v.refused, *refused)
	}
	if by.Key != "" {
		v.rule = fmt.Sprintf("%s; without it %s by %s", origin(w, by), v.class, v.rule)
		v.class = c
	}
	if !ask.Burst.Set {
		return BurstMode{}
	}
	if !v.class.Sensitive() && !ask.Burst.Off() {
		v.refused = append(v.refused, dialect.Refusal{
			Key: ask.BurstBy.Key, Value: ask.Burst.String(), Reason: dialect.NoEffect, Text: "only LS, LSR and LSE have a bank",
		})
		return BurstMode{}
	}
	return ask.Burst
}

// origin says where a word stands and who told of it.
func origin(w *workload.Workload, by dialect.Word) string {
	what, from := "label", w.Source
	if by.Annotation {
		what = "annotation"
	}
	if w.Told != nil {
		if from = w.Told.LabelFrom(by.Key); by.Annotation {
			from = w.Told.AnnotationFrom(by.Key)
		}
	}
	return fmt.Sprintf("%s %s=%s from %s", what, by.Key, by.Value, from)
}

// highest gives the class that a workload may ask for.
func (t *TenantPolicy) highest(w *workload.Workload, consents []consent) class.Class {
	for _, c := range consents {
		if c.m.Match(w, nil) {
			return c.highest
		}
	}
	return t.Highest
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
