package blame

import (
	"fmt"
	"time"

	"github.com/anole-os/anole/tcprt"
)

const (
	ms = time.Millisecond
	// small is up to how many bytes an answer is a few writes, of which the last
	// one is no full segment.
	small = 16 << 10
	near  = 15 * ms // a path that is no excuse for 40 ms
	slow  = 20 * ms // what wants an explanation
)

// delayed says whether a time is that of a delayed acknowledgement: 40 ms at
// first, 200 ms at most, and what a busy node adds.
func delayed(d time.Duration) bool { return d >= 35*ms && d <= 60*ms || d >= 195*ms && d <= 225*ms }

// nagle looks for requests that waited for a delayed acknowledgement. Where segments
// are lost nothing is told by times: what is sent again takes 200 ms, too.
func (x *trial) nagle() {
	if _, _, lossy := x.lost(); lossy {
		return
	}
	x.waits(tcprt.Send, func(r *tcprt.Record) time.Duration {
		switch {
		case r.Flags&tcprt.NoDelay != 0 || r.AnswerBytes > small:
			return 0
		case r.Last == 0 && r.Flags&tcprt.Piggyback != 0:
			return 0
		case r.Last == 0: // not told apart
			return r.Phase(tcprt.Delivery)
		}
		return r.Phase(tcprt.Send)
	})
	// What the client has set is not known; that the time is always the same is told
	// by delayed.
	x.waits(tcprt.Upload, func(r *tcprt.Record) time.Duration {
		if r.RequestBytes > small {
			return 0
		}
		return r.Phase(tcprt.Upload)
	})
}

// idle says whether nothing else explains a record's time: neither loss nor room
// nor the path.
func idle(r *tcprt.Record, d time.Duration) bool {
	return r.Retransmits == 0 && r.OutOfOrder == 0 && r.ZeroWindows == 0 && r.WindowLimited+r.BufferLimited < d/2 && r.MinRTT > 0 && r.MinRTT < near && d > 2*r.MinRTT
}

// waits takes the time of a phase that was a delayed acknowledgement's in the
// samples, if most of those that were slow in it were that slow.
func (x *trial) waits(p tcprt.Phase, of func(*tcprt.Record) time.Duration) {
	var slows, waited int
	var sum, all time.Duration
	for i := range x.Samples {
		r := &x.Samples[i]
		all += r.Phase(p)
		if p == tcprt.Send {
			all += r.Phase(tcprt.Delivery)
		}
		if r.Phase(p) > slow || p == tcprt.Send && r.Phase(tcprt.Delivery) > slow {
			slows++
		}
		if d := of(r); delayed(d) && idle(r, d) {
			waited++
			sum += d
		}
	}
	if waited < 3 || waited*4 < slows*3 {
		return
	}
	share := float64(sum) / float64(all)
	took := x.take(p, NagleDelAck, share*x.more[p])
	if p == tcprt.Send {
		took += x.take(tcprt.Delivery, NagleDelAck, share*x.more[tcprt.Delivery])
	}
	if took > 0 {
		x.say(took, fmt.Sprintf("%d of %d samples waited for 40 ms (or 200 ms) in %s, with nothing lost and a round trip under %s: small writes and a delayed "+
			"acknowledgement; TCP_NODELAY, or one write, ends it", waited, len(x.Samples), phaseWords[p], words(near)))
	}
}
