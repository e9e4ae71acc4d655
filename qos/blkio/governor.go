package blkio

import (
	"math"
	"time"

	"github.com/anole-os/anole/qos/runq"
)

// Options tunes a Governor.
type Options struct {
	// Latency is the objective of latency-sensitive IO: the mean of a window's
	// requests. 0 learns what the disk needs without best-effort IO and takes
	// Factor times that.
	Latency time.Duration
	Factor  float64
	Floor   float64 // share of the disk that best-effort IO always gets
	// Rise is the factor by which the limit grows in a second while the
	// objective holds.
	Rise   float64
	Settle time.Duration // how long the objective must hold before that
	// Relearn is the age of what was learned at which best-effort IO is all but
	// stopped for about a second, to measure anew.
	Relearn time.Duration
	// Capacity is what the disk can do; what is 0 is learned.
	Capacity Rates
	// Passive only learns: nothing is ever limited.
	Passive bool
}

// DefaultOptions gives those that a node runs with unless told otherwise.
func DefaultOptions() Options {
	return Options{Factor: 1.2, Floor: 0.001, Rise: 1.3, Settle: 500 * time.Millisecond, Relearn: 2 * time.Minute}
}

// Sample is what happened on one disk since the last one.
type Sample struct {
	Now  time.Time
	Disk DiskStat // growth
	LS   Flow     // of the latency-sensitive classes
	BE   Flow     // of best-effort work
	// Stall is the time in which some latency-sensitive task waited for IO (PSI)
	// while all their IO was on this disk; negative where that is not known.
	Stall time.Duration
	// Waits are the latency-sensitive requests themselves, one by one (see package
	// iolat); nil where they are not measured.
	Waits *runq.Hist
}

// Decision is a Governor's answer.
type Decision struct {
	Limit   Rates  `json:"limit"` // of all best-effort IO on the disk together; only if Limited
	Limited bool   `json:"limited"`
	Changed bool   `json:"changed"` // since the last decision
	Why     string `json:"why,omitempty"`
}

// Numbers that hold a window together: it is judged when it saw enoughOps
// requests of the latency-sensitive class, or fewOps by the time it is long.
const (
	shortWindow = 200 * time.Millisecond
	longWindow  = 2 * time.Second
	enoughOps   = 40
	fewOps      = 8
	// linger is how long that class is taken to be at work after a request.
	linger = 5 * time.Second
	// longProbe bounds the time that best-effort work is held for a measurement.
	longProbe = 5 * time.Second
	// grain is the resolution of a disk's times, so that a window's are known
	// to that; slack is a difference in the mean that nobody's objective is.
	grain = time.Millisecond
	slack = 20 * time.Microsecond
	// uncounted is how late the counters of a group may be that was idle: what
	// keeps the disk busy for longer and is in none of them is not best-effort.
	uncounted = 1500 * time.Millisecond
	// nearNothing is the share of a disk below which best-effort IO is no matter.
	nearNothing = 0.0002
)

// Governor holds best-effort IO on one disk to what latency-sensitive IO
// leaves: fast down, slow up, nothing at all while the latter does no IO there,
// never below a floor.
type Governor struct {
	o     Options
	level float64 // share of the capacity; +Inf is no limit
	limit Rates   // that the level means
	on    bool    // the limit is in force
	at    float64 // the level that it is of
	why   string  // of the level

	capacity Rates
	base     [signals]baseline
	tail     tail
	lastLS   time.Time
	began    time.Time // of the window
	last     time.Time
	win      Sample // sums of the window
	ratio    float64
	unclear  time.Time // since when the disk is busy with what no group counts
	idle     bool      // best-effort IO was quiet in the window before

	known   float64 // the level to begin with when the class comes back; 0 if there is none
	bad     float64 // the last level that broke the objective, 0 if none
	hold    time.Duration
	again   time.Time // when bad may be tried again
	calm    time.Time // since when the objective holds
	rose    time.Time // when the limit was last let rise
	probing bool
	probed  time.Time // when the last probe began
}

// NewGovernor makes a Governor without a limit in force.
func NewGovernor(o Options) *Governor {
	return &Governor{o: o, level: math.Inf(1), capacity: o.Capacity, ratio: math.NaN()}
}

// SetOptions changes the tuning.
func (g *Governor) SetOptions(o Options) {
	if o.Capacity != g.o.Capacity {
		g.capacity = o.Capacity
	}
	g.o = o
}

