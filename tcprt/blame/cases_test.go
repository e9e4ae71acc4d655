package blame_test

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/blame"
	"github.com/anole-os/anole/tcprt/detect"
	"github.com/anole-os/anole/tcprt/detect/sim"
)

// right is what each fault's cause is.
var right = map[sim.Fault]blame.Cause{
	sim.ServerDelay: blame.Server, sim.Loss: blame.NetworkLoss, sim.LongPath: blame.NetworkRTT, sim.SlowReader: blame.ClientReceive,
	sim.Throttled: blame.CPUThrottled, sim.Nagle: blame.NagleDelAck, sim.Drip: blame.ClientUpload, sim.Downstream: blame.Downstream,
	sim.SocketQueue: blame.SocketQueue, sim.Contention: blame.CPUContention, sim.MemoryStall: blame.MemoryPressure,
	sim.DiskStall: blame.IOPressure, sim.SendBuffer: blame.SendBuffer, sim.Cuts: blame.Aborts,
}

// pressure is what the node says in a fault: all of it is never quite nothing.
func pressure(r *rand.Rand, f sim.Fault) (p blame.Pressure) {
	some := func(hi float64) float64 { return hi * r.Float64() }
	p = blame.Pressure{Throttled: some(0.01), RunDelay: some(0.03), CPUSome: some(0.03), MemorySome: some(0.005), IOSome: some(0.03)}
	much := 0.2 + some(0.5)
	switch f {
	case sim.Throttled:
		p.Throttled, p.CPUSome, p.CPUFull = much, much*0.9, much*0.8
	case sim.Contention:
		p.RunDelay, p.CPUSome = much, much*0.8
	case sim.MemoryStall:
		p.MemorySome, p.MemoryFull, p.IOSome = much, much/2, much*0.7
	case sim.DiskStall:
		p.IOSome, p.IOFull = much, much/2
	}
	return p
}

// outcome is what became of one run.
type outcome struct {
	delay int // windows from the onset to the event; 0 if there was none
	cause blame.Verdict
}

// play has a service get a fault, and asks for the cause when the event begins and
// some windows more were seen.
func play(s sim.Spec, more, within int) (out outcome) {
	g, m := sim.New(s), detect.NewMonitor(detect.MonitorOptions{})
	asked := s.Service
	asked.Role, asked.Port = tcprt.Client, 5432
	var w, down tcprt.Window
	left := -1
	for i := range s.Onset + within {
		faulty := g.Faulty()
		g.Next(&w)
		down = tcprt.Window{Service: asked, Start: w.Start, Length: w.Length, Totals: g.Down}
		m.Observe(&down, 0)
		e, ok := m.Observe(&w, 0)
		switch {
		case left > 0:
			left--
		case ok && faulty && e.Ongoing():
			out.delay, left = i-s.Onset+1, more
		}
		if left == 0 {
			out.cause = blame.Explain(evidence(g, m, s, asked))
			return out
		}
	}
	return out
}

// samples are some at random and the slowest of many, as a collector keeps them.
func samples(g *sim.Generator) []tcprt.Record {
	many := g.Samples(160)
	out := many[:32]
	slices.SortFunc(many[32:], func(a, b tcprt.Record) int { return cmp.Compare(b.Total(), a.Total()) })
	return append(out, many[32:64]...)
}

// bystanders are what is not as usual either, and has little to do with it.
func bystanders(r *rand.Rand, f sim.Fault, p *blame.Pressure) {
	switch which := r.IntN(4); {
	case which == 0 && p.IOSome < 0.1:
		p.IOSome += 0.05 * r.Float64()
	case which == 1 && f != sim.Throttled:
		p.RunDelay += 0.05 * r.Float64()
	case which == 2 && f != sim.ServerDelay && f != sim.Downstream:
		// A load generator of the network's faults makes the node busy, but it does not
		// make the server slow.
		if right[f] != blame.Server && !right[f].Host() && f != sim.SocketQueue {
			p.CPUSome, p.RunDelay = p.CPUSome+0.3, p.RunDelay+0.2
		}
	}
}

func evidence(g *sim.Generator, m *detect.Monitor, s sim.Spec, asked tcprt.Service) *blame.Case {
	var t [4]tcprt.Totals
	m.Totals(s.Service, &t[0], &t[1])
	m.Totals(asked, &t[2], &t[3])
	r := rand.New(rand.NewPCG(s.Seed, 99))
	host := &blame.Host{Now: pressure(r, s.Fault), Baseline: pressure(r, sim.None)}
	bystanders(r, s.Fault, &host.Now)
	return &blame.Case{
		Service: s.Service, Name: "shop", Now: &t[0], Baseline: &t[1], Samples: samples(g),
		Downstream: []blame.Pair{{Name: "db", Now: &t[2], Baseline: &t[3]}},
		Host:       host,
	}
}

// The parameters were chosen on seeds under 2000, and with an eye on some over. These tests have others.
const unseen = 40_000

// causes gives of how many runs the cause was right, of how many the fault was
// found in five windows, and of how many it was found at all.
func causes(t *testing.T, f sim.Fault, lite bool, more, runs int, share float64) (correct, intime, found int) {
	want := right[f]
	if lite && want == blame.SocketQueue {
		want = blame.Server // which there cannot be told apart
	}
	for seed := range uint64(runs) {
		s := sim.Random(unseen+seed, f, 150)
		s.Lite, s.Share = lite, s.Share*share
		o := play(s, more, 30)
		if o.delay == 0 {
			continue
		}
		found++
		if o.delay <= 5 {
			intime++
		}
		if o.cause.Cause == want {
			correct++
		} else {
			t.Logf("seed %d, %.0f requests/s: %v %.2f, not %v: %q", s.Seed, s.Rate, o.cause.Cause, o.cause.Score, want, o.cause.Evidence)
		}
	}
	return correct, intime, found
}

func TestCauses(t *testing.T) {
	for f := sim.None + 1; f < sim.Faults; f++ {
		for _, lite := range []bool{false, true} {
			if correct, _, found := causes(t, f, lite, 0, 8, 1); correct < found-1 || found < 6 {
				t.Errorf("%v, lite %v: right in %d of 8, found in %d", f, lite, correct, found)
			}
		}
	}
}

func TestCausesOften(t *testing.T) {
	testkit.Select(t, "slow")
	const runs = 200
	for _, lite := range []bool{false, true} {
		for _, more := range []int{0, 2} {
			for f := sim.None + 1; f < sim.Faults; f++ {
				correct, intime, found := causes(t, f, lite, more, runs, 1)
				t.Logf("lite %v, %d windows later: %v: found %d, in five windows %d, right %d of %d", lite, more, f, found, intime, correct, runs)
				if !lite && float64(correct) < 0.95*float64(found) || !lite && float64(intime) < 0.95*runs {
					t.Errorf("%v: want 95 %%", f)
				}
			}
		}
	}
}

// Of faults that only a tenth to a fourth of the requests have fewer are found, but
// their causes are right.
func TestCausesOfFew(t *testing.T) {
	testkit.Select(t, "slow")
	const runs = 100
	for f := sim.None + 1; f < sim.Faults; f++ {
		correct, intime, found := causes(t, f, false, 2, runs, 0.25)
		t.Logf("%v: found %d of %d, in five windows %d, right %d", f, found, runs, intime, correct)
		if float64(correct) < 0.95*float64(found) {
			t.Errorf("%v: want 95 %%", f)
		}
	}
}
