package control

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/class"
)

var (
	lsMember   = &Member{ID: "ls", Class: class.LS}
	lsrMember  = &Member{ID: "lsr", Class: class.LSR}
	beMember   = &Member{ID: "be", Class: class.BE}
	noneMember = &Member{ID: "none", Class: class.None}
)

func slow(m *Member) Slow {
	return Slow{ID: "server:80@1", Of: "default/web", Member: m, P99: 61 * time.Millisecond, Usual: 2 * time.Millisecond, Cause: "cpu_contention"}
}

// greedy is a node of four CPUs with an LS member that uses half a core and a BE one
// that takes all it may.
type greedy struct {
	n      *Node
	ls, be *Member
	now    time.Time
	moves  int
}

func newGreedy(change func(*SuppressOptions)) *greedy {
	h := &greedy{ls: &Member{ID: "ls", Class: class.LS, Fresh: true, Used: 0.5}, be: &Member{ID: "be", Class: class.BE, Fresh: true}, now: time.Unix(1000, 0)}
	o := Options{CPUs: 4, Suppress: DefaultSuppress(), Lane: DefaultLane(), CreditOff: 0.8}
	if change != nil {
		change(&o.Suppress)
	}
	h.n = NewNode(o)
	h.n.SetMembers([]*Member{h.be, h.ls})
	return h
}

// run steps for a time with services slow, and gives the cap.
func (h *greedy) run(d time.Duration, services ...Slow) float64 {
	for range d / tick {
		h.now = h.now.Add(tick)
		cores, _ := h.n.Cap()
		h.be.Used = min(3.4, cores)
		h.be.Throttled = 1
		if h.n.Step(Signals{Now: h.now, Dt: tick, Busy: h.ls.Used + h.be.Used, Pressure: math.NaN(), Slow: services}).CapMoved {
			h.moves++
		}
	}
	cores, _ := h.n.Cap()
	return cores
}

func (h *greedy) why() string { _, why := h.n.Cap(); return why.String() }

func TestSlowServicesTightenBestEffortWork(t *testing.T) {
	for _, c := range []struct {
		name   string
		of     *Member
		change func(*SuppressOptions)
		cuts   bool
	}{
		{"LS", lsMember, nil, true},
		{"LSR", lsrMember, nil, true},
		{"BE", beMember, nil, false},
		{"no class", noneMember, nil, false},
		{"unknown", nil, nil, false},
		{"switched off", lsMember, func(o *SuppressOptions) { o.Feedback.On = false }, false},
		{"a wide deadband", lsMember, func(o *SuppressOptions) { o.Deadband = 1 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newGreedy(c.change)
			before := h.run(20 * time.Second)
			h.moves = 0
			after := h.run(tick, slow(c.of))
			if !c.cuts {
				if h.run(10*time.Second, slow(c.of)); h.moves > 0 {
					t.Fatalf("cap %v -> %v: %s", before, after, h.why())
				}
				return
			}
			if h.moves != 1 || after > before*0.75 {
				t.Fatalf("cap %v -> %v", before, after)
			}
			if want := "requests of default/web at p99 61 ms, usually 2.0 ms (cpu_contention)"; h.why() != want {
				t.Errorf("why %q, want %q", h.why(), want)
			}
		})
	}
}

// A p99 is of seconds: one cut a second, down to the least and no further, and the
// way back after a while, a tenth of the room a second.
func TestFeedbackIsBoundedAndEnds(t *testing.T) {
	h := newGreedy(nil)
	before := h.run(20 * time.Second)
	h.moves = 0
	h.run(3*time.Second, slow(lsMember))
	if h.moves > 3 {
		t.Errorf("%d cuts in 3 s", h.moves)
	}
	low := h.run(20*time.Second, slow(lsMember))
	o := h.n.Options().Suppress
	room := o.Target*4 - h.ls.Used
	if least := room * o.Feedback.Least; low < least-1e-9 || low > least+0.02*4 {
		t.Errorf("cap %v, want about the least, %v", low, least)
	}
	if share, cuts := h.n.Feedback(); share != o.Feedback.Least || cuts < 2 || cuts > 6 {
		t.Errorf("share %v after %d cuts", share, cuts)
	}
	h.moves = 0
	if got := h.run(o.Feedback.Hold - time.Second); got > low || h.moves > 0 {
		t.Errorf("the cap rose to %v before its time", got)
	}
	if half := h.run(5 * time.Second); half < low+0.1 || half > 0.8*before {
		t.Errorf("cap %v some seconds later", half)
	}
	if !strings.Contains(h.why(), "default/web are as usual again") {
		t.Errorf("why %q", h.why())
	}
	if got := h.run(15 * time.Second); math.Abs(got-before) > 0.1 {
		t.Errorf("the cap came back to %v, it was %v", got, before)
	}
	if h.moves > 20 {
		t.Errorf("%d moves on the way back", h.moves)
	}
}

func TestFlappingServiceIsHeld(t *testing.T) {
	h := newGreedy(nil)
	h.run(20 * time.Second)
	h.moves = 0
	most := 0.0
	for i := range 60 {
		if i%4 < 2 {
			h.run(time.Second, slow(lsMember))
		} else {
			h.run(time.Second)
		}
		if i > 20 {
			c, _ := h.n.Cap()
			most = max(most, c)
		}
	}
	if h.moves > 10 || most > 1 {
		t.Errorf("%d moves in a minute of flapping, the cap up to %v", h.moves, most)
	}
}

