package qos

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/record"
)

// arrange gives the controllers the members in the Engine's order.
func (p *replayer) arrange() {
	if !p.moved {
		return
	}
	p.moved = false
	p.order = p.order[:0]
	for _, m := range p.members {
		p.order = append(p.order, m)
	}
	slices.SortFunc(p.order, func(a, b *replayMember) int {
		return cmp.Or(strings.Compare(a.w.Path, b.w.Path), cmp.Compare(a.w.Ino, b.w.Ino))
	})
	all := make([]*control.Member, len(p.order))
	for i, m := range p.order {
		all[i] = &m.Member
	}
	p.ctl.SetMembers(all)
}

// step decides on one recorded look at the node.
func (p *replayer) step(s *record.Step) error {
	p.arrange()
	p.signal(s)
	now := p.head.Start.Add(time.Duration(s.At))
	in := control.Signals{
		Now: now, Dt: time.Duration(s.Dt), Busy: orNaN(s.Busy), Pressure: orNaN(s.Pressure), Steal: orNaN(s.Steal), RunQueueOK: s.RunQueue != nil, CPI: math.NaN(),
	}
	if s.CPI != nil {
		in.CPI, in.CPIOf = s.CPI.Factor, s.CPI.Of
	}
	for i := range s.Slow {
		x := &s.Slow[i]
		if m := p.members[x.Ino]; m != nil {
			in.Slow = append(in.Slow, control.Slow{ID: x.ID, Of: x.Of, Member: &m.Member, P99: time.Duration(x.P99), Usual: time.Duration(x.Usual), Cause: x.Cause})
		}
	}
	if s.RunQueue != nil {
		in.RunQueueP99, in.RunQueueSamples = time.Duration(s.RunQueue.P99), s.RunQueue.N
	}
	for _, m := range p.order {
		if !math.IsNaN(m.limit) && m.Bank == nil {
			_ = p.ctl.SetLimit(&m.Member, m.limit) // the reason is in Bank.Refused
		}
	}
	o := p.ctl.Step(in)
	for _, m := range o.Grants {
		if m.Bank.Credit.Spend() {
			p.out.Now.Grants++
		}
	}
	p.verdicts = p.ctl.Lanes(now, p.verdicts)
	for i, m := range p.order {
		m.InLane = p.verdicts[i].In
	}
	p.count(s, o)
	for i := range s.Looks {
		if err := p.look(now, &s.Looks[i]); err != nil {
			return err
		}
	}
	return nil
}

// look has another controller decide. One that this anole does not have is
// passed over.
func (p *replayer) look(now time.Time, l *record.Look) error {
	switch l.Controller {
	case "io":
		return p.lookIO(now, l)
	case "memory", "memory.bound", "memory.refused", "memory.evict":
		return p.lookMemory(now, l)
	case "cache":
		return p.lookCache(now, l)
	}
	return nil
}

// signal sets the members' signals.
func (p *replayer) signal(s *record.Step) {
	for _, m := range p.order {
		m.Fresh, m.Periods, m.Throttled, m.Stalled, m.Delta, m.Spinner, m.SpinUse = false, 0, 0, 0, 0, 0, 0
		m.then = record.Sample{}
	}
	for i := range s.Samples {
		x := &s.Samples[i]
		m := p.members[x.Ino]
		if m == nil {
			continue
		}
		m.then = *x
		m.Periods, m.Throttled, m.Stalled = x.Periods, x.Throttled, time.Duration(x.Stalled)
		m.Spinner, m.SpinUse = x.Spinner, x.SpinUse
		if x.Fresh {
			m.Fresh, m.Used, m.Delta = true, x.Used, time.Duration(x.Delta)
		}
		if x.Limit != nil {
			m.limit = *x.Limit
			_ = p.ctl.SetLimit(&m.Member, m.limit)
		}
	}
}

// count compares what was decided then and now.
func (p *replayer) count(s *record.Step, o control.Outcome) {
	sec := time.Duration(s.Dt).Seconds()
	if sec < 0 || sec > 10 {
		sec = 0
	}
	out := p.out
	out.Steps++
	out.Duration = time.Duration(s.At).Seconds()
	cores, why := p.ctl.Cap()
	then := math.Inf(1)
	if s.Cap != nil {
		then = *s.Cap
	}
	out.Now.add(cores, p.head.CPUs, sec)
	out.Then.add(then, p.head.CPUs, sec)
	out.Then.Grants += len(s.Grants)
	if s.Why != "" {
		out.Then.CapMoves++
	}
	if o.CapMoved {
		out.Now.CapMoves++
		if len(out.Moves) < mostMoves {
			out.Moves = append(out.Moves, ReplayMove{At: out.Duration, Old: known(p.cap), New: known(cores), Then: s.Cap, Why: why.String()})
		}
	}
	p.cap = cores
	if cores == then || math.Abs(cores-then) <= then/100 {
		p.agreed++
	}
	same := cores == then
	for _, m := range p.order {
		same = p.countMember(m, sec) && same
	}
	if same {
		p.same++
	}
	p.draw(s, cores)
	if p.o.Progress != nil && out.Steps%1000 == 0 {
		p.o.Progress(time.Duration(s.At))
	}
}