// Capacity is what the disk was seen, or is said, to do.
func (g *Governor) Capacity() Rates { return g.capacity }

// Ratio is how long latency-sensitive requests took in the last window, as a
// share of the objective; NaN while that is not known.
func (g *Governor) Ratio() float64 { return g.ratio }

// Baseline is the mean that such requests take on the quiet disk, by the signal
// that speaks loudest of their kind; 0 while that is not known.
func (g *Governor) Baseline() time.Duration {
	var out time.Duration
	for _, b := range g.base {
		out = max(out, b.mean)
	}
	return out
}

// Step takes a sample and gives the limit to hold from now on.
func (g *Governor) Step(s Sample) Decision {
	if g.last.IsZero() || !s.Now.After(g.last) || s.Now.Sub(g.last) > 10*time.Second {
		g.restart(s.Now) // the first, or the clock jumped
		g.forgive(s.Now)
		return g.decide(false)
	}
	g.last = s.Now
	g.add(s)
	if s.LS.Ops() > 0 {
		if s.Now.Sub(g.lastLS) >= linger {
			g.resume(s.Now)
		}
		g.lastLS = s.Now
	}
	if g.lastLS.IsZero() || s.Now.Sub(g.lastLS) >= linger {
		g.rest(s.Now)
		return g.decide(false)
	}
	if !g.due(s.Now) {
		return g.decide(true)
	}
	g.judge(s.Now)
	g.restart(s.Now)
	return g.decide(true)
}

func (g *Governor) restart(now time.Time) {
	g.last, g.began, g.win = now, now, Sample{}
}

// forgive takes times that a clock set back has left in the future for now.
func (g *Governor) forgive(now time.Time) {
	for _, t := range []*time.Time{&g.lastLS, &g.again, &g.calm, &g.probed, &g.rose, &g.unclear} {
		if t.After(now.Add(time.Minute)) {
			*t = now
		}
	}
	for i := range g.base {
		if g.base[i].at.After(now) {
			g.base[i].at = now
		}
	}
}

func (g *Governor) add(s Sample) {
	w := &g.win
	w.Disk.Add(s.Disk.Flow)
	w.Disk.ReadTime += max(0, s.Disk.ReadTime)
	w.Disk.WriteTime += max(0, s.Disk.WriteTime)
	w.LS.Add(s.LS)
	w.BE.Add(s.BE)
	g.tail.add(s.Waits)
	if s.Stall < 0 || w.Stall < 0 {
		w.Stall = -1
	} else {
		w.Stall += s.Stall
	}
}

// resume begins anew where the class left off.
func (g *Governor) resume(now time.Time) {
	g.restart(now)
	g.tail.reset()
	if g.known > 0 && g.known < 1 {
		g.level, g.why = g.known, "latency-sensitive IO is back"
	} else {
		g.why = ""
	}
	g.calm = time.Time{}
}

// rest is the disk without latency-sensitive IO: only what it can do is learned.
func (g *Governor) rest(now time.Time) {
	if !math.IsInf(g.level, 1) && !g.probing {
		g.known = g.level
	}
	g.level, g.probing, g.ratio = math.Inf(1), false, math.NaN()
	g.why = "no latency-sensitive IO on the disk"
	if now.Sub(g.began) >= shortWindow {
		g.learn(now.Sub(g.began))
		g.restart(now)
	}
}

// due says whether the window can be judged.
func (g *Governor) due(now time.Time) bool {
	age := now.Sub(g.began)
	return age >= longWindow || age >= shortWindow && g.win.LS.Ops() >= enoughOps
}

// learn takes what the disk just did for what it can do, if that is more.
func (g *Governor) learn(age time.Duration) {
	seen := g.win.Disk.Per(age)
	more := func(have *float64, fixed, seen float64) {
		if fixed == 0 {
			*have = max(*have, seen)
		}
	}
	c, f := &g.capacity, g.o.Capacity
	more(&c.ReadBytes, f.ReadBytes, seen.ReadBytes)
	more(&c.WriteBytes, f.WriteBytes, seen.WriteBytes)
	more(&c.ReadOps, f.ReadOps, seen.ReadOps)
	more(&c.WriteOps, f.WriteOps, seen.WriteOps)
}

