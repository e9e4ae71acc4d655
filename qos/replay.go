package qos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/workload"
)

// ReplayOptions says what to replay a recording with.
type ReplayOptions struct {
	// Policy decides in place of the recorded one, when set.
	Policy *Policy
	// Points is how many points of the timeline are kept; 0 is 600.
	Points int
	// Progress, when set, is called now and then with the time replayed.
	Progress func(time.Duration)
}

// Replay is what the controllers decide on recorded signals. The signals are
// those that the recorded decisions led to: what the workloads would have done
// under other decisions nobody can know, so a Replay says what would have been
// written at each moment, not what would have come of it; see package sim for
// that. For disks, memory and cache the classes stay the recorded ones too.
type Replay struct {
	Node     string         `json:"node"`
	Start    time.Time      `json:"start"`
	Duration float64        `json:"duration_seconds"`
	Steps    int            `json:"steps"`
	CPUs     float64        `json:"cpus"`
	CutOff   bool           `json:"cut_off,omitempty"` // the recording's end is missing
	Own      bool           `json:"recorded_policy"`   // replayed with the recorded policy
	Then     ReplaySum      `json:"recorded"`
	Now      ReplaySum      `json:"replayed"`
	Agree    float64        `json:"agree"`     // share of steps whose cap is within 1 % of the recorded one
	Same     float64        `json:"identical"` // share of steps with the very same cap, shares and plans
	Members  []ReplayMember `json:"workloads"`
	Disks    []ReplayDisk   `json:"disks"`
	Memory   *ReplayMemory  `json:"memory,omitempty"`
	Cache    *ReplayCache   `json:"cache,omitempty"`
	Moves    []ReplayMove   `json:"moves"` // of the replayed cap, the first thousand
	Points   []ReplayPoint  `json:"points"`
	every    time.Duration  // between two points
}

// ReplaySum sums up one side.
type ReplaySum struct {
	CapMoves  int     `json:"cap_moves"`
	Capped    float64 `json:"capped"`         // share of time with a cap
	MeanCap   float64 `json:"mean_cap_cores"` // over time; without a cap it counts as the whole node
	LeastCap  float64 `json:"least_cap_cores"`
	Plans     int     `json:"burst_plans"` // changes of CPU limits for bursts
	Grants    int     `json:"credit_grants"`
	Demotions int     `json:"rt_demotions"`
	seconds   float64
}

// ReplayMember is one workload on both sides.
type ReplayMember struct {
	ID        string      `json:"id"`
	Class     class.Class `json:"class"` // by the replayed policy
	Rule      string      `json:"rule"`
	Used      float64     `json:"used_cores"`         // mean, as recorded
	ThenShare float64     `json:"recorded_cap_cores"` // mean while it had a share of a cap
	NowShare  float64     `json:"replayed_cap_cores"`
	ThenBank  float64     `json:"recorded_bank_ms"` // deepest: quota and burst of the plan, ms
	NowBank   float64     `json:"replayed_bank_ms"`

	used, then, now replayIntegrator
}

// ReplayMove is a change of the replayed cap.
type ReplayMove struct {
	At   float64  `json:"at_seconds"`
	Old  *float64 `json:"old_cores"` // nil is no cap
	New  *float64 `json:"new_cores"`
	Then *float64 `json:"recorded_cores"`
	Why  string   `json:"why"`
}

// ReplayPoint is one moment of the timeline.
type ReplayPoint struct {
	At   float64  `json:"at_seconds"`
	Busy *float64 `json:"busy_cores"`
	LS   float64  `json:"ls_cores"`
	BE   float64  `json:"be_cores"`
	Then *float64 `json:"recorded_cap_cores"`
	Now  *float64 `json:"replayed_cap_cores"`
}

// replayIntegrator averages over time.
type replayIntegrator struct{ sum, seconds float64 }

func (i *replayIntegrator) add(v, seconds float64) { i.sum += v * seconds; i.seconds += seconds }

func (i *replayIntegrator) mean() float64 {
	if i.seconds == 0 {
		return 0
	}
	return i.sum / i.seconds
}

const (
	defaultPoints = 600
	mostMoves     = 1000
)

// replayer runs the controllers over a recording.
type replayer struct {
	o        ReplayOptions
	out      *Replay
	head     *record.Header
	policy   Policy
	rules    []compiledRule
	consents []consent
	ctl      *control.Node
	members  map[uint64]*replayMember
	order    []*replayMember
	verdicts []control.LaneVerdict
	disks    map[string]*ReplayDisk
	memory   ReplayMemory
	cache    *ReplayCache
	moved    bool // somebody came or went
	point    time.Duration
	cap      float64
	agreed   int
	same     int
}

