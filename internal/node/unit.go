package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/yamlx"
)

// unit is one module in the agent.
type unit struct {
	info   core.Info
	mod    core.Module
	doc    *yamlx.Doc // its section of the configuration
	probes []*feature.Probe
	mux    *http.ServeMux
	cancel context.CancelFunc // of the context that Start was given

	mu    sync.Mutex
	state core.State
	err   error // why state is unsupported or failed
}

func (u *unit) set(s core.State, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.state, u.err = s, err
}

func (u *unit) get() (core.State, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.state, u.err
}

// running says whether Start succeeded and Stop was not called yet.
func (u *unit) running() bool {
	s, _ := u.get()
	return s == core.Running
}

// status gives the module's condition: its own word while it runs.
func (u *unit) status() core.Status {
	s, err := u.get()
	if s == core.Running {
		if r, ok := u.mod.(core.Reporter); ok {
			return r.Status()
		}
		return core.Status{State: core.Running}
	}
	st := core.Status{State: s}
	if err != nil {
		st.Summary = err.Error()
	}
	return st
}

// set holds the units of one configuration in start order.
type set struct {
	units []*unit
	log   *slog.Logger
	run   *runner
}

func (s *set) find(name string) *unit {
	for _, u := range s.units {
		if u.info.Name == name {
			return u
		}
	}
	return nil
}

func (s *set) runningNames() []string {
	names := []string{}
	for _, u := range s.units {
		if u.running() {
			names = append(names, u.info.Name)
		}
	}
	return names
}

// builder makes sets; building touches nothing on the node.
type builder struct {
	log                    *slog.Logger
	root, stateDir, runDir string
	journal                *journal.Journal
	run                    *runner
}

func (n *Node) builder() *builder {
	return &builder{
		log: n.log, root: n.opt.Root, stateDir: n.opt.StateDir, runDir: n.opt.RunDir, journal: n.journal,
		run: &runner{log: n.log, timeout: n.opt.StopTimeout},
	}
}

// build makes, configures and provisions the modules that cfg does not
// disable. All mistakes in the configuration are joined. A module that is
// unsupported already in Provision is in the set with that state.
func (b *builder) build(infos []core.Info, cfg *Config) (*set, error) {
	s := &set{log: b.log, run: b.run}
	offers := &core.Offers{}
	if b.journal != nil {
		if err := core.Offer(offers, b.journal); err != nil {
			return nil, err
		}
	}
	var errs []error
	for _, i := range infos {
		if cfg.disabled(i.Name) {
			continue
		}
		u := &unit{info: i, mod: i.New(), doc: cfg.Section(i.Name), state: core.Stopped}
		if _, err := decodeInto(u.mod.Config(), u.doc); err != nil {
			errs = append(errs, err)
		}
		s.units = append(s.units, u)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for _, u := range s.units {
		errs = append(errs, b.provision(u, cfg, offers))
	}
	return s, errors.Join(errs...)
}

// decodeInto decodes a section into a module's configuration, which may be nil
// for a module that has none.
func decodeInto(conf any, d *yamlx.Doc) (any, error) {
	if conf == nil {
		return nil, d.CheckKeys()
	}
	return conf, d.Decode(conf)
}

func (b *builder) provision(u *unit, cfg *Config, offers *core.Offers) error {
	host := &core.Host{
		Log: b.log.With("module", u.info.Name), Root: b.root, StateDir: b.stateDir, RunDir: b.runDir, Offers: offers,
	}
	err := b.run.guard(u, "provision", func() error { return u.mod.Provision(host) })
	var unsupported *feature.UnsupportedError
	switch {
	case errors.As(err, &unsupported):
		u.set(core.Unsupported, err)
	case err != nil:
		err = cfg.doc.Errorf(u.info.Name, "%v", err)
	}
	// A module that cannot be provisioned may still say what is missing.
	if p, ok := u.mod.(core.Prober); ok {
		err = errors.Join(err, b.run.guard(u, "probe", func() error { u.probes = p.Probes(); return nil }))
	}
	if err != nil {
		if unsupported != nil {
			return nil
		}
		return err
	}
	if r, ok := u.mod.(core.Router); ok {
		u.mux = http.NewServeMux()
		if err := b.run.guard(u, "route", func() error { r.Routes(u.mux); return nil }); err != nil {
			return err
		}
	}
	return nil
}

// start starts the units in order. A unit whose Start is unsupported, or that
// needs such a one, is left out; any other error stops those before it.
func (s *set) start(ctx context.Context) error {
	for i, u := range s.units {
		if err := s.startUnit(ctx, u); err != nil {
			for _, before := range slices.Backward(s.units[:i]) {
				_ = s.run.stop(before) // logged there
			}
			return err
		}
	}
	return nil
}

// startUnit starts one unit; a nil error means that it runs or is unsupported.
func (s *set) startUnit(ctx context.Context, u *unit) error {
	state, err := u.get()
	if state != core.Unsupported {
		if err = s.needs(u); err == nil {
			err = s.run.start(ctx, u)
		}
	}
	switch {
	case err == nil:
		u.set(core.Running, nil)
	case errors.Is(err, errors.ErrUnsupported):
		u.set(core.Unsupported, err)
		s.log.Warn("module is unsupported on this node", "module", u.info.Name, "error", err)
	default:
		u.set(core.Failed, err)
		return err
	}
	return nil
}

// needs says why u cannot run for the sake of a module that it needs.
func (s *set) needs(u *unit) error {
	for _, name := range u.info.Needs {
		if n := s.find(name); n == nil || !n.running() {
			return &feature.UnsupportedError{
				Feature: u.info.Name, Reason: feature.NoPeer, Need: fmt.Sprintf("the module %s, which does not run here", name),
			}
		}
	}
	return nil
}

// stop stops the running units in reverse order and goes on past every error.
func (s *set) stop() error {
	var errs []error
	for _, u := range slices.Backward(s.units) {
		errs = append(errs, s.run.stop(u))
	}
	return errors.Join(errs...)
}
