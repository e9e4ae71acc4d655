package locate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"github.com/anole-os/anole/tcprt"
)

// fisher adds up tables one by one.
func fisher(a, b, c, d uint64) (p float64) {
	inside, hits, all := a+b, a+c, a+b+c+d
	for k := a; k <= min(inside, hits); k++ {
		if inside-k <= all-hits {
			p += math.Exp(choose(hits, k) + choose(all-hits, inside-k) - choose(all, inside))
		}
	}
	return p
}

func TestFisher(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		a, b, c, d := r.Uint64N(20), r.Uint64N(20), r.Uint64N(20), r.Uint64N(20)
		if a+b+c+d == 0 {
			continue
		}
		if got, want := Fisher(a, b, c, d), fisher(a, b, c, d); math.Abs(got-want) > 1e-9+1e-6*want {
			t.Fatalf("%d %d %d %d: %v, want %v", a, b, c, d, got, want)
		}
	}
	// Fisher's lady: all four cups.
	if got := Fisher(4, 0, 0, 4); math.Abs(got-1.0/70) > 1e-12 {
		t.Error(got)
	}
	// Many requests: no sum of all tables, and none that vanishes.
	for _, c := range []struct {
		a, b, c, d uint64
		low, high  float64
	}{
		{10_000, 990_000, 10_000, 990_000, 0.49, 0.51},
		{9_000, 991_000, 10_000, 990_000, 0.999, 1},
		{12_000, 988_000, 10_000, 990_000, 0, 1e-30},
		{0, 1_000_000, 10_000, 990_000, 1, 1},
	} {
		if got := Fisher(c.a, c.b, c.c, c.d); got < c.low || got > c.high {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

var order = Options{Order: []string{"pod", "service", "host", "proxy", "rack"}}

// fleet is 3 racks of 4 hosts of 10 pods, of 5 services, behind 2 proxies; bad
// says how likely a pod is to be anomalous.
func fleet(seed uint64, bad func(l map[string]string) float64) (out []Instance) {
	r := rand.New(rand.NewPCG(seed, 5))
	for host := range 12 {
		for pod := range 10 {
			l := map[string]string{
				"pod": fmt.Sprintf("p%d-%d", host, pod), "service": fmt.Sprint("s", pod%5), "host": fmt.Sprint("h", host),
				"proxy": fmt.Sprint("x", (host+pod)%2), "rack": fmt.Sprint("r", host/4),
			}
			i := Instance{Anomalous: r.Float64() < bad(l), Weight: 1 + 100*r.Float64()}
			for _, k := range order.Order {
				i.Labels = append(i.Labels, Label{k, l[k]})
			}
			out = append(out, i)
		}
	}
	return out
}

// The component that is the cause comes first, with some noise: of 100 fleets in
// 95 at least.
func TestFindsTheCause(t *testing.T) {
	for _, c := range []struct {
		want string
		bad  func(l map[string]string) bool
		o    Options
	}{
		{"host=h5", func(l map[string]string) bool { return l["host"] == "h5" }, order},
		{"rack=r1", func(l map[string]string) bool { return l["rack"] == "r1" }, order},
		{"service=s3", func(l map[string]string) bool { return l["service"] == "s3" }, order},
		{"proxy=x1", func(l map[string]string) bool { return l["proxy"] == "x1" }, order},
		{"rack=r2,service=s0", func(l map[string]string) bool { return l["rack"] == "r2" && l["service"] == "s0" }, Options{Order: order.Order, Pairs: true}},
		{"rack=r0", func(l map[string]string) bool { return l["rack"] == "r0" }, Options{Order: order.Order, Pairs: true}},
	} {
		right := 0
		for seed := range uint64(100) {
			found := Find(fleet(seed, func(l map[string]string) float64 {
				if c.bad(l) {
					return 0.9
				}
				return 0.02
			}), c.o)
			if len(found) > 0 && found[0].String() == c.want {
				right++
			}
		}
		t.Logf("%s: %d of 100", c.want, right)
		if right < 95 {
			t.Errorf("%s was first in %d of 100 fleets", c.want, right)
		}
	}
}

// With no cause there is seldom a component.
func TestFindsNothing(t *testing.T) {
	n := 0
	for seed := range uint64(200) {
		if found := Find(fleet(seed, func(map[string]string) float64 { return 0.2 }), Options{Order: order.Order, Pairs: true}); len(found) > 0 {
			n++
		}
	}
	if n > 6 {
		t.Errorf("%d of 200 fleets without a cause have one", n)
	}
	for _, p := range []float64{0, 1} {
		if found := Find(fleet(1, func(map[string]string) float64 { return p }), order); found != nil {
			t.Error(found)
		}
	}
}

// Of components of the same instances the most specific is left.
func TestSameInstances(t *testing.T) {
	var all []Instance
	for i := range 20 {
		host := fmt.Sprint("h", i/5)
		all = append(all, Instance{Labels: []Label{{"rack", "of " + host}, {"host", host}, {"host", host}}, Anomalous: i < 5})
	}
	found := Find(all, order)
	if len(found) != 1 || found[0].String() != "host=h0" {
		t.Fatalf("%+v", found)
	}
	c := found[0]
	if c.Inside != 5 || c.InsideAnomalous != 5 || c.Outside != 15 || c.OutsideAnomalous != 0 || !math.IsInf(c.Ratio, 1) || c.Purity != 1 || c.Coverage != 1 || c.Score() != 1 {
		t.Errorf("%+v", c)
	}
	if math.Abs(c.P-1.0/15504) > 1e-9 || c.Q < c.P {
		t.Errorf("p %v, q %v", c.P, c.Q)
	}
}

func TestAdjust(t *testing.T) {
	found := []Component{{P: 0.04}, {P: 0.001}, {P: 0.03}}
	adjust(found, 4)
	for i, want := range []float64{0.16 / 3, 0.004, 0.16 / 3} {
		if math.Abs(found[i].Q-want) > 1e-12 {
			t.Errorf("%d: %v, want %v", i, found[i].Q, want)
		}
	}
}

// Of one node's requests, those of one subnet are slow.
func TestTally(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	var rs []tcprt.Record
	for range 3000 {
		subnet := byte(r.IntN(20))
		rec := tcprt.Record{T0: 1, T1: 1, T2: 2, T3: 3, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, subnet, byte(r.IntN(250))}), 4711)}
		if p := r.Float64(); subnet == 7 && p < 0.4 || p < 0.03 {
			rec.T3 = 1000
		}
		rs = append(rs, rec)
	}
	tally := NewTally("peer_subnet", 100)
	tally.Records(rs, Subnet, func(r *tcprt.Record) bool { return r.Total() > 100 })
	found := tally.Find(Options{})
	if len(found) != 1 || found[0].String() != "peer_subnet=10.0.7.0/24" || found[0].Ratio < 5 {
		t.Errorf("%+v", found)
	}
}

