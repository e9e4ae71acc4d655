package dialect

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/anole-os/anole/qos/burst"
)

// MaxBurst bounds the bank that a tenant may ask for: what Koordinator's
// greatest cpuBurstPercent makes of a limit of one CPU.
const MaxBurst = 10 * time.Second

// burst reads the burst that is asked for; anole's own word goes first.
func (r *reader) burst() {
	for _, w := range r.words(Burst, maxWord) {
		m, err := burst.ParseMode(w.Value)
		switch {
		case err != nil:
			r.refuse(w, Malformed, "want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota of 100ms such as 200%%")
		case m.Budget > MaxBurst:
			r.refuse(w, Malformed, "want at most %v", MaxBurst)
		default:
			r.wish(w, m)
		}
	}
	for _, w := range r.words(KoordinatorBurst, maxJSON) {
		if m, ok := r.koordinatorBurst(w); ok {
			r.wish(w, m)
		}
	}
}

// wish takes the first of several wishes.
func (r *reader) wish(w Word, m burst.Mode) {
	switch {
	case !r.ask.Burst.Set:
		r.ask.Burst, r.ask.BurstBy = m, w
	case r.ask.Burst != m:
		r.refuse(w, Contradict, "%s=%s counts", r.ask.BurstBy.Key, show(r.ask.BurstBy.Value))
	}
}

// koordinatorBurst reads Koordinator's CPUBurstConfig. cpuBurstOnly with a
// percentage is a bank of that part of a quota; the policies that have the
// agent raise the quota itself are auto here, where the bank is learned and the
// long-run limit stays.
func (r *reader) koordinatorBurst(w Word) (burst.Mode, bool) {
	var c struct {
		Policy      string `json:"policy"`
		Percent     *int64 `json:"cpuBurstPercent"`
		Scale       *int64 `json:"cfsQuotaBurstPercent"`
		ScalePeriod *int64 `json:"cfsQuotaBurstPeriodSeconds"`
	}
	if err := json.Unmarshal([]byte(w.Value), &c); err != nil || !strings.HasPrefix(strings.TrimSpace(w.Value), "{") {
		r.refuse(w, Malformed, "no JSON of Koordinator's CPUBurstConfig")
		return burst.Mode{}, false
	}
	between := func(name string, v *int64, low, high int64) bool {
		if v == nil || *v >= low && *v <= high {
			return true
		}
		r.refuse(w, Malformed, "%s is not between %d and %d", name, low, high)
		return false
	}
	const most = 1 << 31
	if !between("cpuBurstPercent", c.Percent, 0, burst.MaxPercent) || !between("cfsQuotaBurstPercent", c.Scale, 100, most) ||
		!between("cfsQuotaBurstPeriodSeconds", c.ScalePeriod, -1, most) {
		return burst.Mode{}, false
	}
	switch c.Policy {
	case "none":
		return burst.ModeOff, true
	case "auto", "cfsQuotaBurstOnly":
		return burst.ModeAuto, true
	case "cpuBurstOnly", "": // without a policy the node's own, and the percentage alone is the pod's
		switch {
		case c.Percent == nil && c.Policy == "":
			return burst.Mode{}, false
		case c.Percent == nil:
			return burst.ModeAuto, true
		case *c.Percent == 0:
			return burst.ModeOff, true
		}
		return burst.Mode{Set: true, Percent: int(*c.Percent)}, true
	}
	r.refuse(w, Unknown, "policy is none of none auto cpuBurstOnly cfsQuotaBurstOnly")
	return burst.Mode{}, false
}