// countMember says whether the same was decided for a member.
func (p *replayer) countMember(m *replayMember, sec float64) (same bool) {
	x := &p.out.Members[m.at]
	x.used.add(m.Used, sec)
	if m.then.Share > 0 {
		x.then.add(m.then.Share, sec)
	}
	if m.Share > 0 {
		x.now.add(m.Share, sec)
	}
	b := m.then.Plan
	if b != nil {
		p.out.Then.Plans++
		x.ThenBank = max(x.ThenBank, float64(b.Quota+b.Burst)/1000)
	}
	if m.Bank == nil || m.Bank.Gen == m.bank {
		return m.Share == m.then.Share && b == nil
	}
	m.bank = m.Bank.Gen
	now := m.Bank.Plan.Bandwidth
	p.out.Now.Plans++
	x.NowBank = max(x.NowBank, float64(now.Quota+now.Burst)/1000)
	return m.Share == m.then.Share && b != nil && *b == record.Plan{Period: int64(now.Period), Quota: int64(now.Quota), Burst: int64(now.Burst)}
}

// draw adds a point to the timeline when one is due. When there are too many,
// every other one goes and they come half as often.
func (p *replayer) draw(s *record.Step, cores float64) {
	at := time.Duration(s.At)
	if len(p.out.Points) > 0 && at < p.point {
		return
	}
	most := cmp.Or(p.o.Points, defaultPoints)
	if len(p.out.Points) >= most {
		kept := p.out.Points[:0]
		for i := 0; i < len(p.out.Points); i += 2 {
			kept = append(kept, p.out.Points[i])
		}
		p.out.Points = kept
		p.out.every *= 2
	}
	p.out.every = max(p.out.every, 100*time.Millisecond)
	p.point = at + p.out.every
	x := ReplayPoint{At: at.Seconds(), Busy: s.Busy, Then: s.Cap, Now: known(cores)}
	for _, m := range p.order {
		switch {
		case m.Class.Sensitive():
			x.LS += m.Used
		case m.Class == class.BE:
			x.BE += m.Used
		}
	}
	x.LS, x.BE = round3(x.LS), round3(x.BE)
	p.out.Points = append(p.out.Points, x)
}

func (s *ReplaySum) add(cores, cpus, sec float64) {
	s.seconds += sec
	c := min(cores, cpus)
	s.MeanCap += c * sec
	if !math.IsInf(cores, 1) {
		s.Capped += sec
	}
	if s.LeastCap == 0 || c < s.LeastCap {
		s.LeastCap = c
	}
}

func (s *ReplaySum) finish() {
	if s.seconds > 0 {
		s.MeanCap = round3(s.MeanCap / s.seconds)
		s.Capped = round3(s.Capped / s.seconds)
	}
	s.LeastCap = round3(s.LeastCap)
}

func (p *replayer) finish() *Replay {
	out := p.out
	out.Then.finish()
	out.Now.finish()
	out.Now.Demotions = int(p.ctl.Demotions)
	if out.Steps > 0 {
		out.Agree, out.Same = float64(p.agreed)/float64(out.Steps), float64(p.same)/float64(out.Steps)
	}
	for i := range out.Members {
		m := &out.Members[i]
		m.Used, m.ThenShare, m.NowShare = round3(m.used.mean()), round3(m.then.mean()), round3(m.now.mean())
	}
	for _, name := range slices.Sorted(maps.Keys(p.disks)) {
		p.disks[name].finish()
		out.Disks = append(out.Disks, *p.disks[name])
	}
	if m := &p.memory; len(m.groups) > 0 {
		for _, id := range slices.Sorted(maps.Keys(m.groups)) {
			m.Groups = append(m.Groups, m.groups[id].finish())
		}
		out.Memory = m
	}
	if out.Cache = p.cache; out.Cache != nil {
		out.Cache.finish()
	}
	slices.SortFunc(out.Members, func(a, b ReplayMember) int { return strings.Compare(a.ID, b.ID) })
	return out
}

func orNaN(v *float64) float64 {
	if v == nil {
		return math.NaN()
	}
	return *v
}