func TestTallyIsBounded(t *testing.T) {
	tally := NewTally("x", 2)
	for i := range 100 {
		tally.Add(fmt.Sprint(i), 10, uint64(i%2)*10)
	}
	if len(tally.counts) != 2 || tally.all != 1000 || tally.bad != 500 {
		t.Errorf("%+v", tally)
	}
}

func TestSubnet(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.77": "192.0.2.0/24", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::/64", "::ffff:192.0.2.1": "192.0.2.0/24", "fe80::1%eth0": "fe80::/64",
	} {
		if got := Subnet(&tcprt.Record{Remote: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}); got != want {
			t.Errorf("%s: %s", addr, got)
		}
	}
	if got := Subnet(&tcprt.Record{}); got != "unknown" {
		t.Error(got)
	}
}

// The same instances in another order give the same answer.
func TestOrderOfInstances(t *testing.T) {
	all := fleet(3, func(l map[string]string) float64 { return map[bool]float64{true: 0.8, false: 0.05}[l["host"] == "h2"] })
	a := Find(all, order)
	slices.Reverse(all)
	b := Find(all, order)
	if len(a) == 0 || len(a) != len(b) {
		t.Fatalf("%d and %d", len(a), len(b))
	}
	for i := range a {
		if a[i].String() != b[i].String() {
			t.Errorf("%d: %s and %s", i, a[i].String(), b[i].String())
		}
	}
}
