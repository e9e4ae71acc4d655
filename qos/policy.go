package qos

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/workload"
)

// Policy says who is in which class and what the classes get. Its zero value
// is not usable: start from DefaultPolicy.
type Policy struct {
	Version  int            `yaml:"version" json:"version" doc:"Format of this file: 1."`
	Rules    []Rule         `yaml:"rules" json:"rules" doc:"Who is in which class: the first rule that matches counts. Labels follow, see tenants, and then the built-in rules: anole's own cgroups, and Kubernetes QoS (guaranteed and burstable are LS, besteffort is BE)."`
	Tenants  TenantPolicy   `yaml:"tenants" json:"tenants" doc:"What owners of workloads may ask for by labels."`
	LS       LSPolicy       `yaml:"ls" json:"ls" doc:"What latency-sensitive workloads get."`
	BE       BEPolicy       `yaml:"be" json:"be" doc:"How best-effort workloads are made to yield."`
	Control  LoopPolicy     `yaml:"control" json:"control" doc:"The control loop."`
	Feedback FeedbackPolicy `yaml:"feedback" json:"feedback" doc:"Requests of latency-sensitive services that take longer than usual."`
	Cache    CachePolicy    `yaml:"cache" json:"cache" doc:"Last-level cache and memory bandwidth."`
	CPI      CPIPolicy      `yaml:"cpi" json:"cpi" doc:"Cycles per instruction."`
	IO       IOPolicy       `yaml:"io" json:"io" doc:"Block IO by class."`
	Memory   MemoryPolicy   `yaml:"memory" json:"memory" doc:"Memory."`
	Net      NetPolicy      `yaml:"net" json:"net" doc:"Network interfaces by class."`
}

// Rule puts the workloads that match into a class.
type Rule struct {
	Match  workload.Match `yaml:"match" json:"match" doc:"All that is given must match."`
	Class  class.Class    `yaml:"class" json:"class" doc:"LSE, LSR, LS, BE, SYSTEM or NONE."`
	Burst  BurstMode      `yaml:"burst,omitempty" json:"burst,omitempty" doc:"off, auto, the CPU time to bank such as 300ms, or a percentage of the quota of 100 ms such as 200%; the class's own when absent."`
	RTLane *bool          `yaml:"rtLane,omitempty" json:"rt_lane,omitempty" doc:"Put the threads into the real-time lane; the class's own when absent."`
}

// LSPolicy is what latency-sensitive workloads get.
type LSPolicy struct {
	Burst  BurstMode      `yaml:"burst" json:"burst" doc:"CPU Burst for workloads with a CPU limit: off, auto (learn the demand), the CPU time to bank, or a percentage of the quota of 100 ms."`
	Credit bool           `yaml:"credit" json:"credit" doc:"Let the agent bank what the kernel cannot, and spend it while the node has room."`
	Stall  yamlx.Duration `yaml:"maxStall" json:"max_stall" doc:"Longest wait of a workload that used up its bank; 0 is no bound. Bounds the period and so the depth of the bank."`
	Steer  string         `yaml:"steer" json:"steer" doc:"Move a waking thread that the kernel queued behind another LS thread to a CPU that runs only best-effort work: auto (where eBPF can tell) or off."`
	RTLane LanePolicy     `yaml:"rtLane" json:"rt_lane" doc:"Real-time lane: SCHED_RR for the threads of chosen workloads. Off unless asked for."`
}

// LanePolicy bounds the real-time lane.
type LanePolicy struct {
	Enabled bool           `yaml:"enabled" json:"enabled" doc:"Put all LS workloads into the lane unless their rule says otherwise."`
	MaxUse  float64        `yaml:"maxUse" json:"max_use" doc:"Share of the node's CPUs that a workload in the lane may use before it is demoted."`
	Window  yamlx.Duration `yaml:"window" json:"window" doc:"Time over which that use is averaged."`
	Cooloff yamlx.Duration `yaml:"cooloff" json:"cooloff" doc:"How long a demoted workload stays out."`
}