// replayMember is a workload of the recording.
type replayMember struct {
	control.Member
	w     workload.Workload
	join  *record.Join
	limit float64 // its own, as recorded; NaN before it was
	then  record.Sample
	bank  uint64 // Gen of the plan that was counted last
	at    int    // index into Replay.Members
}

// ReplayRecording runs the controllers over a recording. An error names the
// line. A policy that was changed while the recording was made is followed unless
// one is given.
func ReplayRecording(ctx context.Context, r *record.Reader, o ReplayOptions) (*Replay, error) {
	p := replayer{o: o, head: r.Header(), members: map[uint64]*replayMember{}, disks: map[string]*ReplayDisk{}, cap: math.Inf(1)}
	p.memory.groups, p.memory.bounded = map[string]*replayBound{}, map[string]bool{}
	p.out = &Replay{
		Node: p.head.Node, Start: p.head.Start, CPUs: p.head.CPUs, Own: o.Policy == nil, Moves: []ReplayMove{}, Points: []ReplayPoint{},
		Members: []ReplayMember{}, Disks: []ReplayDisk{},
	}
	if err := p.begin(); err != nil {
		return nil, err
	}
	p.ctl.Resume(p.head.Start, p.head.State)
	p.cap, _ = p.ctl.Cap()
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return nil, ctx.Err()
		}
		l, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if err := p.line(l); err != nil {
			return nil, r.Wrong(err)
		}
	}
	p.out.CutOff = r.Torn()
	return p.finish(), nil
}

func (p *replayer) begin() error {
	if p.o.Policy != nil {
		return p.install(*p.o.Policy)
	}
	return p.installYAML(p.head.Policy)
}

func (p *replayer) installYAML(src string) error {
	pol, err := ParsePolicy([]byte(src), "the recorded policy")
	if err != nil {
		return fmt.Errorf("%w\nto replay with another one, give --policy", err)
	}
	return p.install(pol)
}

// install puts a policy in force, as Engine.install does.
func (p *replayer) install(pol Policy) (err error) {
	if p.consents, err = pol.Tenants.compile(); err != nil {
		return err
	}
	if p.rules, err = compile(&pol); err != nil {
		return err
	}
	p.policy = pol
	o := pol.options(p.mechanism(), p.head.NoLimit)
	o.CPUs, o.Limits = p.head.CPUs, p.head.Limits
	if p.ctl == nil {
		p.ctl = control.NewNode(o)
	}
	p.ctl.SetOptions(o)
	for _, m := range p.order {
		p.judge(m)
	}
	p.moved = true
	return nil
}

// mechanism is by what best-effort work yields on the recorded node: another
// one that the policy asks for is taken to be there.
func (p *replayer) mechanism() actuate.Mechanism {
	switch want := p.policy.BE.Priority; want {
	case "off":
		return ""
	case "auto":
		return actuate.Mechanism(p.head.Mechanism)
	default:
		return actuate.Mechanism(want)
	}
}

// judge gives a member what the policy says of it.
func (p *replayer) judge(m *replayMember) {
	asked, _ := ParseBurst(m.join.Asked)
	v := p.policy.judge(match(p.rules, &m.w, func() []string { return m.join.Programs }), &m.w, p.consents, asked)
	if m.Class != v.class {
		m.Class, m.Share = v.class, 0
	}
	if m.Mode != v.mode {
		m.Mode, m.Bank = v.mode, nil
	}
	m.WantLane = v.lane
	x := &p.out.Members[m.at]
	x.Class, x.Rule = v.class, v.rule
}

func (p *replayer) line(l *record.Line) error {
	switch {
	case l.Join != nil:
		p.join(l.Join)
	case l.Leave != 0:
		delete(p.members, l.Leave)
		p.moved = true
	case l.Policy != "" && p.o.Policy == nil:
		return p.installYAML(l.Policy)
	case l.Step != nil:
		return p.step(l.Step)
	}
	return nil
}

func (p *replayer) join(j *record.Join) {
	m := p.members[j.Workload.Ino]
	if m == nil {
		m = &replayMember{limit: math.NaN(), at: len(p.out.Members)}
		m.ID, m.Learned = j.Workload.ID, time.Duration(j.Learned)
		p.members[j.Workload.Ino] = m
		p.out.Members = append(p.out.Members, ReplayMember{ID: j.Workload.ID})
	}
	m.w, m.join = j.Workload, j
	p.judge(m)
	if m.Class == class.BE && m.Share == 0 {
		m.Share = j.Share
	}
	p.moved = true
}
