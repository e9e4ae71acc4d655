package detect

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect/sim"
)

func delayed(seed uint64, onset int) sim.Spec {
	s := sim.Random(seed, sim.ServerDelay, onset)
	s.Rate = 200
	return s
}

// An event has its beginning, its end and what it is about.
func TestEvent(t *testing.T) {
	s := delayed(1, 200)
	g, m := sim.New(s), NewMonitor(MonitorOptions{})
	var w tcprt.Window
	var got []Event
	for i := range 300 {
		if i == 250 {
			g.Fault = sim.None
		}
		g.Next(&w)
		if e, ok := m.Observe(&w, 0); ok {
			got = append(got, e)
		}
		if _, on := m.Ongoing(s.Service); on != (len(got) == 1) {
			t.Fatalf("window %d: ongoing %v", i, on)
		}
	}
	if len(got) != 2 {
		t.Fatalf("%+v", got)
	}
	at := func(i int) time.Time { return s.Start.Add(time.Duration(i) * time.Second) }
	a, b := got[0], got[1]
	if !a.Ongoing() || !a.Start.Equal(at(200)) || a.Seen.Before(at(202)) || a.Seen.After(at(204)) || a.Now < 1.3*a.Baseline || a.Score < 2 {
		t.Errorf("%+v", a)
	}
	if b.Ongoing() || b.Adopted || !b.Start.Equal(a.Start) || b.End.Before(at(251)) || b.End.After(at(265)) || !b.Signals.Has(ProcessingP90) {
		t.Errorf("%+v", b)
	}
	b.Signals.Each(func(x Signal) {
		if x == Failures || x == Retransmits || x == RTT {
			t.Errorf("%v took part", x)
		}
	})
}

func TestTotals(t *testing.T) {
	s := delayed(2, 400)
	g, m := sim.New(s), NewMonitor(MonitorOptions{})
	var w tcprt.Window
	var now, usual tcprt.Totals
	if m.Totals(s.Service, &now, &usual) {
		t.Error("totals of a service that nobody knows")
	}
	for range 430 {
		g.Next(&w)
		m.Observe(&w, 0)
	}
	if !m.Totals(s.Service, &now, &usual) {
		t.Fatal("none")
	}
	if now.Requests < 2000 || usual.Requests < 20_000 {
		t.Errorf("%d and %d requests", now.Requests, usual.Requests)
	}
	if a, b := now.Phases[tcprt.Processing].Mean(), usual.Phases[tcprt.Processing].Mean(); a < 2*b {
		t.Errorf("%v and %v", a, b)
	}
}

// What is usual of a signal stays what it is when the first windows of an anomaly
// were taken for quiet ones.
func TestUsual(t *testing.T) {
	s := delayed(3, 100)
	g, m := sim.New(s), NewMonitor(MonitorOptions{})
	var w tcprt.Window
	before := 0.0
	for i := range 140 {
		g.Next(&w)
		m.Observe(&w, 0)
		got, ok := m.Usual(s.Service, TotalP99)
		if ok != (i >= 59) {
			t.Fatalf("window %d: known %v", i, ok)
		}
		if i == 99 {
			before = got
		}
		if i > 99 && (got < 0.9*before || got > 1.1*before) {
			t.Fatalf("window %d: %v, it was %v", i, got, before)
		}
	}
	if _, ok := m.Usual(s.Service, Failures); ok {
		t.Error("a ratio has a usual time")
	}
	if _, ok := m.Usual(tcprt.Service{Port: 1}, TotalP99); ok {
		t.Error("of nobody")
	}
}

func TestForgetsTheLeastLately(t *testing.T) {
	m := NewMonitor(MonitorOptions{Services: 3})
	see := func(ports ...uint16) {
		for _, p := range ports {
			m.Observe(&tcprt.Window{Service: tcprt.Service{Port: p}, Start: time.Unix(1, 0)}, 0)
		}
	}
	see(1, 2, 3, 1, 4) // 2 goes
	for port, want := range map[uint16]bool{1: true, 2: false, 3: true, 4: true} {
		var a, b tcprt.Totals
		if got := m.Totals(tcprt.Service{Port: port}, &a, &b); got != want {
			t.Errorf("port %d: known %v", port, got)
		}
	}
	m.Forget(tcprt.Service{Port: 4})
	m.Forget(tcprt.Service{Port: 99})
	if m.Known() != 2 || m.Forgotten() != 1 {
		t.Error(m.Known(), m.Forgotten())
	}
	see(5, 6)
	if m.Known() != 3 || m.Forgotten() != 2 {
		t.Error(m.Known(), m.Forgotten())
	}
}

func TestAsks(t *testing.T) {
	m := NewMonitor(MonitorOptions{})
	for i, s := range []tcprt.Service{
		{Role: tcprt.Server, Port: 80, Cgroup: 7}, {Role: tcprt.Client, Port: 5432, Cgroup: 7}, {Role: tcprt.Client, Port: 6379, Cgroup: 7},
		{Role: tcprt.Client, Port: 5432, Cgroup: 8}, {Role: tcprt.Client, Port: 1},
	} {
		m.Observe(&tcprt.Window{Service: s, Start: time.Unix(int64(i+1), 0)}, 0)
	}
	got := m.Asks(tcprt.Service{Role: tcprt.Server, Port: 80, Cgroup: 7}, nil)
	if len(got) != 2 || got[0].Port != 6379 || got[1].Port != 5432 {
		t.Error(got)
	}
	if got := m.Asks(tcprt.Service{Port: 80}, nil); got != nil {
		t.Error(got)
	}
}

