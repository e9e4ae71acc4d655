package tcprt

import "time"

// Totals are what is counted of a service's requests: by the kernel for all of
// them, whether a record is told of each or not, or by Add from records.
type Totals struct {
	Requests        uint64 // of any end
	AbortedRequests uint64
	AbortedAnswers  uint64
	OneWay          uint64 // that wanted no answer
	Overlaps        uint64
	Piggybacks      uint64
	RequestBytes    uint64
	AnswerBytes     uint64
	Retransmits     uint64 // segments, those outside of requests too
	OutOfOrder      uint64
	ZeroWindows     uint64
	Opened, Closed  uint64 // connections
	Unconnected     uint64 // of the closed, those of a client that never came to be
	// See Record.
	Busy, WindowLimited, BufferLimited time.Duration
	// Phases are those of complete requests, and at [Phases] all together. A phase
	// that was not measured is not counted, so that a Queue of none is told from one
	// of no time.
	Phases [Phases + 1]Histogram
	RTT    Histogram // of requests whose acknowledgement came at once, see Record.RoundTrip
}

// Add counts a record.
func (t *Totals) Add(r *Record) {
	t.Requests++
	t.RequestBytes += uint64(r.RequestBytes)
	t.AnswerBytes += uint64(r.AnswerBytes)
	t.Retransmits += uint64(r.Retransmits)
	t.OutOfOrder += uint64(r.OutOfOrder)
	t.ZeroWindows += uint64(r.ZeroWindows)
	t.Busy += r.Busy
	t.WindowLimited += r.WindowLimited
	t.BufferLimited += r.BufferLimited
	if r.Flags&Overlap != 0 {
		t.Overlaps++
	}
	if r.Flags&Piggyback != 0 {
		t.Piggybacks++
	}
	if d := r.RoundTrip(); d > 0 {
		t.RTT.Add(d)
	}
	switch {
	case r.Flags&AbortedRequest != 0:
		t.AbortedRequests++
		return
	case r.Flags&AbortedAnswer != 0:
		t.AbortedAnswers++
		return
	case r.Flags&OneWay != 0:
		t.OneWay++
		return
	}
	t.Phases[Upload].Add(r.Phase(Upload))
	if r.Read != 0 {
		t.Phases[Queue].Add(r.Phase(Queue))
	}
	t.Phases[Processing].Add(r.Phase(Processing))
	if r.Last != 0 && r.Role == Server {
		t.Phases[Send].Add(r.Phase(Send))
	}
	t.Phases[Delivery].Add(r.Phase(Delivery))
	t.Phases[Phases].Add(r.Total())
}

// counters lists the plain ones, so that Merge and Sub miss none.
func (t *Totals) counters() [14]*uint64 {
	return [...]*uint64{
		&t.Requests, &t.AbortedRequests, &t.AbortedAnswers, &t.OneWay, &t.Overlaps, &t.Piggybacks, &t.RequestBytes, &t.AnswerBytes,
		&t.Retransmits, &t.OutOfOrder, &t.ZeroWindows, &t.Opened, &t.Closed, &t.Unconnected,
	}
}

// Failed is how many were aborted: an answer was waited for and did not arrive as a
// whole.
func (t *Totals) Failed() uint64 { return t.AbortedRequests + t.AbortedAnswers }

// Complete is how many were answered as a whole.
func (t *Totals) Complete() uint64 { return t.Requests - min(t.Requests, t.Failed()+t.OneWay) }

// Merge adds all of another.
func (t *Totals) Merge(o *Totals) {
	mine, theirs := t.counters(), o.counters()
	for i := range mine {
		*mine[i] += *theirs[i]
	}
	t.Busy += o.Busy
	t.WindowLimited += o.WindowLimited
	t.BufferLimited += o.BufferLimited
	for i := range t.Phases {
		t.Phases[i].Merge(&o.Phases[i])
	}
	t.RTT.Merge(&o.RTT)
}

// Sub takes an earlier state of the same totals away, so that what came since is
// left.
func (t *Totals) Sub(before *Totals) {
	mine, theirs := t.counters(), before.counters()
	for i := range mine {
		*mine[i] -= *theirs[i]
	}
	t.Busy -= before.Busy
	t.WindowLimited -= before.WindowLimited
	t.BufferLimited -= before.BufferLimited
	for i := range t.Phases {
		t.Phases[i].Sub(&before.Phases[i])
	}
	t.RTT.Sub(&before.RTT)
}

// Window is what a service did in a span of time.
type Window struct {
	Service Service
	Start   time.Time
	Length  time.Duration
	Totals
}
