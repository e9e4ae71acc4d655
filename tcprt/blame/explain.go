package blame

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/anole-os/anole/tcprt"
)

// trial is a Case while it is judged. Times are seconds per request.
type trial struct {
	*Case
	usual *tcprt.Totals
	more  [tcprt.Phases]float64 // what is still to be explained
	all   float64
	by    [Causes]float64 // what is
	said  []sentence
	pair  int // the one that Downstream is
	v     Verdict
}

// sentence is evidence with the time that it is for.
type sentence struct {
	weight float64
	text   string
}

// Explain judges a case. It keeps nothing of it.
func Explain(c *Case) Verdict {
	x := &trial{Case: c, usual: c.Baseline}
	if x.usual == nil {
		x.usual = new(tcprt.Totals)
	}
	x.excess()
	x.phases()
	if c.Service.Role == tcprt.Client {
		x.asClient()
	} else {
		x.nagle()
		x.network()
		x.node()
	}
	x.counts()
	x.finish()
	return x.v
}

// take puts some time of a phase on a cause, at most what is left of it, and says
// how much it was.
func (x *trial) take(p tcprt.Phase, c Cause, time float64) float64 {
	time = min(max(0, time), x.more[p])
	x.more[p] -= time
	x.by[c] += time
	return time
}

// say adds evidence for some time.
func (x *trial) say(weight float64, text string) { x.said = append(x.said, sentence{weight, text}) }

// little is what share of the usual time a request must take more for the phases
// to weigh more than counts that grew; more where many requests are cut off.
const little = 0.25

// counts has loss and aborted requests as causes of their own where there is not
// much time more to speak of.
func (x *trial) counts() {
	usual := x.usual.Phases[tcprt.Phases].Mean().Seconds()
	weight := max(x.all, little*usual, 1e-6)
	if now, before, ok := x.aborted(); ok {
		x.say(weight, fmt.Sprintf("%s of the requests were cut off, usually %s", percent(now), percent(before)))
		if x.all <= max(little, min(1, 5*now))*usual {
			x.by[Aborts] += 2 * weight
		}
	}
	if _, _, ok := x.lost(); ok && x.all <= little*usual {
		x.by[NetworkLoss] += weight
	}
}

func (x *trial) aborted() (now, usual float64, ok bool) {
	n, u := x.Now, x.usual
	return grown(n.Failed(), n.Requests, u.Failed(), u.Requests, 0.01)
}

// finish makes shares of times.
func (x *trial) finish() {
	for _, left := range x.more {
		x.by[Unknown] += left
	}
	sum := 0.0
	for _, t := range x.by {
		sum += t
	}
	if sum == 0 {
		x.by[Unknown], sum = 1, 1
	}
	for c, t := range x.by {
		x.v.Shares[c] = t / sum
	}
	x.v.Cause = x.v.Shares.Top()
	x.v.Component = x.component(x.v.Cause)
	n := float64(x.Now.Requests)
	x.v.Score = x.v.Shares[x.v.Cause] * n / (n + 10)
	slices.SortStableFunc(x.said, func(a, b sentence) int { return cmp.Compare(b.weight, a.weight) })
	for _, s := range x.said {
		x.v.Evidence = append(x.v.Evidence, s.text)
	}
}

func (x *trial) component(c Cause) string {
	switch c {
	case ClientUpload, ClientReceive:
		return "the clients of " + x.name()
	case NetworkLoss, NetworkRTT:
		return "the path to " + x.name()
	case Downstream:
		return x.Downstream[x.pair].Name
	case CPUThrottled, CPUContention, MemoryPressure, IOPressure:
		return "the node of " + x.name()
	case Unknown:
		return ""
	}
	return x.name()
}
