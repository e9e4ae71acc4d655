package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/anole-os/anole/tcprt"
)

const (
	step  = 0.05 // between pools, of the logarithm of the server's time
	span  = 64   // pools: to 1.6 either side
	bad   = 4    // times as much loss in a burst
	worse = 3    // times as slow in a hiccup
)

// Generator makes windows.
type Generator struct {
	Spec
	// Down is the windows that the service has as a client of what it asks: those
	// of the last Next.
	Down  tcprt.Totals
	rng   *rand.Rand
	pools [4][span][]compact // by fault and burst, and by shift
	at    int
	wave  float64 // where the server's time wanders
	burst int     // windows that one lasts yet
	phase float64 // of the day
}

// compact is a request of a pool: buckets of its times, and counts.
type compact struct {
	phases                     [tcprt.Phases + 1]uint8
	lite                       bool
	rtt, down                  uint8
	aborted                    tcprt.Flags
	retransmits, reorder, zero uint16
	busy, window, buffer       uint32 // µs
	request, answer            uint32
}

// New gives one that is at its first window.
func New(s Spec) *Generator {
	if s.Pool == 0 {
		s.Pool = 4096
	}
	g := &Generator{Spec: s, rng: rand.New(rand.NewPCG(s.Seed, 7))}
	g.phase = g.rng.Float64() * 2 * math.Pi
	return g
}

// Next makes the next window.
func (g *Generator) Next(w *tcprt.Window) {
	*w = tcprt.Window{Service: g.Service, Start: g.Start.Add(time.Duration(g.at) * time.Second), Length: time.Second}
	g.Down = tcprt.Totals{}
	faulty := g.Faulty()
	day := math.Sin(2*math.Pi*float64(g.at)/86400 + g.phase)
	g.wave += -g.wave/60 + 0.05*math.Sqrt(2.0/60)*g.rng.NormFloat64()
	shift := g.wave + 0.15*day
	if g.rng.Float64() < 10.0/3600 {
		shift += math.Log(worse)
	}
	if g.burst = max(0, g.burst-1); g.rng.Float64() < 1.0/60 {
		g.burst = 5
	}
	which := 0
	if faulty {
		which = 2
	}
	if g.burst > 0 {
		which++
	}
	for range g.poisson(g.Rate * (1 + 0.6*day) * (1 + 0.05*g.rng.NormFloat64())) {
		c := g.draw(which, shift)
		c.add(&w.Totals, &g.Down)
	}
	sums(&w.Totals)
	sums(&g.Down)
	g.at++
}

// Faulty says whether the next window has the fault.
func (g *Generator) Faulty() bool { return g.Fault != None && g.at >= g.Onset }

// Samples makes n records of requests as they are in the next window.
func (g *Generator) Samples(n int) []tcprt.Record {
	q := g.request(g.Faulty(), g.burst > 0, 0.0)
	out := make([]tcprt.Record, n)
	for i := range out {
		q.make()
		out[i] = q.r
	}
	return out
}

func (g *Generator) request(faulty, burst bool, shift float64) *request {
	q := &request{Spec: &g.Spec, Rand: g.rng, faulty: faulty, shift: shift, loss: g.Loss}
	if burst {
		q.loss *= bad
	}
	if faulty && g.Fault == Loss {
		q.loss = 0.02
	}
	return q
}

// draw takes a request from the pool of the shift, or its neighbour, so that on
// average the shift is right.
func (g *Generator) draw(which int, shift float64) *compact {
	at := int(math.Floor(shift/step+g.rng.Float64())) + span/2
	at = min(max(at, 0), span-1)
	p := g.pools[which][at]
	if p == nil {
		q := g.request(which >= 2, which&1 != 0, float64(at-span/2)*step)
		p = make([]compact, g.Pool)
		for i := range p {
			q.make()
			p[i] = q.compact()
		}
		g.pools[which][at] = p
	}
	return &p[g.rng.IntN(len(p))]
}

// poisson draws a count; of many by the normal distribution.
func (g *Generator) poisson(mean float64) int {
	if mean > 50 {
		return max(0, int(mean+math.Sqrt(mean)*g.rng.NormFloat64()+0.5))
	}
	n := 0
	for p := g.rng.Float64(); p > math.Exp(-mean); p *= g.rng.Float64() {
		n++
	}
	return n
}

func (q *request) compact() compact {
	r := &q.r
	c := compact{
		rtt: uint8(tcprt.Bucket(r.RTT)), down: uint8(tcprt.Bucket(q.down)), aborted: r.Flags & (tcprt.AbortedRequest | tcprt.AbortedAnswer),
		retransmits: uint16(r.Retransmits), reorder: uint16(r.OutOfOrder), zero: uint16(r.ZeroWindows),
		busy: uint32(r.Busy.Microseconds()), window: uint32(r.WindowLimited.Microseconds()), buffer: uint32(r.BufferLimited.Microseconds()),
		request: r.RequestBytes, answer: r.AnswerBytes, lite: q.Lite,
	}
	for p := range c.phases {
		c.phases[p] = uint8(tcprt.Bucket(r.Phase(tcprt.Phase(p))))
	}
	return c
}

// add does what Totals.Add does.
func (c *compact) add(t, down *tcprt.Totals) {
	t.Requests++
	t.RequestBytes += uint64(c.request)
	t.AnswerBytes += uint64(c.answer)
	t.Retransmits += uint64(c.retransmits)
	t.OutOfOrder += uint64(c.reorder)
	t.ZeroWindows += uint64(c.zero)
	t.Busy += time.Duration(c.busy) * time.Microsecond
	t.WindowLimited += time.Duration(c.window) * time.Microsecond
	t.BufferLimited += time.Duration(c.buffer) * time.Microsecond
	t.RTT.Counts[c.rtt]++
	down.Requests++
	down.Phases[tcprt.Processing].Counts[c.down]++
	down.Phases[tcprt.Phases].Counts[c.down]++
	switch {
	case c.aborted&tcprt.AbortedRequest != 0:
		t.AbortedRequests++
		return
	case c.aborted != 0:
		t.AbortedAnswers++
		return
	}
	for p, b := range c.phases {
		if c.lite && (tcprt.Phase(p) == tcprt.Queue || tcprt.Phase(p) == tcprt.Send) {
			continue
		}
		t.Phases[p].Counts[b]++
	}
}

// middles are the times in the middle of each bucket.
var middles = func() (m [tcprt.Buckets]time.Duration) {
	for i := 1; i < tcprt.Buckets; i++ {
		m[i] = time.Duration(tcprt.UpperBound(i-1) * math.Exp2(0.125) * 1e9)
	}
	return m
}()

// sums fills in the histograms' sums.
func sums(t *tcprt.Totals) {
	for p := range t.Phases {
		sum(&t.Phases[p])
	}
	sum(&t.RTT)
}

func sum(h *tcprt.Histogram) {
	h.Sum = 0
	for i, n := range h.Counts {
		if n != 0 {
			h.Sum += time.Duration(n) * middles[i]
		}
	}
}
