package blame

import (
	"math"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// sure is how many standard errors a mean must have grown by; less where nothing
// grew by that much, for then there are few requests.
var sure = [...]float64{3, 1.5, 0.5}

// excess fills in the time more of each phase, in seconds, and of all of them.
func (x *trial) excess() {
	for _, errs := range sure {
		for p := range tcprt.Phases {
			x.more[p] = longer(&x.Now.Phases[p], &x.usual.Phases[p], errs)
			x.all += x.more[p]
		}
		if x.all > 0 {
			break
		}
	}
	for p := range tcprt.Phases {
		x.v.Excess[p] = seconds(x.more[p])
	}
	x.v.Excess[tcprt.Phases] = seconds(x.all)
}

// longer gives by how much a mean grew, or nothing if that is not more than so many
// standard errors.
func longer(now, usual *tcprt.Histogram, errs float64) float64 {
	mean, err := moments(now)
	before, errBefore := moments(usual)
	if more := mean - before; more > errs*math.Hypot(err, errBefore) {
		return more
	}
	return 0
}

// moments gives a mean and its standard error. One request more than there were
// keeps the error of a few from being nothing.
func moments(h *tcprt.Histogram) (mean, err float64) {
	var n, sum, squares float64
	for i, c := range h.Counts {
		if c == 0 {
			continue
		}
		t := middle(i)
		n, sum, squares = n+float64(c), sum+t*float64(c), squares+t*t*float64(c)
	}
	if n == 0 {
		return 0, 0
	}
	mean = sum / n
	variance := max(0, squares/n-mean*mean)
	return h.Mean().Seconds(), math.Sqrt(variance / n * (n + 1) / n)
}

// middle is a time in the middle of a bucket, in seconds.
func middle(bucket int) float64 {
	switch bucket {
	case 0:
		return tcprt.UpperBound(0) / 2
	case tcprt.Buckets - 1:
		return tcprt.UpperBound(bucket - 1)
	}
	return tcprt.UpperBound(bucket) * math.Exp2(-0.125)
}

func seconds(s float64) time.Duration { return time.Duration(s * 1e9) }

// grown says how much more a ratio of counts is, as a ratio, if that is neither
// chance nor little.
func grown(k, n, k0, n0 uint64, least float64) (now, usual float64, ok bool) {
	if n == 0 {
		return 0, 0, false
	}
	now, usual = float64(k)/float64(n), float64(k0)/float64(max(1, n0))
	mean := (float64(k0) + 0.5) / float64(n0+1000) * float64(n)
	z := (float64(k) - mean) / math.Sqrt(mean+1)
	return now, usual, z > 3 && now >= least && now >= 2*usual
}

// each gives a sum per request, in seconds.
func each(sum time.Duration, t *tcprt.Totals) float64 {
	if t.Requests == 0 {
		return 0
	}
	return sum.Seconds() / float64(t.Requests)
}

// sent and received estimate the segments of answers and of requests: the last of
// each is half full, and there is one at least.
func sent(t *tcprt.Totals) uint64     { return max(t.Requests, t.AnswerBytes/1448+t.Requests/2) }
func received(t *tcprt.Totals) uint64 { return max(t.Requests, t.RequestBytes/1448+t.Requests/2) }
