// Package module gives the tcprt room its place in the node agent: life cycle,
// configuration, HTTP routes, metrics, console panel and verbs. All that measures
// anything is in package tcprt and below.
package module

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"reflect"
	"sync"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/bench"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/workload"
)

func init() {
	core.Register(core.Info{
		Name:    "tcprt",
		Doc:     "Every TCP request of the node timed, split and told whose it was, with no change to any program",
		After:   []string{"workload"},
		New:     func() core.Module { return New() },
		Entries: map[string]func([]string) error{holdVerb: bench.HoldMain, victimVerb: bench.VictimMain},
	})
}

//go:embed panel
var panel embed.FS

// Config is the section "tcprt" of the configuration file.
type Config struct {
	observer.Config `yaml:",inline"`
	Export          Export `yaml:"export"`
}

// Validate says what is wrong.
func (c *Config) Validate() error { return errors.Join(c.Config.Validate(), c.Export.validate()) }

// Module is the tcprt room in the agent.
type Module struct {
	cfg      Config
	log      *slog.Logger
	root     string
	records  *workload.Registry // nil without the workload room
	breaches *workload.Breaches // the same

	mu     sync.Mutex // guards all below
	o      *observer.Observer
	cancel context.CancelFunc
	done   chan struct{}
	failed error
	out    *exports // nil without any
	series series
	// recordings are those that can be ended, by their ids.
	recordings map[string]chan struct{}
}

// New makes a Module with default configuration.
func New() *Module { return &Module{cfg: Config{observer.Default(), defaultExport()}} }

// Config implements core.Module.
func (m *Module) Config() any { return &m.cfg }

// Provision implements core.Module.
func (m *Module) Provision(h *core.Host) error {
	if err := m.cfg.Validate(); err != nil {
		return err
	}
	m.log, m.root = h.Log, h.Root
	m.records, _ = core.Want[*workload.Registry](h.Offers)
	m.breaches, _ = core.Want[*workload.Breaches](h.Offers)
	return nil
}

// Start implements core.Module.
func (m *Module) Start(context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.run()
}

// run begins to measure; the lock is held.
func (m *Module) run() error {
	m.failed = nil
	if m.cfg.Tier == observer.Off {
		return nil
	}
	o, err := observer.Open(observer.Options{Config: m.cfg.Config, Root: m.root, Records: m.records, Breaches: m.breaches, Log: m.log})
	if err != nil {
		return err
	}
	out, err := openExports(&m.cfg.Export, o, m.log)
	if err != nil {
		return errors.Join(err, o.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	m.o, m.cancel, m.done, m.out = o, cancel, done, out
	go func() {
		defer close(done)
		if err := o.Run(ctx); err != nil {
			m.log.Error("request timing ended", "err", err)
			m.mu.Lock()
			m.failed = err
			m.mu.Unlock()
		}
	}()
	return nil
}

// Stop implements core.Module.
func (m *Module) Stop(ctx context.Context) error {
	m.mu.Lock()
	o, cancel, done, out := m.o, m.cancel, m.done, m.out
	m.o, m.out = nil, nil
	m.mu.Unlock()
	if o == nil {
		return nil
	}
	cancel()
	select {
	case <-done:
	case <-ctx.Done():
		return fmt.Errorf("stop request timing: %w", ctx.Err())
	}
	if err := out.close(ctx); err != nil { // which is no reason to go on
		m.log.Warn("what was to be exported is not, in part", "err", err)
	}
	return o.Close()
}

// Reconfigure implements core.Reconfigurer. What is measured is chosen when the
// programs are loaded, so they are loaded anew, and counts begin anew.
func (m *Module) Reconfigure(ctx context.Context, next any) error {
	c, ok := next.(*Config)
	if !ok {
		return fmt.Errorf("reconfigure tcprt: got %T", next)
	}
	if err := c.Validate(); err != nil {
		return err
	}
	m.mu.Lock()
	was := m.cfg
	m.mu.Unlock()
	if reflect.DeepEqual(was, *c) {
		return nil
	}
	if err := m.Stop(ctx); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cfg = *c
	err := m.run()
	if err != nil {
		m.cfg = was
		_ = m.run() // as it was
	}
	return err
}

func (m *Module) running() *observer.Observer {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.o
}

func (m *Module) config() Config {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg
}

func (m *Module) exporting() *exports {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.out
}

// Status implements core.Reporter.
func (m *Module) Status() core.Status {
	m.mu.Lock()
	o, failed, off := m.o, m.failed, m.cfg.Tier == observer.Off
	m.mu.Unlock()
	switch {
	case failed != nil:
		return core.Status{State: core.Failed, Summary: failed.Error()}
	case off:
		return core.Status{State: core.Stopped, Summary: "off by configuration (tcprt.tier)"}
	case o == nil:
		return core.Status{State: core.Stopped, Summary: "not running"}
	}
	s := o.Status()
	state := core.Running
	if s.Short != "" || s.Skip > 1 || s.Problem != "" {
		state = core.Degraded
	}
	return core.Status{
		State:   state,
		Summary: fmt.Sprintf("tier %s, %d services, %d records kept, %.1f %% of a CPU", s.Tier, s.Services, s.Kept, 100*s.Cost),
		Detail:  s,
	}
}

// Probes implements core.Prober.
func (m *Module) Probes() []*feature.Probe {
	tier := func(t tcprt.Tier, doc string) *feature.Probe {
		return feature.NewProbe("tcprt", "tier "+t.String(), doc, func() (string, error) { return "", tcprt.Probe(t) })
	}
	return []*feature.Probe{
		tier(tcprt.SockDiag, "Connections, not requests, by asking the kernel each second; needs no BPF"),
		tier(tcprt.Lite, "Each TCP request timed by its segments: upload, server, send, deliver"),
		tier(tcprt.Full, "How long requests lie in their socket before the program reads them, and which program that is"),
		tier(tcprt.TxStamp, "How long writes lie in the qdisc, and when their acknowledgement came in any state of the connection"),
		feature.NewProbe("tcprt", "hints", "What requests are, by their first bytes: routes, commands, statements (tcprt.l7)", func() (string, error) { return "", tcprt.ProbeHints() }),
	}
}

// Panel implements core.Paneler.
func (m *Module) Panel() core.Panel {
	sub, err := fs.Sub(panel, "panel")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return core.Panel{ID: "tcprt", Title: "Requests", Order: 20, FS: sub}
}
