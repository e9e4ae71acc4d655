// Package module gives the gm room its place in the node agent and on the command line:
// the policy and the self-tests that all of the process minds, the process that lets
// programs run only with a good label, metrics, and the verbs. All cryptography is in the
// packages beside it.
package module

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/policy"
	"github.com/anole-os/anole/gm/selftest"
)

func init() {
	core.Register(core.Info{
		Name:     "gm",
		Doc:      "ShangMi, China's commercial cryptography, at the speed of the processor",
		New:      func() core.Module { return New() },
		Entries:  map[string]func([]string) error{enforcerVerb: enforcerMain},
		Programs: map[string]func([]string) error{"sm3sum": sm3sum},
	})
}

// Module is the gm room in the agent.
type Module struct {
	log  *slog.Logger
	root string
	argv []string // of the enforcer; nil is this program's own

	mu      sync.Mutex // guards all below
	cfg     Config
	started bool
	guard   *enforcer // nil without
}

// New makes a Module with default configuration.
func New() *Module { return &Module{cfg: defaultConfig(), log: slog.New(slog.DiscardHandler)} }

// Config implements core.Module.
func (m *Module) Config() any { return &m.cfg }

// Provision implements core.Module.
func (m *Module) Provision(h *core.Host) error {
	if err := m.cfg.Validate(); err != nil {
		return err
	}
	m.log, m.root = h.Log, h.Root
	return nil
}

// Start implements core.Module. A self-test that fails is told by Status, and nothing that
// needs cryptography is begun.
func (m *Module) Start(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.apply(ctx, m.cfg); err != nil {
		return err
	}
	m.started = true
	if failure() == "" {
		m.guard = m.enforce(ctx, m.cfg)
		if p := m.guard.state(); p.Problem != "" {
			m.log.Error("labels are not enforced", "err", p.Problem)
		}
	}
	return nil
}

// apply puts the policy in force and runs the self-tests.
func (m *Module) apply(ctx context.Context, c Config) error {
	p, err := policy.New(c.Config)
	if err != nil {
		return fmt.Errorf("gm: %w", err)
	}
	if c.SelfTest && selftest.Last().State != selftest.Passed {
		for _, bad := range selftest.Run(ctx).Failures() {
			m.log.Error("self-test failed", "test", bad.Name, "implementation", bad.Implementation, "err", bad.Err)
		}
	}
	policy.Default.Set(p)
	return nil
}

// enforce begins to enforce labels, if that is asked for.
func (m *Module) enforce(ctx context.Context, c Config) *enforcer {
	if c.IMA.Enforce.Mode == modeOff {
		return nil
	}
	return startEnforcer(ctx, c, m.argv, m.log)
}

// Stop implements core.Module.
func (m *Module) Stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	g := m.guard
	m.guard, m.started = nil, false
	return g.stop(ctx)
}

// Reconfigure implements core.Reconfigurer. What enforces is started anew, and programs run
// unasked meanwhile.
func (m *Module) Reconfigure(ctx context.Context, next any) error {
	c, ok := next.(*Config)
	if !ok {
		return fmt.Errorf("reconfigure gm: got %T", next)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	was := m.cfg
	if err := m.apply(ctx, *c); err != nil {
		return err
	}
	m.cfg = *c
	if failure() != "" || m.guard != nil && reflect.DeepEqual(was, *c) {
		return nil
	}
	if err := m.guard.stop(ctx); err != nil {
		return err
	}
	m.guard = m.enforce(ctx, *c)
	problem := m.guard.state().Problem
	if problem == "" {
		return nil
	}
	err := m.guard.stop(ctx)
	m.cfg = was
	m.guard = m.enforce(ctx, was)
	if e := m.apply(ctx, was); err == nil {
		err = e
	}
	if err == nil {
		err = fmt.Errorf("enforce labels: %s", problem)
	}
	return err
}

// Revert implements core.Reverter. Nothing is left of a run that was killed: what the
// kernel asked ends with the process that was asked.
func (m *Module) Revert(context.Context) error { return nil }

// Status implements core.Reporter.
func (m *Module) Status() core.Status {
	s := m.status()
	out := core.Status{State: core.Running, Detail: s}
	m.mu.Lock()
	started := m.started
	m.mu.Unlock()
	switch {
	case !started:
		out.State, out.Summary = core.Stopped, "not running"
	case s.Problem != "":
		out.State, out.Summary = core.Failed, s.Problem
	case s.Enforce != nil && s.Enforce.Problem != "":
		out.State, out.Summary = core.Degraded, "labels are not enforced: "+s.Enforce.Problem
	default:
		out.Summary = fmt.Sprintf("SM2, SM3, SM4 by %s; policy %s; self-test %s", s.levels(), s.Policy.Mode, s.SelfTest.State)
		if s.Enforce != nil {
			out.Summary += "; labels: " + s.Enforce.Mode
		}
	}
	return out
}

// Probes implements core.Prober.
func (m *Module) Probes() []*feature.Probe { return probes(m.root) }
