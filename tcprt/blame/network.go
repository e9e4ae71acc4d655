package blame

import (
	"fmt"

	"github.com/anole-os/anole/tcprt"
)

// network explains what the path and the clients do.
func (x *trial) network() {
	x.limits()
	x.path()
	if t := x.take(tcprt.Upload, ClientUpload, x.more[tcprt.Upload]); t > 0 {
		x.say(t, fmt.Sprintf("requests took %s longer to come in, with nothing lost on the way: their clients send them in parts", words(seconds(t))))
	}
}

// takeDown is take of the two phases of an answer's way.
func (x *trial) takeDown(c Cause, time float64) float64 {
	took := x.take(tcprt.Send, c, time)
	return took + x.take(tcprt.Delivery, c, time-took)
}

func (x *trial) down() float64 { return x.more[tcprt.Send] + x.more[tcprt.Delivery] }

// limits explains what the kernel's own count of what held it up does. That count
// is coarse, and begins with the first segment: most is all.
func (x *trial) limits() {
	const most = 0.5
	down := x.down()
	if down == 0 {
		return
	}
	window := each(x.Now.WindowLimited, x.Now) - each(x.usual.WindowLimited, x.usual)
	buffer := each(x.Now.BufferLimited, x.Now) - each(x.usual.BufferLimited, x.usual)
	zero, before, shut := grown(x.Now.ZeroWindows, x.Now.Requests, x.usual.ZeroWindows, x.usual.Requests, 0.01)
	if window > most*down || shut && window > most/2*down || shut && x.Now.WindowLimited == 0 {
		t := x.takeDown(ClientReceive, down)
		x.say(t, fmt.Sprintf("answers waited for %s each for room in the client's window (%.2g times each it was shut, usually %.2g): the client does not read",
			words(seconds(max(0, window))), zero, before))
		return
	}
	if t := x.takeDown(ClientReceive, window); t > 0 {
		x.say(t, fmt.Sprintf("answers waited for %s each for room in the client's window", words(seconds(t))))
	}
	if buffer > most*down {
		buffer = down
	}
	if t := x.takeDown(SendBuffer, buffer); t > 0 {
		x.say(t, fmt.Sprintf("answers waited for %s each for room in the send buffer: net.ipv4.tcp_wmem or SO_SNDBUF is small", words(seconds(t))))
	}
}

// retry is what a lost segment costs at most, in seconds, but for one that is lost
// again and again: TCP_RTO_MIN of include/net/tcp.h, and the path.
const retry = 0.5

// path explains what loss and longer round trips do. Each round trip more is that
// of as many as the phase had before.
func (x *trial) path() {
	longer, from, to := x.farther()
	now, usual, lossy := x.lost()
	costs := retry * float64(x.Now.Retransmits+x.Now.OutOfOrder) / float64(max(1, x.Now.Requests))
	for _, p := range [...]tcprt.Phase{tcprt.Upload, tcprt.Send, tcprt.Delivery} {
		left := x.more[p]
		if longer > 0 {
			trips := max(1, x.usual.Phases[p].Mean().Seconds()/max(from, 1e-6))
			part := 1.25 * longer * trips
			if !lossy && p != tcprt.Upload && part > left/2 {
				part = left
			}
			left -= x.take(p, NetworkRTT, part)
		}
		if lossy {
			x.take(p, NetworkLoss, min(left, costs))
		}
	}
	if t := x.by[NetworkRTT]; t > 0 {
		x.say(t, fmt.Sprintf("the median round trip rose from %s to %s", words(seconds(from)), words(seconds(to))))
	}
	if lossy {
		x.say(max(x.by[NetworkLoss], x.all/10), fmt.Sprintf("%s of the segments were sent again or came out of order, usually %s", percent(now), percent(usual)))
	}
}

// farther says by how much round trips are longer, if they are.
func (x *trial) farther() (longer, from, to float64) {
	if x.Now.RTT.Count() == 0 || x.by[NagleDelAck] > 0 { // what waits is measured too
		return 0, 0, 0
	}
	from, to = x.usual.RTT.Quantile(0.5).Seconds(), x.Now.RTT.Quantile(0.5).Seconds()
	if to-from < 0.2e-3 || to < 1.2*from {
		return 0, from, to
	}
	return to - from, from, to
}

// lost says whether segments of either way are, more than usual.
func (x *trial) lost() (now, usual float64, ok bool) {
	const least = 0.003
	n, u := x.Now, x.usual
	now, usual, ok = grown(n.Retransmits, sent(n), u.Retransmits, sent(u), least)
	if in, before, too := grown(n.OutOfOrder, received(n), u.OutOfOrder, received(u), least); too && (!ok || in > now) {
		return in, before, true
	}
	return now, usual, ok
}
