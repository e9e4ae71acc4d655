package control

import (
	"fmt"
	"time"
)

// Reason says why a cap is what it is. It is put into words only when somebody
// asks, as most steps of a controller are never looked at. The zero value is no
// reason.
type Reason struct {
	kind reason
	// What the words speak of; which is which hangs on the kind.
	a, b, c float64
	d, e    time.Duration
	text    string
	by      string
}

// IsZero says that there is no reason.
func (r Reason) IsZero() bool { return r == Reason{} }

type reason uint8

const (
	noReason reason = iota
	noSensitive
	suppressionOff
	suppressionOn
	othersUse // a of b CPUs, target c
	runQueue  // d above e
	pressure  // a above b
	throttled // a above b
	cpiAbove  // of text, a above b
	quoted    // text, of another Node

	slowRequests    // of text at d, usually e, by by
	requestsAsUsual // of text
	requestsLetGo   // of text after d
)

// String gives the words, "" for the zero value.
func (r Reason) String() string {
	switch r.kind {
	case quoted:
		return r.text
	case cpiAbove:
		return fmt.Sprintf("cycles per instruction of %s %.2f times the most that is usual > %.2f", r.text, r.a, r.b)
	case slowRequests:
		return fmt.Sprintf("requests of %s at p99 %s, usually %s (%s)", r.text, span(r.d), span(r.e), r.by)
	case requestsAsUsual:
		return fmt.Sprintf("requests of %s are as usual again", r.text)
	case requestsLetGo:
		return fmt.Sprintf("requests of %s stayed slow for %v at the least of best-effort work: let go", r.text, r.d)
	case noSensitive:
		return "no latency-sensitive workload on the node"
	case suppressionOff:
		return "suppression is off"
	case suppressionOn:
		return "suppression is on"
	case othersUse:
		return fmt.Sprintf("others use %.2f of %.0f CPUs, target %.0f %%", r.a, r.b, r.c*100)
	case runQueue:
		return fmt.Sprintf("LS run-queue p99 %v > %v", round(r.d), r.e)
	case pressure:
		return fmt.Sprintf("LS CPU pressure %.0f %% > %.0f %%", r.a*100, r.b*100)
	case throttled:
		return fmt.Sprintf("LS throttled in %.0f %% of periods > %.0f %%", r.a*100, r.b*100)
	}
	return ""
}

// span gives a time in two digits or three.
func span(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d >= time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d >= 10*time.Millisecond:
		return fmt.Sprintf("%.0f ms", 1e3*d.Seconds())
	case d >= time.Millisecond:
		return fmt.Sprintf("%.1f ms", 1e3*d.Seconds())
	}
	return fmt.Sprintf("%.0f µs", 1e6*d.Seconds())
}
