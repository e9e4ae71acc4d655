package sim

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/anole-os/anole/tcprt"
)

const (
	mss    = 1448
	flight = 10 // segments of a first flight, RFC 6928
	rto    = 200 * time.Millisecond
	jiffy  = 4 * time.Millisecond
)

// request makes one up: its record, and how long the server waited for what it
// asked for itself.
type request struct {
	*Spec
	*rand.Rand
	faulty bool
	shift  float64 // of the logarithm of the server's time
	loss   float64

	upload, queue, processing, send, delivery, down, rtt time.Duration
	r                                                    tcprt.Record
}

func (q *request) lognormal(median time.Duration, sigma float64) time.Duration {
	return time.Duration(float64(median) * math.Exp(sigma*q.NormFloat64()))
}

func (q *request) uniform(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(q.Float64()*float64(hi-lo))
}

func (q *request) exponential(mean time.Duration) time.Duration {
	return time.Duration(q.ExpFloat64() * float64(mean))
}

// make fills in r.
func (q *request) make() {
	client := q.IntN(64)
	q.rtt = q.lognormal(time.Duration(float64(q.RTT)*(0.7+float64(client)/100)), 0.1)
	least := time.Duration(float64(q.RTT) * (0.6 + float64(client)/100))
	if q.faulty && q.Fault == LongPath {
		q.rtt += q.uniform(9500*time.Microsecond, 10500*time.Microsecond)
		if client%2 == 0 { // a connection remembers its least round trip for minutes
			least += 10 * time.Millisecond
		}
	}
	q.r = tcprt.Record{
		Role: tcprt.Server, Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), q.Service.Port),
		Remote:       netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(client % 8), byte(client)}), uint16(40000+client)),
		RequestBytes: uint32(q.lognormal(time.Duration(q.Request), 0.2)), AnswerBytes: uint32(q.lognormal(time.Duration(q.Answer), 0.4)) + 1,
		RTT: q.rtt, MinRTT: least, MSS: mss, Number: uint32(q.IntN(1000)),
	}
	if q.Fault != Nagle {
		q.r.Flags |= tcprt.NoDelay
	}
	q.quiet()
	if q.faulty {
		q.disturb()
	}
	q.lose()
	q.finish()
}

// quiet has each phase as it is with nothing wrong.
func (q *request) quiet() {
	up, answer := segments(q.r.RequestBytes), segments(q.r.AnswerBytes)
	q.upload = time.Duration(flights(up)-1)*q.rtt + time.Duration(up-1)*10*time.Microsecond
	q.queue = q.lognormal(30*time.Microsecond, 0.7)
	q.down = q.lognormal(q.Processing/4, 0.4)
	q.processing = time.Duration(float64(q.lognormal(q.Processing, q.Sigma))*math.Exp(q.shift)) + q.down
	q.send = time.Duration(flights(answer)-1)*q.rtt + time.Duration(answer-1)*5*time.Microsecond
	q.delivery = q.rtt + q.uniform(0, 50*time.Microsecond)
}

func segments(bytes uint32) int { return int(bytes+mss-1) / mss }

// flights is how many round trips slow start takes.
func flights(segments int) int {
	n := 1
	for room := flight; segments > room; n++ {
		room += flight << n
	}
	return n
}

// disturb adds the fault.
func (q *request) disturb() {
	hit := q.Float64() < q.Share
	if q.Fault == ServerDelay {
		q.processing += 2 * (q.processing - q.down)
	}
	if !hit {
		return
	}
	const ms = time.Millisecond
	switch q.Fault {
	case SlowReader:
		stall := q.uniform(100*ms, 500*ms)
		q.r.ZeroWindows, q.r.WindowLimited = uint32(1+q.IntN(4)), stall-q.uniform(0, 20*ms)
		q.r.Flags |= tcprt.ZeroWindow
		q.send += stall
	case SendBuffer:
		stall := q.uniform(20*ms, 100*ms)
		q.r.BufferLimited = stall - q.uniform(0, 10*ms)
		q.send += stall
	case Nagle:
		q.send += 40*ms + q.uniform(0, 4*ms)
		q.r.RTT += q.uniform(10*ms, 40*ms) // what waits for the acknowledgement is measured, too
	case Drip:
		q.upload += time.Duration(3+q.IntN(6)) * q.uniform(10*ms, 50*ms)
	case Downstream:
		more := q.lognormal(20*ms, 0.3)
		q.down, q.processing = q.down+more, q.processing+more
	default:
		q.stall()
	}
}

// stall adds the faults of the node.
func (q *request) stall() {
	const ms = time.Millisecond
	some := q.Float64()
	switch q.Fault {
	case Throttled: // until the next period of 100 ms
		stall := q.uniform(5*ms, 70*ms)
		q.queue, q.processing = q.queue+time.Duration(some*float64(stall)), q.processing+time.Duration((1-some)*float64(stall))
	case SocketQueue:
		q.queue += q.exponential(20 * ms)
	case Contention:
		q.queue, q.processing = q.queue+q.exponential(8*ms), q.processing+q.exponential(15*ms)
	case MemoryStall, DiskStall:
		q.processing += q.exponential(40 * ms)
	case Cuts:
		if some < 0.25 {
			q.r.Flags |= tcprt.AbortedRequest
		}
	}
}

// lose has segments of either way sent again.
func (q *request) lose() {
	for i, n := 0, segments(q.r.AnswerBytes); i < n; i++ {
		if q.Float64() >= q.loss {
			continue
		}
		q.r.Retransmits++
		switch {
		case n-i > 3: // three later ones tell of it
			q.send += q.rtt
		case q.Float64() < 0.7: // a probe does, RFC 8985
			q.delivery += 2*q.rtt + 2*time.Millisecond
		default:
			q.delivery += max(rto, 2*q.rtt)
		}
	}
	for range segments(q.r.RequestBytes) - 1 {
		if q.Float64() < q.loss {
			q.r.OutOfOrder++
			q.upload += q.rtt
		}
	}
	if q.Float64() < q.Failures {
		q.r.Flags |= tcprt.AbortedAnswer
	}
}

// finish puts the phases one behind the other.
func (q *request) finish() {
	r := &q.r
	r.T0 = time.Hour
	r.T1 = r.T0 + q.upload
	r.Read = r.T1 + q.queue
	r.T2 = r.Read + q.processing
	r.Last = r.T2 + q.send
	r.T3 = r.Last + q.delivery
	if r.AnswerBytes < 3*mss && r.Retransmits == 0 && q.Float64() < 0.3 {
		r.Flags |= tcprt.Piggyback
		r.T3 += q.uniform(0, 40*time.Millisecond)
	}
	r.End = r.T3
	if q.Lite {
		r.Read, r.Last = 0, 0
	}
	busy := q.send + q.delivery
	r.Busy = busy / jiffy * jiffy
	if q.Float64() < float64(busy%jiffy)/float64(jiffy) {
		r.Busy += jiffy
	}
}
