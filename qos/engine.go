package qos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/actuate"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/record"
	"github.com/anole-os/anole/qos/runq"
	"github.com/anole-os/anole/workload"
)

// Options of an Engine. Journal is needed; the rest has defaults.
type Options struct {
	Root    string           // prefix of /proc and /sys
	Journal *journal.Journal // the node's one journal; the caller closes it after the Engine
	RunDir  string           // for a file that survives a kill -9 of this process; no steering without
	Policy  *Policy          // DefaultPolicy when nil; validated
	Log     *slog.Logger     // silent when nil
	// Bank, when set, gives the burst that a workload itself asked for; a
	// policy's rule goes before it, the class's default after.
	Bank func(*workload.Workload) (BurstMode, bool)
	// Records, when set, tells of containers: names, labels and annotations, by
	// which workloads are classed too, see package dialect.
	Records *workload.Registry
	// Breaches, when set, tells of services whose requests take longer than usual:
	// those of latency-sensitive workloads hold best-effort work back, see
	// FeedbackPolicy.
	Breaches *workload.Breaches
	// Enrich, when set, gives workloads the labels that the policy's rules match
	// by, see workload.Options.
	Enrich func(*workload.Workload)
	// Fault is asked before each write to a control file, see cgroup.Writer.
	Fault func(path, value string) error
}

// Engine runs the room on one node. Its methods are safe for concurrent use.
type Engine struct {
	root      string
	tree      *cgroup.Tree
	claim     io.Closer // on the node, for as long as this Engine lives
	w         *cgroup.Writer
	log       *slog.Logger
	bank      func(*workload.Workload) (BurstMode, bool)
	enrich    func(*workload.Workload)
	records   *workload.Registry
	laneDirty bool               // the groups that want the lane may be others
	laneRetry bool               // not all took their new share
	laneShare map[string]float64 // of real-time bandwidth, by path
	rtGiven   map[string]uint64  // inode of the groups that were given some, by path

	slip string // of the Steerer
	cpus float64

	background sync.WaitGroup // loads the tracer

	mu         sync.Mutex // guards all below; Step holds it
	policy     Policy
	gen        int
	rules      []compiledRule
	consents   []consent
	byProgram  bool                 // some rule looks at programs, which exec changes unannounced
	again      bool                 // some workload could not be opened: look again
	unripe     bool                 // some container is still being made: look again, soon
	lent       map[uint64]time.Time // containers whose limits their runtime changes: until when
	young      map[uint64]time.Time // containers that are being made: when they were first seen
	classified time.Time
	table      *workload.Table
	groups     map[uint64]*group // by inode in the cpu hierarchy
	order      []*group          // the same by path
	members    []*group          // the best-effort ones by path
	tops       []top
	node       nodeSense
	runq       runqSense
	pressure   pressureSense
	feedback   feedbackSense
	ctl        *control.Node
	mechanism  actuate.Mechanism
	because    string // what the ladder's probe found
	limits     burst.Limits
	parts      []part
	cpi        *cpiPart
	cache      *cachePart
	memory     *memoryPart
	kinds      []string // of all knobs: the first words of their keys
	knobs      map[string]knob
	pods       []*pod           // by path
	podAt      map[string]*pod  // the same
	sets       []limitSet       // reused by each Step
	round      uint64           // counts Steps
	intents    []control.Intent // reused by each Step, as is verdicts
	verdicts   []control.LaneVerdict
	signalled  control.Signals // of the last Step, as is outcome
	outcome    control.Outcome
	taps       []*Tap
	looks      []record.Look // of this Step, while somebody records
	last       time.Time
	totals     Totals
	history    decisions
	degraded   map[string]Degradation
	closed     bool
}

// Degradation is a part that does not work on this node, and why.
type Degradation struct {
	Feature string `json:"feature"`
	Reason  string `json:"reason"`
	Detail  string `json:"detail"`
}

