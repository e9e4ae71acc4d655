package shape_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/qos/shape"
)

// mbit is the rate of the link; an emulated machine is slow.
var mbit = map[bool]float64{false: 200, true: 10}[testkit.Guest()]

// goal is a rate that is to be reached.
type goal struct {
	what string
	want float64
	got  func([]float64) float64
}

func nth(i int) func([]float64) float64 { return func(r []float64) float64 { return r[i] } }

func sum(r []float64) (s float64) {
	for _, x := range r {
		s += x
	}
	return s
}

// windows is how often flows are measured again before a rate counts as
// missed: others may be using the machine.
const windows = 5

// wants holds flows to 95 % of their goals, in one and the same window.
func wants(t *testing.T, wire float64, flows []*flow, goals ...goal) {
	t.Helper()
	for i := range windows {
		r, missed := rates(2*time.Second, wire, flows...), false
		for _, g := range goals {
			got := g.got(r)
			missed = missed || got < 0.95*g.want
			t.Logf("%-28s %6.1f of %6.1f Mbit: %.3f", g.what, got, g.want, got/g.want)
		}
		if s := sum(r); s > 1.03*mbit {
			t.Logf("%.1f Mbit are more than the link has", s)
			missed = true
		}
		if !missed {
			return
		}
		if i == windows-1 {
			t.Errorf("missed in each of %d windows", windows)
		}
	}
}

// share lets the classes use the link alone and together.
func share(t *testing.T, m shape.Mode, wire float64, ls, be load.TrafficOptions) {
	k := open(t)
	l := link(shape.Rate(mbit * 1e6))
	k.shaper(m, l)
	together(k, l, wire, ls, be)
}

func together(k *kit, l shape.Link, wire float64, ls, be load.TrafficOptions) {
	f := k.start(k.ls, nil, ls)
	wants(k.T, wire, []*flow{f}, goal{"LS alone", mbit, sum})
	f.stop()
	b := k.start(k.be, nil, be)
	wants(k.T, wire, []*flow{b}, goal{"BE alone borrows", mbit, sum})
	f = k.start(k.ls, nil, ls)
	wants(k.T, wire, []*flow{f, b}, goal{"LS of its guarantee", l.LS * mbit, nth(0)}, goal{"BE of its guarantee", l.BE * mbit, nth(1)}, goal{"LS + BE of the link", mbit, sum})
}

// blast is UDP above the link's rate.
func blast(conns int) load.TrafficOptions {
	return load.TrafficOptions{Proto: "udp", Rate: 1.3 * mbit * 1e6 / float64(conns), Conns: conns}
}

func TestKernelHTBTCP(t *testing.T) {
	share(t, shape.HTB, tcpWire, load.TrafficOptions{Conns: 1}, load.TrafficOptions{Conns: 8})
}

func TestKernelHTBUDP(t *testing.T) { share(t, shape.HTB, udpWire, blast(2), blast(4)) }

func TestKernelEDTTCP(t *testing.T) {
	share(t, shape.EDT, tcpWire, load.TrafficOptions{Conns: 1}, load.TrafficOptions{Conns: 8})
}

func TestKernelEDTUDP(t *testing.T) { share(t, shape.EDT, udpWire, blast(2), blast(4)) }

// The link's own queue is at its other end: one LS connection against eight.
func TestKernelIngress(t *testing.T) {
	for _, c := range []struct {
		name   string
		wire   float64
		ls, be load.TrafficOptions
	}{
		{"tcp", tcpWire, load.TrafficOptions{Down: true, Conns: 1}, load.TrafficOptions{Down: true, Conns: 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := open(t)
			if err := k.Limit(uint64(mbit * 1e6)); err != nil {
				t.Fatal(err)
			}
			f, b := k.start(k.ls, nil, c.ls), k.start(k.be, nil, c.be)
			r := rates(2*time.Second, c.wire, f, b)
			t.Logf("unprotected: LS %.1f, BE %.1f Mbit", r[0], r[1])
			f.stop()
			b.stop()
			l := link(shape.Rate(mbit * 1e6))
			s := k.shaper(shape.HTB, l)
			b = k.start(k.be, nil, c.be)
			wants(t, c.wire, []*flow{b}, goal{"BE alone of 90 % of the link", 0.9 * mbit, sum})
			f = k.start(k.ls, nil, c.ls)
			wants(t, c.wire, []*flow{f, b}, goal{"LS of its guarantee", l.LS * mbit, nth(0)}, goal{"BE of 90 % of its guarantee", 0.9 * l.BE * mbit, nth(1)}, goal{"LS + BE of 95 % of the link", 0.95 * mbit, sum})
			n, err := s.Counts(lab.Uplink)
			if err != nil || n[shape.In][shape.BE].Dropped == 0 || n[shape.In][shape.LS].Dropped != 0 {
				t.Errorf("counts %+v, %v", n[shape.In], err)
			}
		})
	}
}

