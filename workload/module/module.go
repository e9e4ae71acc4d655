// Package module gives the workload room its place in the node agent: it runs
// the sources that know containers and offers their registry to other rooms, and a
// place where they tell each other of slow services.
package module

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/workload"
	"github.com/anole-os/anole/workload/cri"
	"github.com/anole-os/anole/workload/sources"
)

func init() {
	core.Register(core.Info{
		Name: "workload",
		Doc:  "Pods and containers of the node: names, labels and annotations, from NRI, CRI and containerd",
		New:  func() core.Module { return New() },
	})
}

// Config is the section "workload" of the configuration file.
type Config struct {
	NRI       string `yaml:"nri" doc:"Be a plugin of the container runtime (Node Resource Interface): auto, off or the path of its socket."`
	CRI       string `yaml:"cri" doc:"Ask the Kubernetes container runtime: auto (containerd, CRI-O, k3s, k0s, cri-dockerd), off or the path of its socket."`
	Events    string `yaml:"events" doc:"Follow containerd's own events, for containers of ctr, nerdctl and others: auto, off or the path of its socket."`
	CRIStream string `yaml:"criStream" doc:"Listen to the runtime's CRI event stream: auto (where every listener gets all events: containerd 2.0 and later), on or off."`
}

func (c *Config) options(root string) sources.Options {
	o := sources.Options{NRI: c.NRI, CRI: c.CRI, Events: c.Events, Root: root, Stream: cri.Stream(c.CRIStream)}
	if c.CRIStream == "auto" {
		o.Stream = cri.StreamAuto
	}
	return o
}

// Module is the workload room in the agent.
type Module struct {
	cfg  Config
	log  *slog.Logger
	root string
	reg  *workload.Registry

	mu     sync.Mutex // guards all below
	set    *sources.Set
	cancel context.CancelFunc
	done   chan struct{}
}

// New makes a Module with default configuration.
func New() *Module {
	return &Module{cfg: Config{NRI: "auto", CRI: "auto", Events: "auto", CRIStream: "auto"}}
}

// Config implements core.Module.
func (m *Module) Config() any { return &m.cfg }

// Provision implements core.Module.
func (m *Module) Provision(h *core.Host) error {
	o := m.cfg.options(h.Root)
	if err := o.Validate(); err != nil {
		return err
	}
	m.log, m.root, m.reg = h.Log, h.Root, workload.NewRegistry()
	m.set = sources.New(o)
	return errors.Join(core.Offer(h.Offers, m.reg), core.Offer(h.Offers, new(workload.Breaches)))
}

// Start implements core.Module. It does not wait for any runtime.
func (m *Module) Start(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.run()
	return nil
}

// run starts the sources; the lock is held.
func (m *Module) run() {
	ctx, cancel := context.WithCancel(context.Background())
	set, done := m.set, make(chan struct{})
	m.cancel, m.done = cancel, done
	go func() {
		defer close(done)
		set.Run(ctx, m.reg, m.lost)
	}()
}

// lost logs that a source went. One that never was there is no news.
func (m *Module) lost(s workload.SourceStatus) {
	level := slog.LevelWarn
	if s.Connects == 0 {
		level = slog.LevelDebug
	}
	m.log.Log(context.Background(), level, "workload source lost", "source", s.Name, "connects", s.Connects, "problem", s.Problem)
}

// Stop implements core.Module.
func (m *Module) Stop(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.end(ctx)
}

// end ends the sources; the lock is held.
func (m *Module) end(ctx context.Context) error {
	if m.cancel == nil {
		return nil
	}
	m.cancel()
	select {
	case <-m.done:
	case <-ctx.Done():
		return fmt.Errorf("end the sources: %w", ctx.Err())
	}
	m.cancel = nil
	return nil
}

// Reconfigure implements core.Reconfigurer. Rooms that hold the registry keep
// it, with what is known so far.
func (m *Module) Reconfigure(ctx context.Context, next any) error {
	c, ok := next.(*Config)
	if !ok {
		return fmt.Errorf("reconfigure workload: got %T", next)
	}
	o := c.options(m.root)
	if err := o.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cancel == nil {
		return errors.New("reconfigure workload: not running")
	}
	if reflect.DeepEqual(m.cfg, *c) {
		return nil
	}
	if err := m.end(ctx); err != nil {
		return err
	}
	m.cfg, m.set = *c, sources.New(o)
	m.run()
	return nil
}

// Probes implements core.Prober.
func (m *Module) Probes() []*feature.Probe {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.set == nil {
		return sources.New(m.cfg.options(m.root)).Probes()
	}
	return m.set.Probes()
}

// Status implements core.Reporter. A runtime that is not there is no trouble; a
// source that was connected once and is not now is one, and so is a
// disagreement.
func (m *Module) Status() core.Status {
	m.mu.Lock()
	running := m.cancel != nil
	m.mu.Unlock()
	if !running {
		return core.Status{State: core.Stopped, Summary: "not running"}
	}
	v := m.view()
	out := core.Status{State: core.Running, Summary: v.summary(), Detail: v}
	for _, s := range v.Sources {
		if !s.Connected && s.Problem != "" && s.Connects > 0 {
			out.State = core.Degraded
		}
	}
	if v.Disagreements > 0 {
		out.State = core.Degraded
	}
	return out
}
