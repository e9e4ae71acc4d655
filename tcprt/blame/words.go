package blame

import (
	"fmt"
	"math"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// percent has two digits where that says more than none.
func percent(share float64) string {
	p := share * 100
	switch {
	case p == 0 || p >= 10:
		return fmt.Sprintf("%.0f %%", p)
	case p >= 0.01:
		return fmt.Sprintf("%.2g %%", p)
	}
	return "next to 0 %"
}

// words has a duration in two or three digits.
func words(d time.Duration) string {
	switch {
	case d >= time.Second:
		return fmt.Sprintf("%s s", digits(d.Seconds()))
	case d >= time.Millisecond:
		return fmt.Sprintf("%s ms", digits(d.Seconds()*1e3))
	}
	return fmt.Sprintf("%d µs", d.Microseconds())
}

func digits(x float64) string {
	if x >= 10 {
		return fmt.Sprintf("%.0f", math.Round(x))
	}
	return fmt.Sprintf("%.2g", x)
}

var phaseWords = [tcprt.Phases + 1]string{"the upload", "the queue in the socket", "the server's time", "sending the answer", "its delivery", "the whole request"}

// phases says what rose.
func (x *trial) phases() {
	for p, more := range x.more {
		if more == 0 {
			continue
		}
		now, usual := &x.Now.Phases[p], &x.usual.Phases[p]
		at, q := "median", 0.5
		if more > 2*float64((now.Quantile(0.5)-usual.Quantile(0.5)).Seconds()) {
			at, q = "p99", 0.99
		}
		what := phaseWords[p]
		if tcprt.Phase(p) == tcprt.Processing && x.Service.Role == tcprt.Server && x.Now.Phases[tcprt.Queue].Count() == 0 {
			what += " (with the queue in the socket, which was not measured)"
		}
		x.say(more*1.5, fmt.Sprintf("the %s of %s rose from %s to %s", at, what, words(usual.Quantile(q)), words(now.Quantile(q))))
	}
}