// BEPolicy says how best-effort work yields.
type BEPolicy struct {
	Priority  string  `yaml:"priority" json:"priority" doc:"auto takes the first of the ladder cpu.bvt_warp_ns, cpu.qos_level, cpu.idle, weight; or one of these, or off."`
	SchedIdle string  `yaml:"schedIdle" json:"sched_idle" doc:"Give best-effort threads SCHED_IDLE: auto (only where the ladder ends at weight), on or off."`
	Suppress  string  `yaml:"suppress" json:"suppress" doc:"How a cap is enforced: quota, cpuset or off."`
	Floor     float64 `yaml:"floor" json:"floor" doc:"Share of the node's CPUs that best-effort work always gets."`
}

// LoopPolicy tunes the control loop.
type LoopPolicy struct {
	Interval yamlx.Duration `yaml:"interval" json:"interval" doc:"Time between two looks at the node, 20ms to 1s."`
	Target   float64        `yaml:"target" json:"target" doc:"Share of the node's CPUs that best-effort work may fill up to."`
	Deadband float64        `yaml:"deadband" json:"deadband" doc:"A rise of the cap below this share of the node waits."`
	Rise     float64        `yaml:"risePerSecond" json:"rise_per_second" doc:"Share of the node by which the cap grows back each second."`
	Settle   yamlx.Duration `yaml:"settle" json:"settle" doc:"How long all objectives must hold before the cap rises."`
	// Objectives of the latency-sensitive class.
	RunQueueP99  yamlx.Duration `yaml:"runQueueP99" json:"run_queue_p99" doc:"Objective: p99 of the time LS threads wait behind best-effort work; 0 is off."`
	Pressure     float64        `yaml:"pressure" json:"pressure" doc:"Objective: share of time some LS task waits for a CPU (PSI); 0 is off."`
	Throttled    float64        `yaml:"throttled" json:"throttled" doc:"Objective: share of periods LS runs out of quota; 0 is off."`
	CreditAbove  float64        `yaml:"creditOffAbove" json:"credit_off_above" doc:"Node use above which no credit is given."`
	RunQueue     string         `yaml:"runQueue" json:"run_queue" doc:"Run-queue latency by eBPF: auto or off."`
	PressureFrom string         `yaml:"pressureStall" json:"pressure_stall" doc:"PSI of the LS class: auto (on cgroup v1 through a shadow cgroup2 group) or off."`
	CoreSched    string         `yaml:"coreSched" json:"core_sched" doc:"Core scheduling: no best-effort thread runs on the sibling of a CPU that runs anything else: auto (where the node has it), on (say so where it has not) or off. A sibling with nothing that fits idles, so the node does less."`
	CoreSchedPer string         `yaml:"coreSchedPer" json:"core_sched_per" doc:"Who shares a core: class (best-effort workloads with each other) or container (each only with itself)."`
}

// BurstMode is off, auto, or a budget. The zero value means "as the class".
type BurstMode = burst.Mode

// Burst modes.
var (
	BurstAuto = burst.ModeAuto
	BurstOff  = burst.ModeOff
)

// ParseBurst reads "off", "auto", a duration or a percentage.
func ParseBurst(s string) (BurstMode, error) { return burst.ParseMode(s) }

// DefaultPolicy is what a node runs with unless told otherwise.
func DefaultPolicy() Policy {
	s, l := control.DefaultSuppress(), control.DefaultLane()
	return Policy{
		Version: 1, Tenants: defaultTenants(),
		LS: LSPolicy{
			Burst: BurstAuto, Credit: true, Steer: "auto",
			RTLane: LanePolicy{MaxUse: l.MaxUse, Window: yamlx.Duration(l.Window), Cooloff: yamlx.Duration(l.Cooloff)},
		},
		BE: BEPolicy{Priority: "auto", SchedIdle: "auto", Suppress: "quota", Floor: s.Floor},
		Control: LoopPolicy{
			Interval: yamlx.Duration(100 * time.Millisecond), Target: s.Target, Deadband: s.Deadband, Rise: s.RisePerSecond,
			Settle: yamlx.Duration(s.Settle), RunQueueP99: yamlx.Duration(s.RunQueueP99), Pressure: s.Pressure, Throttled: s.Throttled,
			CreditAbove: 0.8, RunQueue: "auto", PressureFrom: "auto", CoreSched: "off", CoreSchedPer: "class",
		},
		Feedback: defaultFeedback(),
		Cache:    defaultCache(), CPI: defaultCPI(),
		IO:     defaultIO(),
		Memory: defaultMemory(),
		Net:    defaultNet(),
	}
}

