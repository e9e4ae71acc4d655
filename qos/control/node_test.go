package control

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
)

func TestCapOfIdleWorkStands(t *testing.T) {
	for _, c := range []struct {
		name      string
		cap, want float64
		used      float64
		short     bool
		stands    bool
	}{
		{"noise", 3.9, 3.5, 0.2, false, true},
		{"noise upwards", 3.5, 3.9, 0.2, false, true},
		{"more than a quarter of the node", 3.9, 2.5, 0.2, false, false},
		{"it uses more than half", 3.9, 3.5, 1.8, false, false},
		{"it ran out of quota", 3.9, 3.5, 0.2, true, false},
		{"the first cap", math.Inf(1), 3.9, 0.2, false, false},
		{"the end of the cap", 3.9, math.Inf(1), 0.2, false, false},
	} {
		n := NewNode(Options{CPUs: 4})
		n.cap, n.be = c.cap, []*Member{{Used: c.used / 2}, {Used: c.used / 2, short: c.short}}
		if got := n.slack(c.want); got != c.stands {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// newTestNode is a node of four CPUs under the default tuning.
func newTestNode(members ...*Member) *Node {
	n := NewNode(Options{
		CPUs: 4, Suppress: DefaultSuppress(), Lane: DefaultLane(), Limits: burst.Mainline(), Stall: 0, Credit: true, CreditOff: 0.8,
	})
	n.SetMembers(members)
	return n
}

func TestBurstAboveTheQuotaIsExplained(t *testing.T) {
	m := &Member{ID: "a", Class: class.LS, Mode: burst.Mode{Set: true, Budget: 5 * time.Second}}
	n := newTestNode(m)
	if err := n.SetLimit(m, 0.5); err != nil {
		t.Fatal(err)
	}
	p := m.Bank.Plan
	if p.Burst > p.Quota || !p.NeedsCredit || m.Bank.Credit == nil {
		t.Errorf("plan %+v", p)
	}
	if text := strings.Join(p.Explain(), "; "); !strings.Contains(text, "short of the burst wanted") {
		t.Errorf("nothing says why 5 s do not fit: %q", text)
	}
	if why := m.Bank.Why(); !strings.Contains(why, "short of") {
		t.Errorf("the decision does not say so: %q", why)
	}
	o := n.Options()
	o.Credit = false
	n.SetOptions(o)
	if m.Bank != nil {
		t.Error("the bank outlived the options that it was made by")
	}
	if err := n.SetLimit(m, 0.5); err != nil || m.Bank.Credit != nil {
		t.Errorf("credit %v, %v though it is off", m.Bank.Credit, err)
	}
}

// A day in a minute: what the node decides hangs on the signals alone.
func TestNodeRepeatsItself(t *testing.T) {
	run := func() (out []string) {
		ls := &Member{ID: "ls", Class: class.LS, Mode: burst.ModeAuto, Fresh: true}
		a, b := &Member{ID: "be/a", Class: class.BE, Fresh: true}, &Member{ID: "be/b", Class: class.BE, Fresh: true}
		n := newTestNode(a, b, ls)
		if err := n.SetLimit(ls, 1); err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_000_000, 0)
		for i := range 600 {
			at = at.Add(100 * time.Millisecond)
			ls.Used = 0.4 + 0.3*math.Sin(float64(i)/20)
			a.Used, b.Used = a.Share, b.Share/2
			if ls.Throttled, ls.Stalled = 0, 0; i%40 == 0 {
				ls.Throttled, ls.Stalled = 1, 30*time.Millisecond
			}
			if a.Throttled = 0; i%3 == 0 {
				a.Throttled = 1
			}
			ls.Delta = time.Duration(ls.Used * float64(100*time.Millisecond))
			o := n.Step(Signals{
				Now: at, Dt: 100 * time.Millisecond, Busy: ls.Used + a.Used + b.Used, Pressure: math.NaN(),
				RunQueueOK: true, RunQueueP99: time.Duration(i%50) * 100 * time.Microsecond, RunQueueSamples: 200,
			})
			c, why := n.Cap()
			out = append(out, fmt.Sprintf("%v %.6f %s %.6f %.6f %d %d", o.CapMoved, c, why, a.Share, b.Share, ls.Bank.Gen, len(o.Grants)))
			if a.Share+b.Share > c+2*LeastShare {
				t.Fatalf("step %d: shares %v and %v of a cap of %v", i, a.Share, b.Share, c)
			}
		}
		return out
	}
	first := run()
	if !reflect.DeepEqual(first, run()) {
		t.Fatal("the same signals gave other decisions")
	}
	if first[0] == first[len(first)-1] {
		t.Fatal("nothing was decided")
	}
}

func TestLaneVerdicts(t *testing.T) {
	a, b := &Member{ID: "a", Class: class.LS, WantLane: true}, &Member{ID: "b", Class: class.LS}
	n := newTestNode(a, b)
	at := time.Unix(1_000_000, 0)
	var v []LaneVerdict
	step := func(times int) {
		for range times {
			at = at.Add(100 * time.Millisecond)
			v = n.Lanes(at, v)
			a.InLane, b.InLane = v[0].In, v[1].In
		}
	}
	if step(2); !v[0].In || v[1].In {
		t.Fatalf("who asked is in: %+v", v)
	}
	a.Spinner, a.SpinUse = 42, 0.99
	if step(1); v[0].In || !strings.Contains(v[0].Why, "thread 42 spins") || n.Demotions != 1 {
		t.Fatalf("a spinner stays: %+v, %d", v[0], n.Demotions)
	}
	a.Spinner = 0
	if step(10); v[0].In {
		t.Fatal("no cool-off")
	}
	if step(400); !v[0].In {
		t.Fatalf("never let in again: %+v", v[0])
	}
	b.WantLane = true
	a.Used, b.Used = 1.5, 1.6 // each below 60 % of four CPUs, together above
	if step(60); v[0].In == v[1].In || n.Demotions != 2 {
		t.Fatalf("the heaviest of two leaves: %+v, %d", v, n.Demotions)
	}
	if v[1].In {
		t.Error("the lighter one was put out")
	}
}

func TestOneCPUHasNoLane(t *testing.T) {
	m := &Member{ID: "a", Class: class.LS, WantLane: true}
	n := NewNode(Options{CPUs: 1, Suppress: DefaultSuppress(), Lane: DefaultLane()})
	n.SetMembers([]*Member{m})
	if v := n.Lanes(time.Unix(1, 0), nil); v[0].In {
		t.Error("a real-time thread that spins would take the only CPU")
	}
}

func TestABoundAboveHoldsTheShareForAWhile(t *testing.T) {
	ls, be := &Member{ID: "ls", Class: class.LS}, &Member{ID: "be", Class: class.BE}
	n := newTestNode(be, ls)
	at := time.Unix(1_000_000, 0)
	step := func(times int) {
		for range times {
			at = at.Add(100 * time.Millisecond)
			n.Step(Signals{Now: at, Dt: 100 * time.Millisecond, Busy: 0.1, Pressure: math.NaN()})
		}
	}
	step(3)
	if be.Share < 3 {
		t.Fatalf("share %v of an idle node", be.Share)
	}
	be.BoundAbove(at, 0.5)
	if step(1); be.Share != 0.5 {
		t.Fatalf("share %v below a parent with 0.5", be.Share)
	}
	if step(310); be.Share < 3 {
		t.Fatalf("share %v: the bound was never looked at again", be.Share)
	}
}

func TestACapThatMovesLateTellsItsReason(t *testing.T) {
	ls, be := &Member{ID: "ls", Class: class.LS}, &Member{ID: "be", Class: class.BE}
	n := newTestNode(be, ls)
	at := time.Unix(1_000_000, 0)
	moves := 0
	for i := range 400 {
		at = at.Add(100 * time.Millisecond)
		ls.Used = 0.4 + 0.5*math.Sin(float64(i)/30)
		be.Used = 0.1 // there is slack
		if i > 200 {
			be.Used = be.Share // it takes all it may
		}
		o := n.Step(Signals{Now: at, Dt: 100 * time.Millisecond, Busy: ls.Used + be.Used, Pressure: math.NaN()})
		if !o.CapMoved {
			continue
		}
		moves++
		if _, why := n.Cap(); !strings.HasPrefix(why.String(), "others use ") {
			t.Errorf("step %d: the cap moved as %q", i, why)
		}
	}
	if moves < 3 {
		t.Fatalf("%d moves: nothing was tested", moves)
	}
}
