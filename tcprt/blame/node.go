package blame

import (
	"fmt"

	"github.com/anole-os/anole/tcprt"
)

// node explains the time between a request and its answer.
func (x *trial) node() {
	x.downstream()
	x.host()
	if t := x.take(tcprt.Queue, SocketQueue, x.more[tcprt.Queue]); t > 0 {
		x.say(t, fmt.Sprintf("requests lay in the socket for %s longer: the program does not come to read them", words(seconds(t))))
	}
	x.take(tcprt.Processing, Server, x.more[tcprt.Processing])
}

// downstream takes what the services that this one asks take longer, as often as
// it asks them.
func (x *trial) downstream() {
	best := 0.0
	for i := range x.Downstream {
		d := &x.Downstream[i]
		if x.Now.Requests == 0 || d.Now == nil || d.Baseline == nil || d.Baseline.Requests == 0 {
			continue
		}
		now, usual := &d.Now.Phases[tcprt.Phases], &d.Baseline.Phases[tcprt.Phases]
		calls := float64(d.Now.Requests) / float64(x.Now.Requests)
		t := x.take(tcprt.Processing, Downstream, calls*longer(now, usual, sure[0]))
		if t > best {
			best, x.pair = t, i
		}
		if t > 0 {
			x.say(t, fmt.Sprintf("%s, asked %.2g times for each request, took %s, usually %s", d.Name, calls, words(now.Mean()), words(usual.Mean())))
		}
	}
	// Most of it is all of it: the means of few requests are what they are.
	if took := x.by[Downstream]; took > 2*x.more[tcprt.Processing] {
		x.take(tcprt.Processing, Downstream, x.more[tcprt.Processing])
	}
}

// full is how much more of the time something must hold a cgroup up to be all of
// the cause.
const full = 0.15

// strength makes 0 to 1 of a share of time.
func strength(now, usual float64) float64 {
	if more := now - usual; more >= 0.03 && now >= 1.5*usual {
		return min(1, more/full)
	}
	return 0
}

// delayed is the strength of waits for a CPU. They are a share of the time that the
// threads wanted one, which is much of little where a program does hardly anything.
// A thread that waits for a share of all time holds up what is under way for as much
// of its time: waits explain no more than twice that, as there are several threads.
func (x *trial) delayed(n, u *Pressure) float64 {
	s := strength(n.RunDelay, u.RunDelay)
	excess, took := x.more[tcprt.Queue]+x.more[tcprt.Processing], x.Now.Phases[tcprt.Phases].Mean().Seconds()
	if n.Waited > 0 && excess > 0 && took > 0 {
		s *= min(1, 2*n.Waited/min(1, excess/took))
	}
	return s
}

// host takes what the node holds up: as much as the strongest pressure says, and
// of that each its part. A throttled cgroup is under CPU pressure too, and one that
// waits for memory waits for a disk: only what is left counts for the second.
func (x *trial) host() {
	if x.Host == nil || x.more[tcprt.Queue]+x.more[tcprt.Processing] == 0 {
		return
	}
	n, u := &x.Host.Now, &x.Host.Baseline
	throttled := strength(n.Throttled, u.Throttled)
	contended := max(0, max(x.delayed(n, u), strength(n.CPUSome, u.CPUSome))-throttled)
	memory := strength(max(n.MemorySome, n.MemoryFull), max(u.MemorySome, u.MemoryFull))
	io := max(0, strength(max(n.IOSome, n.IOFull), max(u.IOSome, u.IOFull))-memory)
	sum := throttled + contended + memory + io
	if sum == 0 {
		return
	}
	part := max(throttled, contended, memory, io) / sum
	had := [...]float64{x.more[tcprt.Queue], x.more[tcprt.Processing]}
	x.held(CPUThrottled, throttled*part, had, "its cgroup was throttled %s of the time, usually %s", n.Throttled, u.Throttled)
	x.held(CPUContention, contended*part, had, "its threads waited for a CPU %s of the time, usually %s", max(n.RunDelay, n.CPUSome), max(u.RunDelay, u.CPUSome))
	x.held(MemoryPressure, memory*part, had, "some of it waited for memory %s of the time, usually %s", n.MemorySome, u.MemorySome)
	x.held(IOPressure, io*part, had, "some of it waited for a disk %s of the time, usually %s", n.IOSome, u.IOSome)
}

func (x *trial) held(c Cause, share float64, had [2]float64, text string, now, usual float64) {
	t := x.take(tcprt.Queue, c, share*had[0]) + x.take(tcprt.Processing, c, share*had[1])
	if t > 0 {
		x.say(t, fmt.Sprintf(text, percent(now), percent(usual)))
	}
}

// asClient explains what a service does as the client of another: what is neither
// the path nor its own slowness to read is the other's.
func (x *trial) asClient() {
	if zero, before, shut := grown(x.Now.ZeroWindows, x.Now.Requests, x.usual.ZeroWindows, x.usual.Requests, 0.01); shut {
		t := x.take(tcprt.Delivery, ClientReceive, x.more[tcprt.Delivery])
		x.say(t, fmt.Sprintf("a window was shut %.2g times for each request, usually %.2g: what arrives is not read", zero, before))
	}
	if longer, _, _ := x.farther(); longer > 0 {
		x.take(tcprt.Processing, NetworkRTT, 1.25*longer)
	}
	x.path()
	for p := range tcprt.Phases {
		x.take(p, Server, x.more[p])
	}
}
