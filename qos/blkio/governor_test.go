package blkio

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/runq"
)

// model is a disk in simulated time: requests of the latency-sensitive class
// take base, and pressed times that more when best-effort work has the whole
// disk, in proportion.
type model struct {
	g        *Governor
	now      time.Time
	capacity Rates
	base     time.Duration
	pressed  float64
	lsOps    float64 // a second
	demand   float64 // of best-effort work, as a share of the disk
	psi      bool    // the class's waits are known
	noise    *rand.Rand
	carry    float64
	last     Decision
	changes  int
	beBytes  float64 // written by best-effort work
	mean     time.Duration
	tails    float64   // with waits measured: how much longer a request takes that meets best-effort IO
	waits    runq.Hist // all of them, since it was cleared
	lag      int       // what best-effort work does is counted in every so manieth step
	steps    int
	late     Flow
	drain    int       // steps that a lower limit takes to be felt
	shares   []float64 // of the last steps
}

func newModel(o Options) *model {
	return &model{
		g: NewGovernor(o), now: time.Unix(1000, 0), capacity: Rates{ReadBytes: 500e6, WriteBytes: 400e6, ReadOps: 50e3, WriteOps: 40e3},
		base: 200 * time.Microsecond, pressed: 9, lsOps: 500, demand: 1, psi: true, noise: rand.New(rand.NewPCG(1, 2)),
	}
}

// share is the part of the disk that best-effort work has now.
func (m *model) share() float64 {
	if !m.last.Limited {
		return m.demand
	}
	return min(m.demand, m.last.Limit.WriteBytes/m.capacity.WriteBytes)
}

func (m *model) step() {
	const dt = 100 * time.Millisecond
	m.now = m.now.Add(dt)
	u := m.share()
	if m.drain > 0 {
		m.shares = append(m.shares, u)
		m.shares = m.shares[max(0, len(m.shares)-m.drain):]
		u = slices.Max(m.shares)
	}
	m.carry += m.lsOps * dt.Seconds()
	ops := uint64(m.carry)
	m.carry -= float64(ops)
	jitter := 1 + 0.1*(m.noise.Float64()-0.5)
	m.mean = time.Duration(float64(m.base) * (1 + m.pressed*u) * jitter)
	s := Sample{Now: m.now, LS: Flow{ReadOps: ops, ReadBytes: ops * 4096}, Stall: -1}
	bytes := u * m.capacity.WriteBytes * dt.Seconds()
	s.BE = Flow{WriteBytes: uint64(bytes), WriteOps: uint64(bytes / (128 << 10))}
	m.beBytes += bytes
	s.Disk.Flow = s.LS
	s.Disk.Add(s.BE)
	if m.steps++; m.lag > 0 {
		m.late.Add(s.BE)
		s.BE = Flow{}
		if m.steps%m.lag == 0 {
			s.BE, m.late = m.late, Flow{}
		}
	}
	s.Disk.ReadTime = (time.Duration(ops) * m.mean).Truncate(grain)
	if m.psi {
		s.Stall = time.Duration(ops) * m.mean
	}
	if m.tails > 0 {
		s.Waits = new(runq.Hist)
		var sum time.Duration
		for range ops {
			w := time.Duration(float64(m.base) * (1 + 0.3*m.noise.Float64()))
			if m.noise.Float64() < u {
				w = time.Duration(float64(w) * m.tails)
			}
			s.Waits.Add(w)
			sum += w
		}
		m.waits.Merge(s.Waits)
		s.Disk.ReadTime = sum.Truncate(grain)
		if m.psi {
			s.Stall = sum
		}
	}
	m.last = m.g.Step(s)
	if m.last.Changed {
		m.changes++
	}
}

func (m *model) run(d time.Duration) {
	for end := m.now.Add(d); m.now.Before(end); {
		m.step()
	}
}

func TestGovernorHoldsTheObjective(t *testing.T) {
	for _, psi := range []bool{true, false} {
		o := DefaultOptions()
		m := newModel(o)
		m.psi = psi
		m.run(20 * time.Second)
		if !m.last.Limited {
			t.Fatal("best-effort work is not limited while it breaks the objective")
		}
		// What the objective leaves is known here: u with 1 + 9u = factor.
		room := (o.Factor - 1) / m.pressed
		var worst, sum float64
		const n = 300
		for range n {
			m.step()
			sum += m.share()
			worst = max(worst, m.share())
		}
		if mean := sum / n; mean < room/2 || mean > room*1.3 {
			t.Errorf("psi %v: best-effort work has %.4f of the disk; the objective leaves %.4f", psi, mean, room)
		}
		if worst > room*2 {
			t.Errorf("psi %v: it was let have %.4f", psi, worst)
		}
	}
}

