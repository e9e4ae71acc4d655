package detect

import "github.com/anole-os/anole/tcprt"

// Signal is what is watched of a service.
type Signal uint8

// The signals. The first are quantiles of times, those from Failures on are ratios.
const (
	TotalP50 Signal = iota
	TotalP90
	TotalP99
	UploadP90
	QueueP90
	ProcessingP90
	SendP90
	DeliveryP90
	RTT         // median of the smoothed round trips
	Failures    // requests that were aborted, or answered with an error, of all
	Retransmits // segments sent again, of all sent
	Signals     // how many there are
)

// levels is how many of the signals are quantiles.
const levels = int(Failures)

// String is its name in metrics.
func (s Signal) String() string {
	return [...]string{
		"total_p50", "total_p90", "total_p99", "upload_p90", "queue_p90", "server_p90", "send_p90", "deliver_p90", "rtt_p50", "failures",
		"retransmits", "none",
	}[min(s, Signals)]
}

// Ratio says whether the signal's values are ratios; else they are seconds.
func (s Signal) Ratio() bool { return s >= Failures }

// quantile is the share that a level's value is not over, and how many requests
// it takes to know it.
func (s Signal) quantile() (q float64, need uint64) {
	switch s {
	case TotalP50, RTT:
		return 0.5, 10
	case TotalP99:
		return 0.99, 100
	}
	return 0.9, 20
}

// of gives the times that a level is a quantile of.
func (s Signal) of(t *tcprt.Totals) *tcprt.Histogram {
	switch s {
	case UploadP90, QueueP90, ProcessingP90, SendP90, DeliveryP90:
		return &t.Phases[tcprt.Upload+tcprt.Phase(s-UploadP90)]
	case RTT:
		return &t.RTT
	}
	return &t.Phases[tcprt.Phases]
}

// segment is what a segment carries where the path does not tell.
const segment = 1448

// count gives a ratio's two counts; errors are answers that tell of one.
func (s Signal) count(t *tcprt.Totals, errors uint64) (k, n uint64) {
	if s == Failures {
		n = t.Requests
		return min(n, t.Failed()+errors), n
	}
	// Bytes are what is counted: of an answer's segments the last one is half full,
	// and there is one at least.
	n = max(t.Requests, t.AnswerBytes/segment+t.Requests/2)
	return min(n, t.Retransmits), n
}

// Set is signals, as bits.
type Set uint16

// Has says whether it has one.
func (s Set) Has(x Signal) bool { return s>>x&1 != 0 }

// Each calls f for those it has, in their order.
func (s Set) Each(f func(Signal)) {
	for x := range Signals {
		if s.Has(x) {
			f(x)
		}
	}
}
