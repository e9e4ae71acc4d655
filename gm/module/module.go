// Package module gives the gm room its place in the node agent and on the command line.
package module

import (
	"context"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
)

func init() {
	core.Register(core.Info{
		Name:     "gm",
		Doc:      "ShangMi, China's commercial cryptography, at the speed of the processor",
		New:      func() core.Module { return New() },
		Programs: map[string]func([]string) error{"sm3sum": sm3sum},
	})
}

// Config is the section "gm" of the configuration file.
type Config struct{}

// Module is the gm room in the agent.
type Module struct{ cfg Config }

// New makes a Module with default configuration.
func New() *Module { return &Module{} }

// Config implements core.Module.
func (m *Module) Config() any { return &m.cfg }

// Provision implements core.Module.
func (m *Module) Provision(*core.Host) error { return nil }

// Start implements core.Module.
func (m *Module) Start(context.Context) error { return nil }

// Stop implements core.Module.
func (m *Module) Stop(context.Context) error { return nil }

// Status implements core.Reporter.
func (m *Module) Status() core.Status {
	return core.Status{State: core.Running, Summary: "SM4 by " + sm4.Implementation() + ", SM3 by " + sm3.Implementation()}
}
