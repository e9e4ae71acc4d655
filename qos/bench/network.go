package bench

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/load"
)

// The network bench is of two namespaces with a wire between. Nothing of it
// reaches the machine's own network.
const (
	wireBits     = 200e6
	lsGuaranteed = 0.7 // of the wire
	beGuaranteed = 0.1
	flowsOfBE    = 8
	// The CPU is left alone: best-effort senders shall have all they need of it.
	networkPolicy = "  net: {interfaces: {up0: {rate: 200Mbit}}, ls: 0.7, be: 0.1}\n  be: {priority: off, suppress: off}\n"
	// Bytes on the wire for one of payload, in frames of 1500 bytes.
	tcpWire = 1514.0 / 1448
	udpWire = 1494.0 / 1452
)

// netScenario is one kind of traffic.
type netScenario struct {
	id, what string
	wire     float64
	ls, be   load.TrafficOptions
}

var netScenarios = []netScenario{
	{"tcp-out", "sent, TCP, 1 connection beside 8", tcpWire, load.TrafficOptions{}, load.TrafficOptions{Conns: flowsOfBE}},
	{"udp-out", "sent, UDP, both more than the link has", udpWire, udp(2), udp(flowsOfBE)},
	{"tcp-in", "received, TCP, 1 connection beside 8", tcpWire, load.TrafficOptions{Down: true}, load.TrafficOptions{Down: true, Conns: flowsOfBE}},
}

// udp floods with 1.3 times what the wire has.
func udp(conns int) load.TrafficOptions {
	return load.TrafficOptions{Proto: "udp", Conns: conns, Rate: 1.3 * wireBits / float64(conns)}
}

// netRound is what one round of a scenario measured, in Mbit a second on the
// wire.
type netRound struct{ alone, unprotected, ls, be float64 }

// network measures what LS traffic gets beside best-effort traffic.
func (b *bencher) network(ctx context.Context) ([]benchfmt.Result, error) {
	var out []benchfmt.Result
	for _, s := range netScenarios {
		rounds := make([]netRound, b.o.Rounds)
		for i, order := range load.Interleave(b.o.Rounds, 3, 1) {
			for _, k := range order {
				err := b.quiet(ctx, fmt.Sprintf("%s, round %d", s.id, i+1), func() (check, err error) { return b.netPhase(ctx, &s, k, &rounds[i]) })
				if err != nil {
					return nil, err
				}
			}
			r := &rounds[i]
			b.Say(fmt.Sprintf("  %s, round %d: LS alone %.1f, unprotected %.1f, protected %.1f beside BE %.1f Mbit", s.id, i+1, r.alone, r.unprotected, r.ls, r.be))
		}
		r, err := s.results(rounds)
		if err != nil {
			return nil, err
		}
		out = append(out, r...)
	}
	return out, nil
}

func (s *netScenario) results(rounds []netRound) ([]benchfmt.Result, error) {
	const mbit = wireBits / 1e6
	var ls, theirs, share, sum []float64
	for _, r := range rounds {
		ls, theirs = append(ls, r.ls), append(theirs, r.unprotected)
		share, sum = append(share, r.ls/(lsGuaranteed*mbit)), append(sum, (r.ls+r.be)/mbit)
	}
	against, err := paired("net-ls-"+s.id, "LS traffic beside best-effort traffic: "+s.what, "Mbit/s", "no agent", ">1", ls, theirs)
	return []benchfmt.Result{
		single("net-guaranteed-"+s.id, "LS traffic as a share of its guaranteed rate (70 % of the link), beside best-effort traffic: "+s.what, "share", ">=0.95", share),
		single("net-sum-"+s.id, "LS and best-effort traffic together, as a share of the link: "+s.what, "share", ">=0.95", sum),
		against,
	}, err
}