// After a restart it goes on as if there had been none: in the warm-up, in quiet
// and in an event.
func TestRestart(t *testing.T) {
	for _, at := range []int{30, 100, 154, 170} {
		for _, rate := range []float64{3, 200} {
			s := delayed(3, 150)
			s.Rate = rate
			g, m := sim.New(s), NewMonitor(MonitorOptions{Detector: Options{Seasonal: true}})
			var w tcprt.Window
			for range at {
				g.Next(&w)
				m.Observe(&w, 0)
			}
			again := NewMonitor(m.o)
			var b bytes.Buffer
			if err := errors.Join(m.Save(&b), again.Load(&b)); err != nil {
				t.Fatal(err)
			}
			for i := at; i < 300; i++ {
				if i == 250 {
					g.Fault = sim.None
				}
				g.Next(&w)
				e, ok := m.Observe(&w, 0)
				e2, ok2 := again.Observe(&w, 0)
				if e != e2 || ok != ok2 {
					t.Fatalf("saved at %d: window %d has %+v, without a restart %+v", at, i, e2, e)
				}
			}
		}
	}
}

func TestRestartKeepsTheOrder(t *testing.T) {
	m, again := NewMonitor(MonitorOptions{}), NewMonitor(MonitorOptions{Services: 2})
	for p := range uint16(4) {
		m.Observe(&tcprt.Window{Service: tcprt.Service{Port: p}, Start: time.Unix(1, 0)}, 0)
	}
	var b bytes.Buffer
	if err := errors.Join(m.Save(&b), again.Load(&b)); err != nil {
		t.Fatal(err)
	}
	if again.known[tcprt.Service{Port: 2}] == nil || again.known[tcprt.Service{Port: 3}] == nil || again.Known() != 2 {
		t.Error(again.known)
	}
}

func TestLoadRefuses(t *testing.T) {
	m := NewMonitor(MonitorOptions{})
	m.Observe(&tcprt.Window{Start: time.Unix(1, 0)}, 0)
	var b bytes.Buffer
	if err := m.Save(&b); err != nil {
		t.Fatal(err)
	}
	good := b.Bytes()
	bad := bytes.Clone(good)
	bad[len(bad)-6] ^= 1 // of the checksum
	for name, state := range map[string][]byte{"nothing": nil, "cut": good[:len(good)/2], "damaged": bad, "another": []byte("{}")} {
		if err := m.Load(bytes.NewReader(state)); !errors.Is(err, ErrState) {
			t.Errorf("%s: %v", name, err)
		}
		if m.Known() != 0 {
			t.Errorf("%s: something was taken from it", name)
		}
	}
}

func TestDetectorStates(t *testing.T) {
	f := newFeed(100)
	a, b := NewRobust(TotalP50, Options{}), NewRobust(TotalP50, Options{})
	c, d := NewRate(Failures, Options{}), NewRate(Failures, Options{})
	for range 200 {
		w := f.next()
		a.Observe(w)
		c.Observe(w)
	}
	sa, _ := a.AppendBinary(nil)
	sc, _ := c.AppendBinary(nil)
	if err := errors.Join(b.UnmarshalBinary(sa), d.UnmarshalBinary(sc)); err != nil {
		t.Fatal(err)
	}
	if w := f.next(); a.Observe(w) != b.Observe(w) || c.Observe(w) != d.Observe(w) {
		t.Error("they do not go on alike")
	}
	if err := b.UnmarshalBinary(sc); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

func FuzzState(f *testing.F) {
	d := NewRobust(TotalP50, Options{Seasonal: true})
	feed := newFeed(20)
	feed.run(d, 300)
	state, _ := d.AppendBinary(nil)
	f.Add(state)
	f.Fuzz(func(t *testing.T, state []byte) {
		d := NewRobust(TotalP50, Options{Seasonal: true})
		if d.UnmarshalBinary(state) == nil {
			newFeed(20).run(d, 50)
		}
	})
}

func TestObserveAllocatesNothing(t *testing.T) {
	g, m := sim.New(delayed(4, 200)), NewMonitor(MonitorOptions{Services: 2, Detector: Options{Seasonal: true}})
	var w tcprt.Window
	next := func() { g.Next(&w); m.Observe(&w, 1) }
	for range 150 {
		next()
	}
	windows := make([]tcprt.Window, 100)
	for i := range windows {
		g.Next(&windows[i])
	}
	i := 0
	if n := testing.AllocsPerRun(90, func() { m.Observe(&windows[i], 1); i++ }); n != 0 {
		t.Errorf("%v allocations a window", n)
	}
	if _, on := m.Ongoing(w.Service); !on {
		t.Error("the fault was not in it")
	}
}