// One request in fifty that meets best-effort IO is seen by no mean.
func TestGovernorHoldsTheTail(t *testing.T) {
	m := newModel(DefaultOptions())
	m.tails = 5
	m.demand = 0
	m.run(20 * time.Second)
	solo := m.waits.Quantile(0.99)
	m.demand = 1
	m.run(20 * time.Second)
	m.waits = runq.Hist{}
	var sum float64
	for range 1200 {
		m.step()
		sum += m.share()
	}
	held := m.waits.Quantile(0.99)
	t.Logf("p99 %v, without best-effort work %v; that has %.4f of the disk", held, solo, sum/1200)
	if float64(held) > 1.3*float64(solo) {
		t.Errorf("p99 %v beside best-effort work, %v without", held, solo)
	}
	if mean := sum / 1200; mean < 0.002 {
		t.Errorf("best-effort work has %.4f of the disk; a hundredth would be fine", mean)
	}
}

// Groups that were idle are read once a second: until then the counters show a
// busy disk and nobody who works on it.
func TestGovernorLearnsNothingFromWorkNotCountedYet(t *testing.T) {
	for _, tails := range []float64{0, 5} {
		for _, psi := range []bool{true, false} {
			for first := range 10 { // when the counters are read first
				m := newModel(DefaultOptions())
				m.tails, m.psi, m.lag, m.steps = tails, psi, 10, first
				m.run(20 * time.Second)
				var sum float64
				for range 300 {
					m.step()
					sum += m.share()
				}
				if mean := sum / 300; mean > 0.1 {
					t.Errorf("tails %v, psi %v, read first in step %d: best-effort work has %.3f of the disk", tails, psi, 10-first, mean)
				}
			}
		}
	}
}

// A probe's first requests still wait behind what was under way when it began.
func TestGovernorDoesNotLearnFromWhatAProbeLeavesUnderWay(t *testing.T) {
	m := newModel(DefaultOptions())
	m.tails, m.drain, m.demand = 3, 8, 0.05 // of which the mean says nothing
	m.run(20 * time.Second)
	m.waits = runq.Hist{}
	m.run(20 * time.Second)
	if p99 := m.waits.Quantile(0.99); p99 > 2*m.base {
		t.Errorf("p99 %v; the quiet disk's is %v", p99, m.base*13/10)
	}
}

// Requests too few for a tail to be told leave the limit to the mean.
func TestGovernorFewRequests(t *testing.T) {
	m := newModel(DefaultOptions())
	m.tails, m.lsOps = 1.01, 6
	m.run(3 * time.Minute)
	if m.last.Limited && m.share() < 0.2 {
		t.Errorf("harmless best-effort work is held at %.3f", m.share())
	}
}

func TestGovernorIsFastDown(t *testing.T) {
	m := newModel(DefaultOptions())
	m.demand = 0
	m.run(10 * time.Second) // learns what the disk needs
	m.demand = 1
	m.run(1500 * time.Millisecond)
	if u := m.share(); u > 0.05 {
		t.Errorf("after 1.5 s best-effort work still has %.3f of the disk", u)
	}
}

func TestGovernorConservesWork(t *testing.T) {
	m := newModel(DefaultOptions())
	m.run(20 * time.Second)
	m.lsOps = 0
	m.run(6 * time.Second)
	if m.last.Limited {
		t.Fatal("limited without latency-sensitive IO")
	}
	before := m.last
	m.run(10 * time.Second)
	if m.last.Limited || before.Why == "" {
		t.Errorf("%+v", m.last)
	}
	m.lsOps = 500
	m.run(300 * time.Millisecond)
	if u := m.share(); !m.last.Limited || u > 0.1 {
		t.Errorf("the limit that was found is not taken up again: %.3f, %+v", u, m.last)
	}
}

func TestGovernorLeavesHarmlessWorkAlone(t *testing.T) {
	m := newModel(DefaultOptions())
	m.pressed = 0.05
	m.run(30 * time.Second)
	if m.last.Limited {
		t.Errorf("limited though it harms nobody: %+v", m.last)
	}
}

func TestGovernorKeepsTheFloor(t *testing.T) {
	o := DefaultOptions()
	o.Floor = 0.05
	m := newModel(o)
	m.pressed = 1000
	m.run(30 * time.Second)
	for range 200 {
		m.step()
		if u := m.share(); u < o.Floor*0.999 {
			t.Fatalf("best-effort work has %.4f of the disk, less than its floor", u)
		}
	}
}

func TestGovernorDoesNotBlameBestEffort(t *testing.T) {
	m := newModel(DefaultOptions())
	m.demand = 0
	m.run(10 * time.Second)
	m.demand = 0.001
	m.base = 5 * time.Millisecond // the disk itself became slow
	m.run(30 * time.Second)
	if got := m.g.Baseline(); got < 4*time.Millisecond {
		t.Errorf("baseline %v: a slow disk is not learned", got)
	}
	m.demand, m.pressed = 1, 0.05
	m.run(20 * time.Second)
	if m.last.Limited {
		t.Errorf("limited for what is the disk's own: %+v", m.last)
	}
}