// netPhase runs LS traffic alone (0), beside best-effort traffic (1), and that
// with an agent (2). A round in which LS alone does not fill the wire says
// nothing: that is the check, for what else the machine does matters no more
// than that.
func (b *bencher) netPhase(ctx context.Context, s *netScenario, kind int, r *netRound) (check, err error) {
	l, err := lab.OpenWired(wireBits)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	b.space = l.Node
	defer func() { b.space = nil }()
	var a *agent
	if kind == 2 {
		if a, err = b.agent(networkPolicy); err != nil {
			return nil, err
		}
		defer a.stop()
	}
	ls, err := b.netFlow(ctx, l, a, "/anole-ls/bench-net-%d", s.ls)
	if err != nil {
		return nil, err
	}
	defer ls.stop()
	flows := []*netFlow{ls}
	if kind > 0 {
		be, err := b.netFlow(ctx, l, a, "/anole-be/bench-net-%d", s.be)
		if err != nil {
			return nil, err
		}
		defer be.stop()
		flows = append(flows, be)
	}
	rates, err := measureFlows(ctx, b.phaseTime(3*time.Second), s.wire, flows)
	if err != nil {
		return nil, err
	}
	switch kind {
	case 0:
		if r.alone = rates[0]; r.alone < 0.9*wireBits/1e6 && !b.o.Short {
			return fmt.Errorf("LS alone got %.0f of %.0f Mbit", r.alone, wireBits/1e6), nil
		}
	case 1:
		r.unprotected = rates[0]
	default:
		r.ls, r.be = rates[0], rates[1]
	}
	return nil, nil
}

// netFlow is one process with its traffic.
type netFlow struct {
	*child
	group *group
	rig   *rig
	sink  *load.Sink
	down  bool
}

// netFlow starts one in a cgroup of its own. With an agent it waits until that
// knows the cgroup's class: a socket keeps the one that it was opened in.
func (b *bencher) netFlow(ctx context.Context, l *lab.Lab, a *agent, rel string, o load.TrafficOptions) (*netFlow, error) {
	f := &netFlow{rig: b.rig, down: o.Down}
	err := l.World.Do(func() (err error) {
		f.sink, err = load.ListenSink(lab.WorldAddr + ":0")
		return err
	})
	if err != nil {
		return nil, err
	}
	o.Addr = f.sink.Addr()
	if f.group, err = b.group(fmt.Sprintf(rel, os.Getpid())); err == nil {
		f.child, err = b.startHeld(f.group, "traffic", o)
	}
	if err == nil && a != nil {
		err = a.knows(ctx, f.group.rel)
	}
	if err == nil {
		err = f.line()
	}
	if err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

func (f *netFlow) line() error {
	_, err := f.in.Write([]byte("\n"))
	return err
}

func (f *netFlow) stop() {
	f.kill()
	if f.group != nil {
		f.rig.drop(f.group)
	}
	_ = f.sink.Close()
}

// bytes counts the payload that arrived so far.
func (f *netFlow) bytes() (int64, error) {
	if !f.down {
		return f.sink.Received(), nil
	}
	if err := f.line(); err != nil {
		return 0, err
	}
	var n int64
	err := f.read(&n)
	return n, err
}

// measureFlows gives the rates on the wire after a second to get going.
func measureFlows(ctx context.Context, d time.Duration, wire float64, flows []*netFlow) ([]float64, error) {
	if err := pause(ctx, time.Second); err != nil {
		return nil, err
	}
	was, out := make([]int64, len(flows)), make([]float64, len(flows))
	began := time.Now()
	var err error
	for i, f := range flows {
		if was[i], err = f.bytes(); err != nil {
			return nil, err
		}
	}
	if err := pause(ctx, d); err != nil {
		return nil, err
	}
	for i, f := range flows {
		n, err := f.bytes()
		if err != nil {
			return nil, err
		}
		out[i] = float64(n-was[i]) * wire * 8 / 1e6 / time.Since(began).Seconds()
	}
	return out, nil
}

// knows waits until the agent has given a workload its network class.
func (a *agent) knows(ctx context.Context, rel string) error {
	var x qos.Explanation
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); {
		if err := a.get(ctx, "explain?id="+strings.TrimPrefix(rel, "/"), &x); err == nil {
			for _, f := range x.Files {
				if f.Controller == "net" && f.Current == f.Wanted && f.Current != "REST" {
					return nil
				}
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("the agent does not know the network class of %s: %s", rel, strconv.Quote(fmt.Sprint(x.Files)))
}