// Connections are known by their addresses in both directions, of both families
// and protocols.
func TestKernelFlowsAreKnown(t *testing.T) {
	for _, proto := range []string{"tcp", "udp"} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/v6=%v", proto, v6), func(t *testing.T) {
				k := open(t)
				k.v6 = v6
				s := k.shaper(shape.HTB, link(1e9))
				k.start(k.be, nil, load.TrafficOptions{Proto: proto, Down: true, Rate: 5e6})
				await(t, func() bool {
					n, err := s.Counts(lab.Uplink)
					if err != nil {
						t.Fatal(err)
					}
					return n[shape.In][shape.BE].Bytes > 1e5 && n[shape.Out][shape.BE].Bytes > 0
				})
			})
		}
	}
}

func await(t *testing.T, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not within 20 s")
		}
	}
}

// A process cannot choose another class by SO_PRIORITY, nor can a cgroup below
// one that has a class leave it.
func TestKernelNoEscape(t *testing.T) {
	k := open(t)
	s := k.shaper(shape.HTB, link(1e9))
	below := filepath.Join(k.be.dir, "a/b/c")
	if err := os.MkdirAll(below, 0o755); err != nil {
		t.Fatal(err)
	}
	k.start(&group{dir: below}, nil, load.TrafficOptions{Proto: "udp", Rate: 5e6, Priority: netlinkx.Handle(0x10)})
	await(t, func() bool {
		n, err := s.Counts(lab.Uplink)
		return err == nil && n[shape.Out][shape.BE].Bytes > 1e5
	})
	c, err := s.Conn().Classes(linkIndex(t, k))
	if err != nil || c[0x10].Packets > 0 || c[0x20].Packets == 0 {
		t.Errorf("HTB's classes: %+v, %v", c, err)
	}
	// One of no class that asks for LS.
	k.start(nil, nil, load.TrafficOptions{Proto: "udp", Rate: 5e6, Priority: netlinkx.Handle(0x10)})
	await(t, func() bool {
		c, err = s.Conn().Classes(linkIndex(t, k))
		return err == nil && c[0x30].Bytes > 1e5
	})
	if c[0x10].Packets > 0 {
		t.Errorf("HTB's classes: %+v", c)
	}
}

func linkIndex(t *testing.T, k *kit) int {
	t.Helper()
	index, err := k.Node.Index(lab.Uplink)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

// Other rates take effect in place: nothing that waits is lost, no count ends.
func TestKernelRateChanges(t *testing.T) {
	k := open(t)
	s := k.shaper(shape.HTB, link(shape.Rate(mbit*1e6)))
	f := k.start(k.ls, nil, load.TrafficOptions{})
	wants(t, tcpWire, []*flow{f}, goal{"LS at the first rate", mbit, sum})
	before, err := s.Counts(lab.Uplink)
	if err != nil {
		t.Fatal(err)
	}
	half := link(shape.Rate(mbit * 1e6 / 2))
	if err := s.Attach(half); err != nil {
		t.Fatal(err)
	}
	if r := rates(2*time.Second, tcpWire, f)[0]; r > 0.52*mbit {
		t.Errorf("%.1f Mbit after the rate was set to %.1f", r, mbit/2)
	}
	if l, ok := s.Link(lab.Uplink); !ok || l != half {
		t.Errorf("link %+v", l)
	}
	if after, err := s.Counts(lab.Uplink); err != nil || after[shape.Out][shape.LS].Bytes <= before[shape.Out][shape.LS].Bytes {
		t.Errorf("counts %+v, before %+v, %v", after, before, err)
	}
	if f := s.Check(); len(f) > 0 {
		t.Errorf("%+v", f)
	}
}
