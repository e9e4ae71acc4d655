package detect

import (
	"time"

	"github.com/anole-os/anole/tcprt"
)

// Score is what a detector says of a window.
type Score struct {
	// Judged says that there were enough requests, and enough windows before it.
	// The rest but Anomalous is 0 otherwise.
	Judged bool
	// Anomalous is the state after the window; it lasts over windows that are not
	// judged.
	Anomalous bool
	// Adopted says that an anomaly ended because it is the new normal.
	Adopted bool
	// Z is how far out the value is: standard deviations of the model, 0 where the
	// effect is too small to matter.
	Z float64
	// Now and Baseline are seconds or ratios: see Signal.Ratio.
	Now, Baseline float64
	// Requests, or segments, that the judgement is of.
	Requests uint64
}

// Detector watches one signal of one service. Windows come in their order; a
// detector does not keep the pointer.
type Detector interface {
	Observe(w *tcprt.Window) Score
}

// Options of detectors. Those that are zero have defaults.
type Options struct {
	// Warm is how many windows are only learnt from at first: 60.
	Warm int
	// Ratio and Least are the least effect that matters: the value over the
	// baseline, and their difference. 1.3 and 500 µs; 1.5 of what the network has to
	// do with and of the 99th percentile; 1.25 of round trips, which vary little. Of
	// ratios 3, and 1 % of failures, 0.8 % of retransmits.
	Ratio, Least float64
	// Rule says how many windows make an anomaly: see DefaultRule.
	Rule Rule
	// Span is how long windows of few requests are merged; what came by then is
	// forgotten if it is still too little. One minute.
	Span time.Duration
	// Every is which window is learnt from, so that the baseline, which is of 120,
	// is of some time: each 4th, once it is warm.
	Every int
	// Relearn is how long an anomaly lasts before it is the new normal: 30 minutes.
	Relearn time.Duration
	// Seasonal learns what each hour of the day is like, and takes what an hour was
	// like on earlier days for normal as well. Hours are of the windows' time zone.
	Seasonal bool
}

func (o Options) defaults(s Signal, r Rule) Options {
	ratio, least := 1.3, 500e-6
	switch s {
	case TotalP99, UploadP90, SendP90, DeliveryP90: // those that a burst of loss lengthens
		ratio = 1.5
	case RTT:
		ratio = 1.25
	case Failures:
		ratio, least = 3, 0.01
	case Retransmits:
		ratio, least = 3, 0.008
	}
	set(&o.Warm, 60)
	set(&o.Ratio, ratio)
	set(&o.Least, least)
	set(&o.Span, time.Minute)
	set(&o.Every, 4)
	set(&o.Relearn, 30*time.Minute)
	set(&o.Rule, r)
	o.Warm = min(o.Warm, kept)
	return o
}

// set gives an option that is zero its default.
func set[T comparable](v *T, to T) {
	var zero T
	if *v == zero {
		*v = to
	}
}
