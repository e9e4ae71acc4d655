package detect

import (
	"math"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// memory is over how many windows a rate is learnt, and sure how many requests it
// is of at least before anything is judged by it.
const (
	memory = 600
	sure   = 500
)

// Rate is a Detector of counts out of counts. Its sum is of logarithms of the
// likelihood that the rate is the least one that matters rather than the learnt
// one, so that many requests in one window and few in many count the same.
type Rate struct {
	signal Signal
	o      Options
	s      rateState
}

// rateState is what is saved.
type rateState struct {
	Run  run
	Base counts // of quiet windows, the older the less
	Held counts // of windows since the sum left nothing
	Seen bool   // that some of them were an anomaly
	// Spread is how much more the counts vary than a binomial distribution's.
	Spread float64
	RunK   uint64 // counts since the sum left nothing
	RunN   uint64
	Since  int64
}

// counts are of some windows.
type counts struct{ K, N, Windows float64 }

// NewRate gives a detector of failures or retransmits.
func NewRate(s Signal, o Options) *Rate { return &Rate{signal: s, o: o.defaults(s, RateRule())} }

// Observe implements Detector.
func (r *Rate) Observe(w *tcprt.Window) Score { return r.ObserveErrors(w, 0) }

// ObserveErrors is Observe with requests that were answered, but with an error.
func (r *Rate) ObserveErrors(w *tcprt.Window, errors uint64) Score {
	k, n := r.signal.count(&w.Totals, errors)
	if n == 0 {
		return Score{Anomalous: r.s.Run.Anomalous}
	}
	if r.s.Base.Windows < float64(r.o.Warm) || r.s.Base.N < sure {
		r.learn(counts{float64(k), float64(n), 1})
		return Score{}
	}
	return r.judge(w.Start.UnixNano(), k, n)
}

func (r *Rate) judge(at int64, k, n uint64) Score {
	p := r.usual()
	s := Score{Judged: true, Now: float64(k) / float64(n), Baseline: p, Requests: n}
	r.s.RunK, r.s.RunN = r.s.RunK+k, r.s.RunN+n
	r.s.Run.step(&r.o.Rule, r.likelihood(k, n, p), r.matters(p))
	if r.matters(p) {
		s.Z = quantile(binomialTail(k, n, p)) / math.Sqrt(r.s.Spread)
	}
	if r.s.Run.Sum == 0 {
		r.s.RunK, r.s.RunN = 0, 0
	}
	if r.s.Held.Windows < short {
		r.vary(k, n, p)
	}
	r.hold(counts{float64(k), float64(n), 1})
	s.Adopted = r.relearn(at)
	s.Anomalous = r.s.Run.Anomalous
	return s
}

// usual is the learnt rate: not less than what so many requests can show.
func (r *Rate) usual() float64 {
	return max((r.s.Base.K+0.5)/(r.s.Base.N+1), 1e-4)
}

// likelihood is the logarithm of that of a rate that matters, over that of the
// usual one.
func (r *Rate) likelihood(k, n uint64, p float64) float64 {
	high := min(max(2*r.o.Least, r.o.Ratio*p), (1+p)/2)
	l := float64(k)*math.Log(high/p) + float64(n-k)*(math.Log1p(-high)-math.Log1p(-p))
	return l / r.s.Spread
}

// matters says whether the rate since the sum left nothing is enough of an effect:
// of three at least, for one or two are what happens.
func (r *Rate) matters(p float64) bool {
	now := float64(r.s.RunK) / float64(r.s.RunN)
	return now >= r.o.Least && now >= r.o.Ratio*p && r.s.RunK >= 3
}

// patience is how many windows may be held that are no anomaly.
const patience = 120

// hold keeps a window's counts until the sum is back at nothing. They are learnt
// then, but for those of an anomaly that was not short. Failures that are few must
// not be held for good, or the rate would be learnt without them.
func (r *Rate) hold(c counts) {
	h := &r.s.Held
	h.K, h.N, h.Windows = h.K+c.K, h.N+c.N, h.Windows+1
	r.s.Seen = r.s.Seen || r.s.Run.Anomalous
	if r.s.Run.Sum > 0 && (r.s.Seen || h.Windows < patience) {
		return
	}
	if !r.s.Seen || h.Windows <= short {
		r.learn(*h)
	}
	*h, r.s.Seen = counts{}, false
}

// learn takes quiet windows into the baseline.
func (r *Rate) learn(c counts) {
	keep := math.Pow(1-1.0/memory, c.Windows)
	b := &r.s.Base
	b.K, b.N, b.Windows = b.K*keep+c.K, b.N*keep+c.N, b.Windows*keep+c.Windows
	r.s.Spread = max(1, r.s.Spread)
}

// vary learns how much the counts do: also of what is suspect, for bursts are, but
// little of each.
func (r *Rate) vary(k, n uint64, p float64) {
	mean := float64(n) * p
	d := float64(k) - mean
	r.s.Spread += (min(d*d/(mean*(1-p)), 50) - r.s.Spread) / memory
	r.s.Spread = min(max(1, r.s.Spread), 10)
}

// relearn makes what lasted the new normal.
func (r *Rate) relearn(at int64) bool {
	if !r.s.Run.Anomalous {
		r.s.Since = 0
		return false
	}
	if r.s.Since == 0 {
		r.s.Since = at
	}
	if time.Duration(at-r.s.Since) < r.o.Relearn {
		return false
	}
	r.s = rateState{}
	return true
}