// The floor holds whatever is reported, and a share of nothing is no number.
func TestFeedbackKeepsTheFloor(t *testing.T) {
	o := DefaultSuppress()
	o.Feedback.Least, o.Feedback.GiveUp, o.Floor = 0.01, 0, 0.1
	s := NewSuppressor(o)
	rng := rand.New(rand.NewPCG(5, 6))
	now := time.Unix(1000, 0)
	for i := range 5000 {
		now = now.Add(tick)
		in := calm(rng.Float64()*5, rng.Float64()*4)
		in.Now = now
		if rng.IntN(3) > 0 {
			in.Slow = []Slow{slow(lsMember)}
		}
		if rng.IntN(50) == 0 {
			now = now.Add(time.Duration(rng.Int64N(int64(time.Minute))) - 30*time.Second)
		}
		if d := s.Step(in); d.Cap < 0.4-1e-12 || math.IsNaN(d.Cap) {
			t.Fatalf("step %d: cap %v is below the floor: %+v", i, d.Cap, in)
		}
	}
	o.Floor = 0
	s.SetOptions(o)
	for i := range 100 {
		now = now.Add(tick)
		in := calm(4.5, 0) // no room at all
		in.Now, in.Slow = now, []Slow{slow(lsMember)}
		if d := s.Step(in); d.Cap < 0 || math.IsNaN(d.Cap) {
			t.Fatalf("step %d: cap %v", i, d.Cap)
		}
	}
}

// Best-effort work that does next to nothing is not why a service is slow.
func TestIdleWorkIsNotCut(t *testing.T) {
	h := newGreedy(nil)
	h.run(20 * time.Second)
	for range 200 {
		h.now = h.now.Add(tick)
		h.be.Used = 0.1
		h.n.Step(Signals{Now: h.now, Dt: tick, Busy: 0.6, Pressure: math.NaN()})
	}
	h.n.Step(Signals{Now: h.now.Add(tick), Dt: tick, Busy: 0.6, Pressure: math.NaN(), Slow: []Slow{slow(lsMember)}})
	if share, _ := h.n.Feedback(); share != 1 {
		t.Errorf("share %v", share)
	}
}

func TestServiceThatStaysSlowIsLetGo(t *testing.T) {
	h := newGreedy(nil)
	before := h.run(20 * time.Second)
	o := h.n.Options().Suppress.Feedback
	x, y := slow(lsMember), slow(lsMember)
	y.ID, y.Of = "server:81@1", "default/other"
	low := h.run(50*time.Second, x)
	if h.n.LetGo(x.ID, h.now) {
		t.Fatal("let go too early")
	}
	if got := h.run(50*time.Second, x); math.Abs(got-before) > 0.1 || !h.n.LetGo(x.ID, h.now) {
		t.Errorf("cap %v (%s), it was %v and %v at the least", got, h.why(), before, low)
	}
	// Another one counts.
	if got := h.run(10*time.Second, x, y); got > 1 || !strings.Contains(h.why(), "default/other") {
		t.Errorf("cap %v (%s) with another slow service", got, h.why())
	}
	h.run(o.GiveUp*letGoFor, x)
	if h.run(2*time.Minute, x); h.n.LetGo("nobody", h.now) {
		t.Error("nobody is let go")
	}
	if _, cuts := h.n.Feedback(); cuts < 8 {
		t.Errorf("%d cuts: it never got another try", cuts)
	}
}

// A closed loop: how slow the service is hangs on what best-effort work uses. It
// must find a level at which the service is well most of the time and the work gets
// on.
func TestFeedbackFindsALevel(t *testing.T) {
	h := newGreedy(nil)
	h.run(20 * time.Second)
	well, used := 0, 0.0
	const seconds = 600
	var said []Slow
	last := 0
	for i := range seconds {
		if h.be.Used > 1.5 {
			said, last = []Slow{slow(lsMember)}, i
		} else if i-last >= 5 {
			said = nil
		}
		if h.be.Used <= 1.5 {
			well++
		}
		h.run(time.Second, said...)
		used += h.be.Used / seconds
	}
	if well < seconds*6/10 || used < 0.8 {
		t.Errorf("well for %d of %d s at a mean of %.2f cores of best-effort work", well, seconds, used)
	}
}

// What is carried goes through JSON and gives the same decisions from there on.
func TestFeedbackResumes(t *testing.T) {
	a := newGreedy(nil)
	a.run(20 * time.Second)
	a.run(5*time.Second, slow(lsMember))
	a.run(3 * time.Second)
	start := a.now.Add(-time.Minute)
	b, err := json.Marshal(a.n.State(start))
	if err != nil {
		t.Fatal(err)
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	h := newGreedy(nil)
	h.now, h.be.Share = a.now, a.be.Share
	h.n.Resume(start, s)
	for i := range 60 {
		var said []Slow
		if i%17 < 4 {
			said = []Slow{slow(lsMember)}
		}
		if x, y := a.run(time.Second, said...), h.run(time.Second, said...); x != y || a.why() != h.why() {
			t.Fatalf("second %d: %v (%s) and %v (%s)", i, x, a.why(), y, h.why())
		}
	}
	s.Feedback = nil // of an older recording
	h.n.Resume(start, s)
	if share, _ := h.n.Feedback(); share != 1 {
		t.Errorf("share %v from nothing", share)
	}
}
