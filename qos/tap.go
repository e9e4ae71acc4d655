package qos

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/workload"
)

// Tap is a recording under way: what the controllers look at and decide, Step by
// Step. While there is one, all workloads are read in each interval.
type Tap struct {
	e     *Engine
	head  record.Header
	c     chan []*record.Line
	start time.Time // with the monotonic clock, by which steps are timed
	gen   int       // of the policy that was told last
	known map[uint64]*tapped
	err   error // why c was closed, set before
	// What the groups had come to before the first Step.
	learned map[uint64]time.Duration
	share   map[uint64]float64
}

// tapped is what was told of a workload.
type tapped struct {
	w     *workload.Workload
	limit float64
	plan  uint64
}

// tapDepth is how many Steps may wait to be taken.
const tapDepth = 300

// mostTaps bounds the recordings at a time: each has every workload read in each
// interval.
const mostTaps = 2

// ErrBusy says that there are as many recordings under way as may be.
var ErrBusy = errors.New("two recordings are under way already: end one first")

// ErrSlow says that a recording ended because it was not taken fast enough.
var ErrSlow = errors.New("the recording was not taken as fast as it was made")

// Tap begins a recording with the next Step. The caller takes Lines until it is
// closed.
func (e *Engine) Tap() (*Tap, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil, os.ErrClosed
	}
	if len(e.taps) >= mostTaps {
		return nil, ErrBusy
	}
	t := &Tap{e: e, c: make(chan []*record.Line, tapDepth), start: e.last, gen: e.gen, known: map[uint64]*tapped{}}
	if t.start.IsZero() {
		t.start = time.Now()
	}
	policy, err := yaml.Marshal(e.policy)
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	n := e.nodeStatus()
	t.head = record.Header{
		Version: record.Version, Start: t.start.Round(0), Node: n.Name, Kernel: n.Kernel, Cgroup: n.Cgroup, CPUs: e.cpus,
		Limits: e.limits, Mechanism: string(e.mechanism), NoLimit: !e.anyLimit(), Policy: string(policy),
		State: e.ctl.State(t.start),
	}
	t.learned, t.share = map[uint64]time.Duration{}, map[uint64]float64{}
	for ino, g := range e.groups {
		t.learned[ino], t.share[ino] = g.Bank.Learned(), g.Share
	}
	e.taps = append(e.taps, t)
	return t, nil
}

// Header is the recording's first line.
func (t *Tap) Header() record.Header { return t.head }

// Lines gives the lines of each Step. It is closed by Close, by the Engine's
// Close, and when nobody takes them for some hundred Steps, see Err.
func (t *Tap) Lines() <-chan []*record.Line { return t.c }

// Err says why Lines was closed: nil after a Close.
func (t *Tap) Err() error {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	return t.err
}

// Close ends the recording.
func (t *Tap) Close() {
	t.e.mu.Lock()
	defer t.e.mu.Unlock()
	t.e.untap(t, nil)
}

// untap ends a recording once.
func (e *Engine) untap(t *Tap, err error) {
	for i, x := range e.taps {
		if x == t {
			e.taps = append(e.taps[:i:i], e.taps[i+1:]...)
			t.err = err
			close(t.c)
			return
		}
	}
}

// tell gives a Step to all recordings.
func (e *Engine) tell(in control.Signals, o control.Outcome) {
	defer func() { e.looks = e.looks[:0] }()
	for _, t := range e.taps {
		lines, err := t.lines(in, o)
		if err != nil {
			e.untap(t, err)
			continue
		}
		select {
		case t.c <- lines:
		default:
			e.untap(t, ErrSlow)
		}
	}
}