// A service whose requests take now long, now short by themselves is no reason
// to hold best-effort work that adds next to nothing.
func TestGovernorToleratesWhatVariesByItself(t *testing.T) {
	m := newModel(DefaultOptions())
	m.demand, m.pressed = 0, 0.1
	limited := 0
	for i := range 3000 {
		m.base = 200 * time.Microsecond
		if i/5%2 == 0 {
			m.base = 500 * time.Microsecond
		}
		if i == 300 {
			m.demand = 0.5
		}
		m.step()
		if i > 600 && m.share() < 0.25 {
			limited++
		}
	}
	if limited > 2400/4 {
		t.Errorf("best-effort work was held for %d of 2400 steps", limited)
	}
}

func TestGovernorFixedObjective(t *testing.T) {
	o := DefaultOptions()
	o.Latency = time.Millisecond
	m := newModel(o)
	m.run(30 * time.Second)
	room := 4.0 / 9 // 200 µs (1 + 9u) = 1 ms
	if u := m.share(); u < room/2 || u > room*1.3 {
		t.Errorf("best-effort work has %.3f; the objective leaves %.3f", u, room)
	}
}

func TestGovernorFixedCapacity(t *testing.T) {
	o := DefaultOptions()
	o.Capacity = Rates{WriteBytes: 1e6}
	m := newModel(o)
	m.run(5 * time.Second)
	c := m.g.Capacity()
	if c.WriteBytes != 1e6 || c.ReadOps == 0 {
		t.Errorf("capacity %+v: what is given is kept, the rest learned", c)
	}
}

func TestGovernorSlowDisk(t *testing.T) {
	m := newModel(DefaultOptions())
	m.capacity = Rates{ReadBytes: 100e6, WriteBytes: 90e6, ReadOps: 120, WriteOps: 110}
	m.base, m.lsOps = 8*time.Millisecond, 30
	m.run(60 * time.Second)
	if !m.last.Limited || m.share() > 0.1 {
		t.Errorf("a disk of 120 requests a second is not held: %.3f %+v", m.share(), m.last)
	}
}

func TestGovernorSteadyStateWritesNothing(t *testing.T) {
	m := newModel(DefaultOptions())
	m.demand = 0.005
	m.run(30 * time.Second)
	before := m.changes
	m.run(60 * time.Second)
	if n := m.changes - before; n != 0 {
		t.Errorf("%d changes while best-effort work does next to nothing", n)
	}
}

func TestGovernorPassiveLimitsNothing(t *testing.T) {
	o := DefaultOptions()
	o.Passive = true
	m := newModel(o)
	m.demand = 0
	m.run(5 * time.Second)
	m.demand = 1
	m.run(20 * time.Second)
	if m.last.Limited || m.changes > 0 {
		t.Errorf("%+v", m.last)
	}
	if b := m.g.Baseline(); b < 150*time.Microsecond || b > 250*time.Microsecond {
		t.Errorf("baseline %v", b)
	}
}

// The same samples give the same decisions, which a replay relies on.
func TestGovernorReplays(t *testing.T) {
	run := func() (out []Decision) {
		m := newModel(DefaultOptions())
		for i := range 400 {
			if i == 200 {
				m.lsOps = 0
			}
			if i == 300 {
				m.lsOps = 500
			}
			m.step()
			out = append(out, m.last)
		}
		return out
	}
	a, b := run(), run()
	for i := range a {
		if a[i] != b[i] {
			t.Fatalf("step %d: %+v, then %+v", i, a[i], b[i])
		}
	}
}

func TestGovernorSurvivesBadTimes(t *testing.T) {
	m := newModel(DefaultOptions())
	m.run(10 * time.Second)
	for _, jump := range []time.Duration{-time.Hour, 0, time.Nanosecond, 24 * time.Hour, -24 * time.Hour} {
		m.now = m.now.Add(jump)
		m.run(20 * time.Second)
		if u := m.share(); !m.last.Limited || u > 0.1 {
			t.Errorf("20 s after a jump by %v best-effort work has %.3f", jump, u)
		}
	}
}

func FuzzGovernor(f *testing.F) {
	f.Add(int64(100), uint64(10), uint64(1000), int64(5), int64(-1))
	f.Fuzz(func(t *testing.T, dt int64, ls, be uint64, wait, stall int64) {
		g := NewGovernor(DefaultOptions())
		now := time.Unix(1000, 0)
		for i := range 50 {
			now = now.Add(time.Duration(dt%5000) * time.Millisecond)
			s := Sample{Now: now, LS: Flow{ReadOps: ls, ReadBytes: ls}, BE: Flow{WriteOps: be, WriteBytes: be}, Stall: time.Duration(stall)}
			s.Disk.Flow = s.LS
			s.Disk.ReadTime = time.Duration(wait)
			if i%2 == 0 {
				s.Disk.Add(s.BE)
			}
			d := g.Step(s)
			for _, v := range []float64{d.Limit.ReadBytes, d.Limit.WriteBytes, d.Limit.ReadOps, d.Limit.WriteOps} {
				if math.IsNaN(v) || v < 0 || d.Limited && v == 0 {
					t.Fatalf("limit %+v", d)
				}
			}
		}
	})
}
