// Package module gives the qos room its place in the node agent: life cycle,
// configuration, HTTP routes, metrics, console panel and verbs. All that
// decides or writes anything is in package qos.
package module

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/run"
	"github.com/anole-os/anole/workload"
)

func init() {
	core.Register(core.Info{
		Name: "qos",
		Doc:  "Latency-sensitive and best-effort work share the node: CPU by class, suppression, CPU Burst",
		// The records of containers come from there, if it is built in, and what
		// other rooms say of slow services.
		After: []string{"workload"},
		New:   func() core.Module { return New() },
		Entries: map[string]func([]string) error{
			stageVerb: stage,
			guardVerb: run.GuardMain,
			loadVerb:  loadProcess,
		},
	})
}

//go:embed panel
var panel embed.FS

// Config is the section "qos" of the configuration file: a policy.
type Config struct {
	qos.Policy `yaml:",inline"`
}

// Module is the qos room in the agent.
type Module struct {
	cfg Config

	log      *slog.Logger
	root     string
	runDir   string
	stored   string // path of the policy that was applied at run time
	journal  *journal.Journal
	records  *workload.Registry // nil without the workload room
	breaches *workload.Breaches // the same
	policy   qos.Policy
	changes  sync.Mutex // one change of policy at a time
	mu       sync.Mutex // guards all below, and cfg and policy
	policyOf string     // where it came from, for people
	engine   *qos.Engine
	cancel   context.CancelFunc
	done     chan struct{}
	busiest  slots // which workloads have series of their own
}

// New makes a Module with default configuration.
func New() *Module { return &Module{cfg: Config{qos.DefaultPolicy()}} }

// Config implements core.Module.
func (m *Module) Config() any { return &m.cfg }

// Provision implements core.Module.
func (m *Module) Provision(h *core.Host) error {
	if err := m.cfg.Validate(); err != nil {
		return err
	}
	m.log, m.root, m.runDir = h.Log, h.Root, h.RunDir
	m.stored = filepath.Join(h.StateDir, "qos", "policy.yaml")
	m.journal, _ = core.Want[*journal.Journal](h.Offers)
	m.records, _ = core.Want[*workload.Registry](h.Offers)
	m.breaches, _ = core.Want[*workload.Breaches](h.Offers)
	m.choosePolicy()
	return nil
}

// choosePolicy takes the policy that was applied at run time, or else that of
// the configuration. One that does not load is passed over, not fatal: the
// node keeps being protected.
func (m *Module) choosePolicy() {
	m.policy, m.policyOf = m.cfg.Policy, "configuration"
	src, err := os.ReadFile(m.stored)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		var p qos.Policy
		if p, err = qos.ParsePolicy(src, m.stored); err == nil {
			m.policy, m.policyOf = p, "anole qos apply, kept in "+m.stored
			return
		}
	}
	m.log.Warn("applied policy passed over", "file", m.stored, "err", err)
}

// Start implements core.Module.
func (m *Module) Start(context.Context) error {
	if m.journal == nil {
		return errors.New("start qos: the agent offers no journal")
	}
	if _, err := run.Sweep(m.runDir); err != nil {
		m.log.Warn("sweep workloads of dead runs", "err", err)
	}
	e, err := qos.Open(qos.Options{Root: m.root, RunDir: m.runDir, Journal: m.journal, Policy: &m.policy, Log: m.log, Bank: m.bank, Records: m.records, Breaches: m.breaches, Enrich: m.enrich})
	if err != nil {
		return err
	}
	if m.records != nil {
		m.records.OnStart(func(workload.Container) { e.Admit(time.Now()) })
		m.records.OnUpdate(func(c workload.Container, done bool) {
			if done {
				e.Regain(c.ID)
			} else {
				e.Lend(c.ID)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.Step(time.Now())
		e.Run(ctx)
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engine, m.cancel, m.done = e, cancel, done
	return nil
}

// bank gives the burst that `anole qos run` asked for.
func (m *Module) bank(w *workload.Workload) (qos.BurstMode, bool) { return run.Bank(m.runDir, w.Path) }

// enrich gives a workload of `anole qos run` the labels that it was told.
func (m *Module) enrich(w *workload.Workload) {
	if l := run.Labels(m.runDir, w.Path); l != nil {
		w.Labels, w.Source = l, workload.FromRun
	}
}

// Stop implements core.Module.
func (m *Module) Stop(ctx context.Context) error {
	m.mu.Lock()
	e, cancel, done := m.engine, m.cancel, m.done
	m.engine = nil
	m.mu.Unlock()
	if e == nil {
		return nil
	}
	if m.records != nil {
		m.records.OnStart(nil)
		m.records.OnUpdate(nil)
	}
	cancel()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("stop the control loop: %w", ctx.Err())
	}
	return e.Close()
}

// Reconfigure implements core.Reconfigurer.
func (m *Module) Reconfigure(_ context.Context, next any) error {
	c, ok := next.(*Config)
	if !ok {
		return fmt.Errorf("reconfigure qos: got %T", next)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	e := m.running()
	if e == nil {
		return errors.New("reconfigure qos: not running")
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	m.mu.Lock()
	m.cfg = *c
	m.choosePolicy()
	p := m.policy
	m.mu.Unlock()
	return e.SetPolicy(p)
}

// Revert implements core.Reverter: what a killed agent or `anole qos run` left
// beyond the journal is put back.
func (m *Module) Revert(context.Context) error {
	_, err := run.Sweep(m.runDir)
	return errors.Join(err, qos.Recover(m.root, m.runDir))
}

func (m *Module) running() *qos.Engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.engine
}

// origin says where the policy in force came from.
func (m *Module) origin() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.policyOf
}

func (m *Module) setOrigin(s string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.policyOf = s
}

// Status implements core.Reporter.
func (m *Module) Status() core.Status {
	e := m.running()
	if e == nil {
		return core.Status{State: core.Stopped, Summary: "not running"}
	}
	s := e.Status()
	state := core.Running
	if len(s.Degraded) > 0 {
		state = core.Degraded
	}
	capped := "no cap"
	if s.Cap != nil {
		capped = fmt.Sprintf("best effort capped at %.2f cores", *s.Cap)
	}
	return core.Status{
		State:   state,
		Summary: fmt.Sprintf("%d workloads, %.2f of %.0f cores busy, %s", len(s.Workloads), s.Node.Busy, s.Node.CPUs, capped),
		Detail:  map[string]any{"mechanisms": s.Mechanisms, "degraded": s.Degraded, "policy": m.origin()},
	}
}

// Probes implements core.Prober.
func (m *Module) Probes() []*feature.Probe { return qos.Probes(m.root) }

// Panel implements core.Paneler.
func (m *Module) Panel() core.Panel {
	sub, err := fs.Sub(panel, "panel")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return core.Panel{ID: "qos", Title: "QoS", Order: 10, FS: sub}
}
