package node

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/yamlx"
)

// reload reads the configuration and puts it in force, or leaves everything as
// it was. It runs in the main loop.
func (n *Node) reload(ctx context.Context) (api.Reloaded, error) {
	n.notify.reloading()
	defer func() { n.notify.send("READY=1\nSTATUS=" + n.summary()) }()
	res, err := n.tryReload(ctx)
	result := "ok"
	switch {
	case err != nil:
		result = "error"
		n.log.Error("configuration refused, the last good one stays in force", "error", err)
	case len(res.Changed) == 0:
		result = "unchanged"
	default:
		n.log.Info("configuration reloaded", "generation", res.Generation, "changed", res.Changed, "restart_for", res.RestartFor)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Reloads[result]++
	n.status.Error = ""
	if err != nil {
		n.status.Error = err.Error()
	}
	return res, err
}

func (n *Node) tryReload(ctx context.Context) (api.Reloaded, error) {
	none := api.Reloaded{Generation: n.status.Generation, Changed: []string{}, RestartFor: slices.Clone(n.status.RestartFor)}
	infos, err := n.opt.Registry.Ordered()
	if err != nil {
		return none, err
	}
	cfg, err := LoadConfig(n.opt.Config, n.opt.Required, infos)
	if err != nil {
		return none, err
	}
	if cfg.sum == n.cfg.sum {
		return none, nil
	}
	b := n.builder()
	fresh, err := b.build(infos, cfg)
	if err != nil {
		return none, err
	}
	c := &change{old: n.set, fresh: fresh, cfg: cfg}
	c.plan()
	if err := c.apply(ctx); err != nil {
		back, berr := c.rollBack(ctx, func() (*set, error) { return b.build(infos, n.cfg) })
		n.mu.Lock()
		n.set = back
		n.mu.Unlock()
		return none, errors.Join(err, berr)
	}
	old := n.cfg
	changed := c.names()
	if !reflect.DeepEqual(old.Agent, cfg.Agent) {
		changed = append(changed, "agent")
	}
	n.mu.Lock()
	n.set = c.next
	n.mu.Unlock()
	if len(changed) > 0 {
		n.accept(cfg)
	}
	n.applyAgent(old.Agent, cfg)
	n.setWeb()
	n.probe()
	return api.Reloaded{Generation: n.status.Generation, Changed: changed, RestartFor: slices.Clone(n.status.RestartFor)}, nil
}

// applyAgent puts the agent's own section in force as far as a running agent
// can.
func (n *Node) applyAgent(old AgentConfig, cfg *Config) {
	n.logs.set(cfg.Agent.Log)
	if !reflect.DeepEqual(old.Console, cfg.Agent.Console) {
		n.console.close()
		n.console.open(n, n.consoleConfigOf(cfg))
	}
	var restart []string
	for key, differ := range map[string]bool{
		"agent.api": old.API != cfg.Agent.API, "agent.history": old.History != cfg.Agent.History, "agent.metrics": old.Metrics != cfg.Agent.Metrics,
	} {
		if differ {
			restart = append(restart, key)
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cfg = cfg
	for _, key := range restart {
		if !slices.Contains(n.status.RestartFor, key) {
			n.status.RestartFor = append(n.status.RestartFor, key)
		}
	}
	slices.Sort(n.status.RestartFor)
}

// action is what a reload does to one module.
type action int

const (
	keep        action = iota // its section is the same
	reconfigure               // it takes the new section in stride
	replace                   // it is stopped and a new one is started
)

// change is one reload.
type change struct {
	old, fresh, next *set
	cfg              *Config
	acts             map[string]action // of modules in old and fresh
	stopped          []string          // in order of their stop
	started          []*unit
	reconfigured     []*unit // of old
}

// plan decides what to do with each module. A module that is replaced, added
// or removed takes those along that are wired to it: they hold, or gave, an
// offer that goes with the instance, and only Needs and After tell who does.
func (c *change) plan() {
	c.acts = map[string]action{}
	var work []string
	for _, u := range c.fresh.units {
		o := c.old.find(u.info.Name)
		switch {
		case o == nil:
			work = append(work, u.info.Name)
		case yamlx.Equal(o.doc, u.doc):
			c.acts[u.info.Name] = keep
		case canReconfigure(o):
			c.acts[u.info.Name] = reconfigure
		default:
			work = append(work, u.info.Name)
		}
	}
	for _, u := range c.old.units {
		if c.fresh.find(u.info.Name) == nil {
			work = append(work, u.info.Name)
		}
	}
	for len(work) > 0 {
		name := work[0]
		work = work[1:]
		if c.acts[name] == replace {
			continue
		}
		c.acts[name] = replace
		work = append(work, c.wired(name)...)
	}
}

func canReconfigure(u *unit) bool {
	_, ok := u.mod.(core.Reconfigurer)
	return ok && u.running()
}

// wired lists the modules that name, or are named by, one in Needs or After.
func (c *change) wired(name string) []string {
	var out []string
	for _, u := range slices.Concat(c.old.units, c.fresh.units) {
		before := slices.Concat(u.info.Needs, u.info.After)
		switch {
		case u.info.Name == name:
			out = append(out, before...)
		case slices.Contains(before, name):
			out = append(out, u.info.Name)
		}
	}
	return slices.DeleteFunc(out, func(n string) bool { return c.old.find(n) == nil && c.fresh.find(n) == nil })
}

// names lists the modules that the change touches.
func (c *change) names() []string {
	names := []string{}
	for name, a := range c.acts {
		if a != keep {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// apply stops what goes, then goes through the new set in order.
func (c *change) apply(ctx context.Context) error {
	for _, u := range slices.Backward(c.old.units) {
		if c.acts[u.info.Name] == replace {
			c.stopped = append(c.stopped, u.info.Name)
			_ = c.old.run.stop(u) // logged there; the new instance adopts what is left
		}
	}
	c.next = &set{log: c.fresh.log, run: c.fresh.run}
	for _, u := range c.fresh.units {
		if err := c.step(ctx, u); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) step(ctx context.Context, u *unit) error {
	o := c.old.find(u.info.Name)
	switch c.acts[u.info.Name] {
	case keep:
		c.next.units = append(c.next.units, o)
		return nil
	case reconfigure:
		if err := c.reconfigure(ctx, o, u.doc); err != nil {
			return c.cfg.doc.Errorf(u.info.Name, "%v", err)
		}
		c.reconfigured = append(c.reconfigured, o)
		c.next.units = append(c.next.units, &unit{info: o.info, mod: o.mod, doc: u.doc, probes: o.probes, mux: o.mux, cancel: o.cancel, state: core.Running})
		return nil
	}
	c.next.units = append(c.next.units, u)
	if err := c.next.startUnit(ctx, u); err != nil {
		return c.cfg.doc.Errorf(u.info.Name, "%v", err)
	}
	c.started = append(c.started, u)
	return nil
}

// reconfigure hands a module its section, decoded anew so that no instance
// shares it.
func (c *change) reconfigure(ctx context.Context, u *unit, d *yamlx.Doc) error {
	conf, err := decodeInto(u.info.New().Config(), d)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, reconfigureTimeout)
	defer cancel()
	return c.old.run.call(ctx, u, "reconfigure", time.Second, func(ctx context.Context) error {
		return u.mod.(core.Reconfigurer).Reconfigure(ctx, conf)
	})
}

const reconfigureTimeout = 5 * time.Second

// rollBack undoes what apply did: new instances are stopped, instances of the
// old configuration take the place of the stopped ones.
// It gives the set that is then in force.
func (c *change) rollBack(ctx context.Context, rebuild func() (*set, error)) (*set, error) {
	back := &set{units: slices.Clone(c.old.units), log: c.old.log, run: c.old.run}
	for _, u := range slices.Backward(c.started) {
		_ = c.next.run.stop(u)
	}
	var errs []error
	for _, u := range slices.Backward(c.reconfigured) {
		if err := c.reconfigure(ctx, u, u.doc); err != nil {
			errs = append(errs, fmt.Errorf("go back to the last good configuration: %w", err))
		}
	}
	if len(c.stopped) == 0 {
		return back, errors.Join(errs...)
	}
	again, err := rebuild()
	if err != nil {
		return back, errors.Join(append(errs, fmt.Errorf("go back to the last good configuration: %w", err))...)
	}
	for _, u := range again.units {
		i := slices.IndexFunc(back.units, func(o *unit) bool { return o.info.Name == u.info.Name })
		if i < 0 || !slices.Contains(c.stopped, u.info.Name) {
			continue
		}
		back.units[i] = u
		if err := back.startUnit(ctx, u); err != nil {
			errs = append(errs, fmt.Errorf("go back to the last good configuration: %w", err))
		}
	}
	return back, errors.Join(errs...)
}
