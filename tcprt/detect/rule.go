package detect

import "math/bits"

// Rule makes an anomaly of deviations that follow each other. Either half may be
// off (zero).
//
// The sum is Page's: what each window is over Drift is added, at most Cap of it, and
// what it is under is taken away, as much at most; from Sum on it is an anomaly, until the sum is back
// at nothing. With Cap a single window can never be one: Sum/(Cap-Drift) of them in
// a row are needed at least, and more where they are less far out.
//
// The run is K of the last N windows over Over; it ends when none of them is.
type Rule struct {
	Drift, Cap, Sum float64
	K, N            int
	Over            float64
}

// DefaultRule is what simulation found for levels: three windows of 3.5 standard
// deviations and more, or five of 2.5.
func DefaultRule() Rule { return Rule{Drift: 1.5, Cap: 3.5, Sum: 5} }

// CauchyRule is for deviations of a Cauchy model: three in a row beyond one in 17.
func CauchyRule() Rule { return Rule{K: 3, N: 3, Over: 1.55} }

// RateRule is for logarithms of likelihoods.
func RateRule() Rule { return Rule{Cap: 4, Sum: 10} }

// run is where a Rule is.
type run struct {
	Sum       float64
	Bits      uint64 // of the last windows: which were over
	Anomalous bool
}

// step takes a window's deviation. An anomaly begins only where it may.
func (r *run) step(rule *Rule, z float64, may bool) {
	r.Sum = min(max(0, r.Sum+min(max(z, -rule.Cap), rule.Cap)-rule.Drift), 1.5*rule.Sum)
	r.Bits <<= 1
	if rule.N > 0 && z > rule.Over {
		r.Bits |= 1
	}
	r.Bits &= 1<<rule.N - 1
	if r.Anomalous {
		r.Anomalous = r.Sum > 0 || r.Bits != 0
		return
	}
	over := rule.Sum > 0 && r.Sum >= rule.Sum || rule.K > 0 && bits.OnesCount64(r.Bits) >= rule.K
	r.Anomalous = over && may
}

// suspect says whether what was seen last may well be the beginning of an
// anomaly, or one, so that nothing should be learnt from it.
func (r *run) suspect(rule *Rule) bool {
	return r.Anomalous || rule.Sum > 0 && r.Sum > rule.Sum/2 || rule.K > 0 && bits.OnesCount64(r.Bits) > rule.K/2
}

// raised says whether it may be at all.
func (r *run) raised(rule *Rule) bool {
	return r.Anomalous || rule.Sum > 0 && r.Sum > rule.Sum/4 || r.Bits != 0
}