// Open looks at the node and makes an Engine. It writes nothing but for the
// probes' own short-lived cgroup; Step does. Another process that controls the
// node's cgroups is a *cgroup.ClaimedError.
func Open(o Options) (*Engine, error) {
	if o.Journal == nil {
		return nil, errors.New("open qos: a journal is needed")
	}
	p := DefaultPolicy()
	if o.Policy != nil {
		p = *o.Policy
	}
	if err := p.Validate(); err != nil {
		return nil, err
	}
	tree, err := cgroup.Detect(o.Root)
	if err != nil {
		return nil, err
	}
	claim, err := tree.Claim()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		root: o.Root, tree: tree, claim: claim, w: cgroup.NewWriter(o.Journal, "qos"), log: o.Log, cpus: countCPUs(o.Root),
		groups: map[uint64]*group{}, rtGiven: map[string]uint64{}, knobs: map[string]knob{}, young: map[uint64]time.Time{}, lent: map[uint64]time.Time{}, degraded: map[string]Degradation{},
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	e.w.Fault = o.Fault
	e.bank, e.enrich, e.records = o.Bank, o.Enrich, o.Records
	e.feedback.reg = o.Breaches
	if o.RunDir != "" {
		e.slip = slipPath(o.RunDir)
		if err := runq.Recover(e.slip); err != nil {
			e.degrade("steering", err)
		}
	}
	e.mu.Lock() // the tracer, loaded beside, reports under it
	err = e.open(p)
	e.mu.Unlock()
	if err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

func (e *Engine) open(p Policy) (err error) {
	if e.table, err = workload.Open(workload.Options{Root: e.root, Tree: e.tree, Records: e.records, Enrich: e.enrich}); err != nil {
		return err
	}
	if err = e.node.open(e.root, e.tree); err != nil {
		return err
	}
	actuate.Sweep(e.tree)
	e.limits = kernelLimits(e.tree)
	e.totals.init()
	e.kinds = []string{"limit", "priority", "cpuset"}
	e.parts = newParts(e)
	e.each(func(p part) { e.kinds = append(e.kinds, p.kinds()...) })
	return e.install(p)
}

// kernelLimits probes what the kernel takes as a burst.
func kernelLimits(t *cgroup.Tree) burst.Limits {
	l := burst.Mainline()
	if v, ok := t.Version("cpu"); ok && v == cgroup.V2 {
		l.Unified = true
	}
	err := actuate.InProbe(t, "CPU Burst", func(g *actuate.Group) error {
		l.HasBurst = g.HasBurst()
		if l.HasBurst {
			l.BurstMayExceedQuota = g.DeepBurst()
		}
		return nil
	})
	if err != nil {
		l.HasBurst = false
	}
	return l
}

// countCPUs counts the "cpuN" lines of /proc/stat.
func countCPUs(root string) float64 {
	n, err := procfs.CPUs(root)
	if err != nil || n == 0 {
		return 1
	}
	return float64(n)
}

// install puts a policy in force; the next Step acts on it.
func (e *Engine) install(p Policy) error {
	rules, err := compile(&p)
	if err != nil {
		return err
	}
	consents, err := p.Tenants.compile()
	if err != nil {
		return err
	}
	mech, why, err := e.ladder(p.BE.Priority)
	if err != nil {
		e.degrade("cpu priority", err)
	} else {
		delete(e.degraded, "cpu priority")
	}
	e.policy, e.rules, e.consents, e.mechanism, e.because = p, rules, consents, mech, why
	e.byProgram = slices.ContainsFunc(rules, func(r compiledRule) bool { return r.m.NeedsExe() })
	e.gen++
	o := p.options(mech, !e.anyLimit())
	o.CPUs, o.Limits = e.cpus, e.limits
	if e.ctl == nil {
		e.ctl = control.NewNode(o)
	}
	e.ctl.SetOptions(o)
	for _, g := range e.groups {
		if g.Bank == nil {
			g.checked = time.Time{} // the bank may be opened anew
		}
	}
	delete(e.degraded, "cpuset") // told anew
	e.senseBy(p)
	e.each(func(part part) { part.install(&p) })
	for _, p := range e.pods {
		p.depth = -1 // planned anew
	}
	e.classify()
	return nil
}

// prioritySlack is what the cap gives beyond the target where best-effort work
// yields by itself: about the noise of a service's use.
const prioritySlack = 0.05

// ladder chooses the mechanism by which best-effort work yields.
func (e *Engine) ladder(want string) (actuate.Mechanism, string, error) {
	switch want {
	case "off":
		return "", "switched off by be.priority", nil
	case "auto":
		return actuate.Choose(e.tree)
	}
	m := actuate.Mechanism(want)
	if err := actuate.Supports(e.tree, m); err != nil {
		return "", "be.priority asks for " + want + ": " + err.Error(), err
	}
	return m, "be.priority asks for it", nil
}

// SetPolicy replaces the policy. An error leaves the old one in force.
func (e *Engine) SetPolicy(p Policy) error {
	if err := p.Validate(); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return os.ErrClosed
	}
	return e.install(p)
}

