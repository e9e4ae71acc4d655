package control

import (
	"math"
	"time"
)

// OutlierOptions tunes an Outlier.
type OutlierOptions struct {
	Every  time.Duration // length of one sample
	Least  time.Duration // how long samples are only learned from
	Memory time.Duration // what is older hardly counts
	Window time.Duration // Hits outliers within it are an anomaly
	Hits   int
	Sigmas float64 // an outlier is that many standard deviations above the mean
	// Margin is the least distance of an outlier from the mean, as a share of
	// it: a very steady program has a deviation of next to nothing.
	Margin float64
	// MinUse is the CPU use in cores below which a sample says nothing.
	MinUse float64
}

// DefaultOutlier gives the figures of Zhang et al., CPI²: CPU performance
// isolation for shared compute clusters, EuroSys 2013: samples of 10 s, an
// outlier at the mean + 2σ, three of them within five minutes for an anomaly,
// none from tasks that use less than a quarter of a CPU. There the mean is that
// of all tasks of a job in a cluster over a day; here it is that of one
// workload, which is why five minutes of its own samples come before any
// verdict. Samples follow each other without the 50 s of pause that the paper
// has. The margin is ours.
func DefaultOutlier() OutlierOptions {
	return OutlierOptions{
		Every: 10 * time.Second, Least: 5 * time.Minute, Memory: 24 * time.Hour, Window: 5 * time.Minute,
		Hits: 3, Sigmas: 2, Margin: 0.05, MinUse: 0.25,
	}
}

// Outlier learns what is usual of a ratio, such as cycles per instruction, and
// says when it has become worse. It is a pure state machine.
type Outlier struct {
	o        OutlierOptions
	last     time.Time
	num, den float64 // of the sample that is being taken
	used     float64 // CPU seconds in it
	took     time.Duration

	n         int // samples learned from
	mean, vrn float64
	hits      []time.Time
	verdict   Verdict
}

// Verdict is what an Outlier makes of its last sample.
type Verdict struct {
	Value     float64 // the sample, NaN before the first
	Mean      float64 // what is usual
	Threshold float64 // above it a sample is an outlier; NaN while learning
	Outlier   bool
	// Anomalous says that there were enough outliers, this sample among them.
	Anomalous bool
}

// Factor is by how much the threshold is exceeded: above 1 only for an anomaly,
// NaN while nothing can be said.
func (v Verdict) Factor() float64 {
	switch f := v.Value / v.Threshold; {
	case math.IsNaN(f):
		return f
	case v.Anomalous:
		return f
	default:
		return min(f, 1)
	}
}

// NewOutlier makes an Outlier that knows nothing yet.
func NewOutlier(o OutlierOptions) *Outlier {
	return &Outlier{o: o, verdict: Verdict{Value: math.NaN(), Mean: math.NaN(), Threshold: math.NaN()}}
}

// SetOptions changes the tuning; what was learned stays.
func (x *Outlier) SetOptions(o OutlierOptions) { x.o = o }

// Step takes what was counted since the last step, the numerator and the
// denominator of the ratio, with the CPU use in cores meanwhile, and gives the
// verdict in force. What is missing is NaN and leaves the sample that is being
// taken as it is, as does a clock that stood still or jumped.
func (x *Outlier) Step(now time.Time, num, den, use float64) Verdict {
	dt := now.Sub(x.last)
	first := x.last.IsZero()
	x.last = now
	if first || dt <= 0 || dt > x.o.Every {
		x.hits = recent(x.hits, now, x.o.Window)
		return x.verdict
	}
	if bad(num, den, use) {
		return x.verdict
	}
	x.num, x.den, x.used, x.took = x.num+num, x.den+den, x.used+use*dt.Seconds(), x.took+dt
	if x.took < x.o.Every {
		return x.verdict
	}
	if x.den > 0 && x.num > 0 && x.used/x.took.Seconds() >= x.o.MinUse {
		x.judge(now, x.num/x.den)
	} else {
		// A workload that hardly runs is no victim.
		x.verdict.Outlier, x.verdict.Anomalous, x.verdict.Value = false, false, math.NaN()
	}
	x.num, x.den, x.used, x.took = 0, 0, 0, 0
	return x.verdict
}

// judge compares a sample with what is known and learns from it. An outlier
// counts no further than the threshold, so that one bad hour does not become
// what is usual, while a change that lasts does in the end.
func (x *Outlier) judge(now time.Time, value float64) {
	v := Verdict{Value: value, Mean: x.mean, Threshold: math.NaN()}
	if x.n > 0 && time.Duration(x.n)*x.o.Every >= x.o.Least {
		v.Threshold = x.mean + max(x.o.Sigmas*math.Sqrt(x.vrn), x.o.Margin*x.mean)
		v.Outlier = value > v.Threshold
	}
	x.hits = recent(x.hits, now, x.o.Window)
	if v.Outlier {
		x.hits = append(x.hits, now)
		v.Anomalous = len(x.hits) >= x.o.Hits
		value = v.Threshold
	}
	x.learn(value)
	x.verdict = v
}

// learn moves mean and variance, the oldest samples fading once there are more
// than Memory holds (West's incremental form, with a floor for the weight).
func (x *Outlier) learn(value float64) {
	x.n++
	w := 1 / float64(min(x.n, max(1, int(x.o.Memory/x.o.Every))))
	d := value - x.mean
	x.mean += w * d
	x.vrn = (1 - w) * (x.vrn + w*d*d)
}

// recent drops what is older than the window, and what is in the future of a
// clock that went back.
func recent(hits []time.Time, now time.Time, window time.Duration) []time.Time {
	kept := hits[:0]
	for _, h := range hits {
		if age := now.Sub(h); age >= 0 && age < window {
			kept = append(kept, h)
		}
	}
	return kept
}
