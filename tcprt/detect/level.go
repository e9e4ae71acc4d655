package detect

import (
	"math"
	"time"

	"github.com/anole-os/anole/tcprt"
)

const (
	// least is under what times are all the same, so that nothing to do is not
	// infinitely less than little.
	least = 10e-6
	// grain is the least standard deviation of a logarithm: a window's quantile
	// comes from buckets 19 % wide.
	grain = 0.05
)

// short is how many windows there are to what is over at once. It is no anomaly to
// keep out of the baseline but a habit, as the hiccups of a collector of garbage.
const short = 12

// Level is a Detector of a quantile of times, on logarithms.
type Level struct {
	signal Signal
	cauchy bool
	o      Options
	q      float64
	need   uint64
	base   history
	s      levelState
}

// levelState is what is saved, with the ring.
type levelState struct {
	Run     run
	Typical float64 // requests of a judged window
	Since   int64   // anomalous since, in ns; 0 if it is not
	Season  season
	// Held is values of windows that were suspect: HeldCount of them, or more than
	// there is room for.
	Held      [short]float32
	HeldCount uint32
	// Pending is the times of windows that had too few, since Begin.
	Pending tcprt.Histogram
	Begin   int64
}

// NewRobust gives a detector that measures in standard deviations. The signal is
// one of times.
func NewRobust(s Signal, o Options) *Level { return newLevel(s, o.defaults(s, DefaultRule()), false) }

// NewCauchy gives a detector of TcpRT's model. The signal is one of times.
func NewCauchy(s Signal, o Options) *Level { return newLevel(s, o.defaults(s, CauchyRule()), true) }

func newLevel(s Signal, o Options, cauchy bool) *Level {
	l := &Level{signal: s, o: o, cauchy: cauchy}
	l.q, l.need = s.quantile()
	return l
}

// Observe implements Detector.
func (l *Level) Observe(w *tcprt.Window) Score {
	h := l.signal.of(&w.Totals)
	n := h.Count()
	at := w.Start.UnixNano()
	merged := n < l.need
	if merged || l.s.Begin != 0 {
		if h, n = l.merge(h, at); n < l.need {
			return Score{Anomalous: l.s.Run.Anomalous}
		}
		merged = true
	}
	now := h.Quantile(l.q).Seconds()
	if merged {
		l.s.Pending, l.s.Begin = tcprt.Histogram{}, 0
	}
	return l.judge(w.Start, now, n)
}

// merge adds a window to those that wait. What waited for too long goes first.
func (l *Level) merge(h *tcprt.Histogram, at int64) (*tcprt.Histogram, uint64) {
	p := &l.s.Pending
	if l.s.Begin != 0 && time.Duration(at-l.s.Begin) >= l.o.Span {
		*p, l.s.Begin = tcprt.Histogram{}, 0
	}
	if l.s.Begin == 0 {
		l.s.Begin = at
	}
	p.Merge(h)
	return p, p.Count()
}

func (l *Level) judge(at time.Time, now float64, n uint64) Score {
	x := math.Log(max(now, least))
	if l.o.Seasonal {
		l.s.Season.learn(at, x)
	}
	if int(l.base.Count) < l.o.Warm {
		l.learn(x, n)
		return Score{}
	}
	mid, scale := l.baseline(at, n)
	s := Score{Judged: true, Now: now, Baseline: math.Exp(mid), Requests: n}
	s.Z = l.deviation(x-mid, scale)
	if s.Z > 0 && (now < s.Baseline*l.o.Ratio || now-s.Baseline < l.o.Least) {
		s.Z = 0
	}
	l.s.Run.step(&l.o.Rule, s.Z, true)
	if l.s.Run.suspect(&l.o.Rule) {
		l.hold(x)
	} else {
		l.release(n)
		l.learn(x, n)
	}
	s.Adopted = l.relearn(at.UnixNano())
	s.Anomalous = l.s.Run.Anomalous
	return s
}

// baseline gives the model's place and width, on logarithms. A window of fewer
// requests than those it was learnt from varies more.
func (l *Level) baseline(at time.Time, n uint64) (mid, scale float64) {
	if l.cauchy {
		mid, scale = l.base.cauchy()
	} else {
		mid, scale = l.base.normal()
	}
	if l.o.Seasonal {
		if usual, ok := l.s.Season.usual(at); ok {
			mid = max(mid, usual)
		}
	}
	return mid, max(scale, grain) * math.Sqrt(max(1, l.s.Typical/float64(n)))
}

// deviation is in standard deviations of a normal distribution.
func (l *Level) deviation(over, scale float64) float64 {
	t := over / scale
	if !l.cauchy {
		return t
	}
	// The normal distribution's deviation of the same tail.
	return quantile(0.5 - math.Atan(t)/math.Pi)
}

// learn takes a quiet window into the baseline.
func (l *Level) learn(x float64, n uint64) {
	l.base.push(float32(x), l.o.Warm, l.o.Every)
	if l.s.Typical == 0 {
		l.s.Typical = float64(n)
	}
	l.s.Typical += (float64(n) - l.s.Typical) / kept
}

// hold keeps a value until it is known whether it was an anomaly.
func (l *Level) hold(x float64) {
	if l.s.HeldCount < short {
		l.s.Held[l.s.HeldCount] = float32(x)
	}
	l.s.HeldCount = min(l.s.HeldCount, short) + 1
}

// release learns what was held, if it was short.
func (l *Level) release(n uint64) {
	if l.s.HeldCount <= short {
		for _, x := range l.s.Held[:l.s.HeldCount] {
			l.learn(float64(x), n)
		}
	}
	l.s.HeldCount = 0
}

// relearn makes what lasted the new normal.
func (l *Level) relearn(at int64) bool {
	if !l.s.Run.Anomalous {
		l.s.Since = 0
		return false
	}
	if l.s.Since == 0 {
		l.s.Since = at
	}
	if time.Duration(at-l.s.Since) < l.o.Relearn {
		return false
	}
	l.base, l.s.Run, l.s.Since, l.s.Typical, l.s.HeldCount = history{}, run{}, 0, 0, 0
	return true
}