// Policy gives the policy in force and its generation, which counts changes.
func (e *Engine) Policy() (Policy, int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.policy, e.gen
}

// Run steps the Engine at the policy's interval until ctx is done. It does not
// close it.
func (e *Engine) Run(ctx context.Context) {
	p, _ := e.Policy()
	every := p.Control.Interval.Std()
	t := time.NewTicker(every)
	defer t.Stop()
	var soon <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-t.C:
			e.Step(now)
			if e.rising() {
				soon = time.After(every / 2)
			}
		case now := <-soon:
			soon = nil
			e.Step(now)
		}
		if p, _ := e.Policy(); p.Control.Interval.Std() != every {
			every = p.Control.Interval.Std()
			t.Reset(every)
		}
	}
}

// rising says that the others' use just rose by what may be a part of more:
// Run does not wait for a whole interval to see the rest.
func (e *Engine) rising() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ctl.Rising()
}

// Step looks at the node once and writes what follows from it. now is only
// compared with the times of earlier steps.
func (e *Engine) Step(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	began := time.Now()
	dt := now.Sub(e.last)
	if !e.last.IsZero() && dt > e.policy.Control.Interval.Std()*3/2 {
		e.totals.Late++
	}
	e.last = now
	if changed, err := e.table.Refresh(now); err != nil {
		e.degrade("discovery", err)
	} else if changed || e.unripe || (e.byProgram || e.again) && e.classifyDue(now) {
		delete(e.degraded, "discovery")
		e.classified = now
		e.classify()
	}
	e.sense(now, dt)
	e.act(now, e.decide(now, dt))
	e.schedule(now)
	e.each(func(p part) { p.apply(now) })
	e.tell(e.signalled, e.outcome)
	e.totals.loop(time.Since(began))
}

// classifyDue says whether the last look at all workloads is a second old.
func (e *Engine) classifyDue(now time.Time) bool {
	return now.Sub(e.classified) >= time.Second || e.classified.After(now)
}

func (e *Engine) degrade(what string, err error) {
	d := Degradation{Feature: what, Reason: reasonOf(err), Detail: err.Error()}
	if e.degraded[what] != d {
		e.degraded[what] = d
		e.log.Warn("degraded", "feature", what, "reason", d.Reason, "detail", d.Detail)
	}
}

// journalled books whether the journal took something, and gives that back.
func (e *Engine) journalled(err error) bool {
	if err != nil {
		e.degrade("journal", err)
		return false
	}
	delete(e.degraded, "journal")
	return true
}

// Close puts the node back as it was and frees everything. The error lists
// what could not be restored and stays in the journal.
func (e *Engine) Close() error {
	defer e.background.Wait()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	e.closed = true
	for _, t := range slices.Clone(e.taps) {
		e.untap(t, nil)
	}
	for key, k := range e.knobs {
		if k.drifted() {
			_ = k.adopt(e.w) // it stays as somebody else wrote it
		}
		e.forget(key, k)
	}
	var err error
	e.each(func(p part) { err = errors.Join(err, p.close()) })
	err = errors.Join(err, e.restore())
	for _, g := range e.groups {
		g.close()
	}
	for _, p := range e.pods {
		p.close()
	}
	e.runq.close()
	e.pressure.close()
	e.node.close()
	if e.table != nil {
		err = errors.Join(err, e.table.Close())
	}
	_ = e.claim.Close()
	if err != nil {
		return fmt.Errorf("restore the node: %w", err)
	}
	return nil
}

// restore undoes all that was written. The kernel holds the real-time bandwidth
// of a removed group for some milliseconds and refuses its parent a smaller one
// meanwhile, so what fails is tried a few times.
func (e *Engine) restore() (err error) {
	for range 20 {
		err = errors.Join(e.w.Restore(func(en *journal.Entry) bool { return en.Owner == "qos" && !e.memory.underWay(en) })...)
		if err == nil {
			break
		}
		sys.Pause(int64(10 * time.Millisecond))
	}
	return err
}

// Kind gives the feature without what names a single workload or file: the
// form for a metric's label.
func (d Degradation) Kind() string {
	kind, _, _ := strings.Cut(d.Feature, " /")
	for _, p := range []string{"workload ", "burst of ", "restore ", "scheduling of ", "sources of ", "net of ", "memory of ", "oom score of "} {
		if strings.HasPrefix(kind, p) {
			return strings.TrimSpace(strings.TrimSuffix(p, "of "))
		}
	}
	return kind
}