// judge looks at a whole window.
func (g *Governor) judge(now time.Time) {
	age := now.Sub(g.began)
	g.learn(age)
	used := g.share(g.win.BE.Per(age))
	quiet := g.atFloor(g.win.BE.Per(age))
	alone := g.alone(now, age)
	if g.win.LS.Ops() < fewOps {
		g.tail.fold()
		return
	}
	means := g.means()
	if alone {
		g.quiet(now, means)
	} else {
		g.tail.fold()
	}
	if g.probe(now, means, alone) {
		g.tail.reset() // the next window is the first that counts
		return
	}
	ratio, why := g.worst(means)
	if r, w := g.tail.judge(now, g.o); r > ratio || math.IsNaN(ratio) && r > 0 {
		ratio, why = r, w
	}
	g.ratio = ratio
	if g.o.Passive {
		return
	}
	switch {
	case ratio > 1 && !quiet:
		g.down(now, ratio, used, why)
	case ratio > 1:
		g.calm = time.Time{} // not best-effort work's doing; no time to give it more
	default:
		g.up(now, used)
	}
}

// alone says whether a window shows the disk without best-effort work: not while
// there is IO that was not counted yet, nor while requests may still wait behind
// what was under way.
func (g *Governor) alone(now time.Time, age time.Duration) bool {
	most := g.whole().Times(nearNothing).atLeast(least.Times(1.5))
	if g.win.Disk.Since(g.win.LS).Since(g.win.BE).Per(age).within(most) {
		g.unclear = time.Time{}
	} else if g.unclear.IsZero() {
		g.unclear = g.began
	}
	was := g.idle
	g.idle = g.win.BE.Per(age).within(most) && (g.unclear.IsZero() || now.Sub(g.unclear) >= uncounted)
	return was && g.idle
}

// share is the part of the disk that rates are: the largest of the four.
func (g *Governor) share(r Rates) float64 {
	c := g.whole()
	out := 0.0
	for _, x := range [][2]float64{{r.ReadBytes, c.ReadBytes}, {r.WriteBytes, c.WriteBytes}, {r.ReadOps, c.ReadOps}, {r.WriteOps, c.WriteOps}} {
		if x[1] > 0 {
			out = max(out, x[0]/x[1])
		}
	}
	return out
}

// whole is the capacity. A direction that was hardly seen is taken for half of
// the other.
func (g *Governor) whole() Rates {
	c, f := g.capacity, g.o.Capacity
	half := func(a, fixed, b float64) float64 {
		if fixed > 0 {
			return a
		}
		return max(a, b/2)
	}
	return Rates{
		half(c.ReadBytes, f.ReadBytes, c.WriteBytes), half(c.WriteBytes, f.WriteBytes, c.ReadBytes),
		half(c.ReadOps, f.ReadOps, c.WriteOps), half(c.WriteOps, f.WriteOps, c.ReadOps),
	}
}

// atFloor says whether rates are no more than what is always given.
func (g *Governor) atFloor(r Rates) bool {
	return r.within(g.whole().Times(g.o.Floor * 1.5).atLeast(least.Times(1.5)))
}

func (r Rates) within(o Rates) bool {
	return r.ReadBytes <= o.ReadBytes && r.WriteBytes <= o.WriteBytes && r.ReadOps <= o.ReadOps && r.WriteOps <= o.WriteOps
}

func (r Rates) atLeast(o Rates) Rates {
	return Rates{max(r.ReadBytes, o.ReadBytes), max(r.WriteBytes, o.WriteBytes), max(r.ReadOps, o.ReadOps), max(r.WriteOps, o.WriteOps)}
}

// probe says whether the window was for measuring only. It all but stops
// best-effort work when it is not known what the disk needs without.
func (g *Governor) probe(now time.Time, means [signals]time.Duration, alone bool) bool {
	if g.o.Latency > 0 || g.o.Passive {
		return false
	}
	switch {
	case g.probing && alone && g.tail.learning() && now.Sub(g.probed) < longProbe:
		return true // more of the quiet disk's requests are needed
	case g.probing && !alone && now.Sub(g.probed) < longProbe:
		return true // what was under way before is not done yet
	case g.probing: // measured, or somebody else keeps the disk busy in that name
		g.probing = false
		g.level, g.why = g.after(), "measured the quiet disk"
		g.calm = now
		return true
	case !alone && g.unsure(now, means):
		if !math.IsInf(g.level, 1) {
			g.known = g.level
		}
		g.probing, g.probed = true, now
		g.level, g.why = 0, "to measure the disk without best-effort IO"
		return true
	}
	return false
}