// lines puts one Step into words.
func (t *Tap) lines(in control.Signals, o control.Outcome) ([]*record.Line, error) {
	e := t.e
	out, err := t.news()
	if err != nil {
		return nil, err
	}
	s := &record.Step{
		At: int64(in.Now.Sub(t.start)), Dt: int64(in.Dt), Busy: known(in.Busy), Steal: known(in.Steal), Pressure: known(in.Pressure),
	}
	if in.RunQueueOK {
		s.RunQueue = &record.RunQueue{P99: int64(in.RunQueueP99), N: in.RunQueueSamples}
	}
	if f := known(in.CPI); f != nil {
		s.CPI = &record.CPI{Factor: *f, Of: in.CPIOf}
	}
	for i := range in.Slow {
		x := &in.Slow[i]
		s.Slow = append(s.Slow, record.Slow{Ino: e.groupOf(x.Member).w.Ino, ID: x.ID, Of: x.Of, P99: int64(x.P99), Usual: int64(x.Usual), Cause: x.Cause})
	}
	for _, g := range e.order {
		if x, ok := t.sample(g); ok {
			s.Samples = append(s.Samples, x)
		}
	}
	cores, why := e.ctl.Cap()
	if s.Cap = known(cores); o.CapMoved {
		s.Why = why.String()
	}
	for _, m := range o.Grants {
		s.Grants = append(s.Grants, e.groupOf(m).w.Ino)
	}
	s.Looks = slices.Clone(e.looks)
	return append(out, &record.Line{Step: s}), nil
}

// news tells of a new policy and of who came, changed and went.
func (t *Tap) news() (out []*record.Line, err error) {
	e := t.e
	if t.gen != e.gen {
		t.gen = e.gen
		b, err := yaml.Marshal(e.policy)
		if err != nil {
			return nil, fmt.Errorf("encode policy: %w", err)
		}
		out = append(out, &record.Line{Policy: string(b)})
	}
	for ino := range t.known {
		if e.groups[ino] == nil {
			delete(t.known, ino)
			out = append(out, &record.Line{Leave: ino})
		}
	}
	for _, g := range e.order {
		k := t.known[g.w.Ino]
		if k != nil && k.w == g.w {
			continue
		}
		if k == nil {
			k = &tapped{limit: math.NaN()}
			t.known[g.w.Ino] = k
		}
		k.w = g.w
		out = append(out, &record.Line{Join: &record.Join{
			Workload: *g.w.Clone(), Programs: e.table.Exe(g.w, e.last), Asked: e.asked(g.w).String(), Learned: int64(t.learned[g.w.Ino]), Share: t.share[g.w.Ino],
		}})
	}
	return out, nil
}

// sample tells of one workload, if there is anything to tell.
func (t *Tap) sample(g *group) (record.Sample, bool) {
	k := t.known[g.w.Ino]
	s := record.Sample{
		Ino: g.w.Ino, Fresh: g.Fresh, Spinner: g.Spinner, SpinUse: g.SpinUse, Share: g.Share, InLane: g.InLane,
		Periods: g.Periods, Throttled: g.Throttled, Stalled: int64(g.Stalled),
	}
	if g.Fresh {
		s.Used, s.Delta = g.Used, int64(g.Delta)
	}
	if g.own != k.limit && !math.IsNaN(g.own) {
		own := g.own
		k.limit, s.Limit = own, &own
	}
	if g.Bank == nil {
		k.plan = 0
	} else if g.Bank.Gen != k.plan {
		k.plan = g.Bank.Gen
		b := g.Bank.Plan.Bandwidth
		s.Plan = &record.Plan{Period: int64(b.Period), Quota: int64(b.Quota), Burst: int64(b.Burst)}
	}
	return s, s.Fresh || s.Limit != nil || s.Plan != nil || s.Spinner != 0 || s.Share != 0 || s.InLane
}

// look tells recordings of a step of a part's controller: what it looked at and
// what it decided. Callers ask tapped first, so that nothing is put together for
// nobody.
func (e *Engine) look(controller, of string, in, out any) {
	i, err := json.Marshal(in)
	if err != nil {
		e.degrade("recording", fmt.Errorf("encode a look of %s: %w", controller, err))
		return
	}
	o, err := json.Marshal(out)
	if err != nil {
		e.degrade("recording", fmt.Errorf("encode a decision of %s: %w", controller, err))
		return
	}
	e.looks = append(e.looks, record.Look{Controller: controller, Of: of, In: i, Out: o})
}

// tapped says whether anybody records.
func (e *Engine) tapped() bool { return len(e.taps) > 0 }

// known gives a signal, nil where there is none.
func known(v float64) *float64 {
	if bad(v) {
		return nil
	}
	return &v
}