// builtin rules come after the policy's own.
func builtin() []Rule {
	at := func(path string, c class.Class) Rule { return Rule{Match: workload.Match{Path: path}, Class: c} }
	kube := func(qos string, c class.Class) Rule { return Rule{Match: workload.Match{KubeQoS: qos}, Class: c} }
	return []Rule{
		at("/anole-lse/**", class.LSE), at("/anole-lsr/**", class.LSR), at("/anole-ls/**", class.LS), at("/anole-be/**", class.BE),
		kube("guaranteed", class.LS), kube("burstable", class.LS), kube("besteffort", class.BE),
	}
}

// Validate checks what the types cannot; every mistake is named with its key.
func (p *Policy) Validate() error {
	var bad []string
	say := func(format string, a ...any) { bad = append(bad, fmt.Sprintf(format, a...)) }
	share := func(key string, v, low float64) {
		if math.IsNaN(v) || v < low || v > 1 {
			say("%s: %v is not a share between %v and 1", key, v, low)
		}
	}
	oneOf := func(key, v string, of ...string) {
		for _, o := range of {
			if v == o {
				return
			}
		}
		say("%s: %q is not one of %s", key, v, strings.Join(of, ", "))
	}
	if p.Version != 1 {
		say("version: %d is not known; this anole reads version 1", p.Version)
	}
	for i, r := range p.Rules {
		if _, err := workload.Compile(r.Match); err != nil {
			say("rules[%d].match: %v", i, err)
		}
	}
	p.Tenants.validate(say)
	share("ls.rtLane.maxUse", p.LS.RTLane.MaxUse, 0.01)
	share("be.floor", p.BE.Floor, 0)
	share("control.target", p.Control.Target, 0.1)
	share("control.deadband", p.Control.Deadband, 0)
	share("control.risePerSecond", p.Control.Rise, 0.001)
	share("control.pressure", p.Control.Pressure, 0)
	share("control.throttled", p.Control.Throttled, 0)
	share("control.creditOffAbove", p.Control.CreditAbove, 0)
	if p.BE.Floor >= p.Control.Target {
		say("be.floor: %v is not below control.target %v", p.BE.Floor, p.Control.Target)
	}
	if d := p.Control.Interval.Std(); d < 20*time.Millisecond || d > time.Second {
		say("control.interval: %v is not between 20ms and 1s", d)
	}
	if d := p.LS.RTLane.Window.Std(); d < p.Control.Interval.Std()*2 || d > time.Minute {
		say("ls.rtLane.window: %v is not between two intervals and 1m", d)
	}
	if d := p.LS.RTLane.Cooloff.Std(); d < time.Second {
		say("ls.rtLane.cooloff: %v is below 1s", d)
	}
	oneOf("ls.steer", p.LS.Steer, "auto", "off")
	oneOf("be.priority", p.BE.Priority, "auto", "cpu.bvt_warp_ns", "cpu.qos_level", "cpu.idle", "weight", "off")
	oneOf("be.schedIdle", p.BE.SchedIdle, "auto", "on", "off")
	oneOf("be.suppress", p.BE.Suppress, "quota", "cpuset", "off")
	oneOf("control.runQueue", p.Control.RunQueue, "auto", "off")
	oneOf("control.pressureStall", p.Control.PressureFrom, "auto", "off")
	oneOf("control.coreSched", p.Control.CoreSched, "auto", "on", "off")
	oneOf("control.coreSchedPer", p.Control.CoreSchedPer, "class", "container")
	p.Feedback.validate(say, share, oneOf)
	bad = append(bad, p.Cache.problems()...)
	bad = append(bad, p.CPI.problems()...)
	p.IO.validate(say, oneOf)
	p.Memory.validate(say, share, oneOf)
	p.Net.validate(say, oneOf)
	if len(bad) > 0 {
		return &PolicyError{Problems: bad}
	}
	return nil
}