// unsure says that what the quiet disk needs is to be measured now: nothing that
// speaks has a baseline, or too old a one, or there are requests enough for a
// tail and none of it is known.
func (g *Governor) unsure(now time.Time, means [signals]time.Duration) bool {
	unknown, stale := true, false
	for i, m := range means {
		if m > 0 && g.base[i].mean > 0 {
			unknown = false
			stale = stale || now.Sub(g.base[i].at) > g.o.Relearn
		}
	}
	enough := float64(g.win.LS.Ops()) > 1.5*tailOps/longProbe.Seconds()*now.Sub(g.began).Seconds()
	if g.tail.measured && enough && g.tail.quiet.Count() < tailOps {
		unknown = true
	}
	age := now.Sub(g.probed)
	return g.probed.IsZero() && (unknown || stale) || age > 10*time.Second && unknown || age > g.o.Relearn && stale
}

// after is the level to go on with after a probe.
func (g *Governor) after() float64 {
	if g.known > 0 && g.known < 1 {
		return g.known
	}
	return min(1, g.o.Floor*4)
}

// Bounds of one step down.
const (
	leastCut = 0.8
	mostCut  = 0.1
)

func (g *Governor) down(now time.Time, ratio, used float64, why string) {
	floor := g.o.Floor
	from := min(g.level, max(used, floor))
	if from <= floor*1.01 {
		g.level, g.why = floor, why
		return
	}
	g.tail.reset()
	cut := max(mostCut, min(leastCut, 1/ratio))
	g.bad = from
	g.hold = min(time.Minute, max(4*time.Second, g.hold*2))
	g.again = now.Add(g.hold)
	g.level, g.why = max(floor, from*cut), why
	g.calm = time.Time{}
}

// nearBad is how close below a level that broke the objective the limit stays
// until it may be tried again.
const nearBad = 0.8

func (g *Governor) up(now time.Time, used float64) {
	if g.calm.IsZero() {
		g.calm = now
	}
	if math.IsInf(g.level, 1) || now.Sub(g.calm) < g.o.Settle || used < g.level*0.7 || g.tail.pending() {
		return
	}
	// Since it rose last, or held again.
	since := now.Sub(g.rose)
	if g.rose.Before(g.calm) {
		since = now.Sub(g.calm)
	}
	secs := min(2, since.Seconds())
	next := g.level * math.Pow(g.o.Rise, secs)
	if g.bad == 0 {
		next = g.level * math.Pow(g.o.Rise, 4*secs) // no bound is known yet
	}
	if g.bad > 0 && now.Before(g.again) {
		next = max(g.level, min(next, g.bad*nearBad))
	} else if g.bad > 0 && next > g.bad {
		g.bad, g.hold = 0, g.hold/4 // it holds today
	}
	g.rose = now
	if next == g.level {
		return
	}
	g.tail.reset()
	g.level, g.why = next, "the objective holds"
	if g.level >= 1 {
		g.level = math.Inf(1)
	}
}

// Least limit that is ever set, whatever was learned.
var least = Rates{256 << 10, 256 << 10, 4, 4}

// decide turns the level into a limit. A level that moved little stays as it is
// in the files.
func (g *Governor) decide(active bool) Decision {
	c := g.whole()
	if !active || math.IsInf(g.level, 1) || c.Zero() {
		changed := g.on
		g.on, g.limit = false, Rates{}
		return Decision{Changed: changed, Why: g.why}
	}
	l := c.Times(g.level).atLeast(least)
	changed := !g.on || l.far(g.limit, 0.05)
	if changed && g.on && g.level == g.at {
		changed = l.far(g.limit, 0.5) // only what the disk was seen to do
	}
	if changed {
		g.limit, g.on, g.at = l, true, g.level
	}
	return Decision{Limit: g.limit, Limited: true, Changed: changed, Why: g.why}
}

// far says whether rates differ by more than a share of those in force.
func (r Rates) far(o Rates, share float64) bool {
	far := func(a, b float64) bool { return math.Abs(a-b) > b*share }
	return far(r.ReadBytes, o.ReadBytes) || far(r.WriteBytes, o.WriteBytes) || far(r.ReadOps, o.ReadOps) || far(r.WriteOps, o.WriteOps)
}

func round(d time.Duration) time.Duration { return d.Round(time.Microsecond) }