// PolicyError lists what is wrong with a policy.
type PolicyError struct{ Problems []string }

func (e *PolicyError) Error() string { return "policy: " + strings.Join(e.Problems, "; ") }

// ParsePolicy reads a policy file over the defaults, strictly: an unknown key
// is an error, and each mistake is named with its line.
func ParsePolicy(src []byte, file string) (Policy, error) {
	p := DefaultPolicy()
	doc, err := yamlx.Parse(src, file)
	if err == nil {
		err = doc.Decode(&p)
	}
	if err != nil {
		return Policy{}, err
	}
	err = p.Validate()
	var bad *PolicyError
	if errors.As(err, &bad) {
		return Policy{}, bad.at(doc)
	}
	return p, err
}

// at finds the lines of the keys that the problems begin with.
func (e *PolicyError) at(doc *yamlx.Doc) error {
	out := make([]error, len(e.Problems))
	for i, problem := range e.Problems {
		key, msg, _ := strings.Cut(problem, ": ")
		if strings.HasPrefix(key, "rules[") {
			key, msg = "rules", problem
		}
		at := doc
		parts := strings.Split(key, ".")
		last := len(parts) - 1
		for _, p := range parts[:last] {
			at = at.Section(p)
		}
		out[i] = at.Errorf(parts[last], "%s", msg)
		var y *yamlx.Error
		if errors.As(out[i], &y) && y.Line == 0 { // the default is wrong together with something given
			out[i] = doc.Errorf("", "%s", problem)
		}
	}
	return errors.Join(out...)
}

// options gives the controllers' tuning for a node where best-effort work yields
// by m; CPUs and Limits are left out. noLimit says that no CPU use can be
// limited there.
func (p *Policy) options(m actuate.Mechanism, noLimit bool) control.Options {
	return control.Options{
		Suppress: p.suppress(m), Lane: p.lane(), Stall: p.LS.Stall.Std(), Credit: p.LS.Credit, CreditOff: p.Control.CreditAbove,
		NoCap: p.BE.Suppress == "off" || m == "" && p.BE.Priority != "off" && noLimit,
	}
}

// Controls gives the controllers' tuning for a node of so many CPUs whose kernel
// takes these bursts and makes best-effort work yield by m, "" if it cannot.
func (p *Policy) Controls(cpus float64, l burst.Limits, m actuate.Mechanism) control.Options {
	o := p.options(m, false)
	o.CPUs, o.Limits = cpus, l
	return o
}

// suppress gives the suppressor's options where best-effort work yields by m.
func (p *Policy) suppress(m actuate.Mechanism) control.SuppressOptions {
	o := control.DefaultSuppress()
	c := p.Control
	o.Target, o.Floor, o.Deadband, o.RisePerSecond = c.Target, p.BE.Floor, c.Deadband, c.Rise
	o.Settle, o.RunQueueP99, o.Pressure, o.Throttled = c.Settle.Std(), c.RunQueueP99.Std(), c.Pressure, c.Throttled
	o.CPI, o.Feedback = p.CPI.Objective, p.Feedback.options()
	if m != "" && m != actuate.Weight {
		o.Slack = prioritySlack
	}
	return o
}

func (p *Policy) lane() control.LaneOptions {
	l := p.LS.RTLane
	return control.LaneOptions{MaxUse: l.MaxUse, Window: l.Window.Std(), Cooloff: l.Cooloff.Std()}
}
