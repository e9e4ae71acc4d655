// Package core is the contract between a room of anole and the node agent.
//
// A room is a library that can be imported alone; its module, a thin adapter in
// <room>/module, implements Module and is named once in modules/all. The core
// knows no room by name: everything beyond Module is an optional interface that
// internal/node finds by type assertion.
package core

import (
	"context"
	"io/fs"
	"log/slog"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/anole-os/anole/feature"
)

// Info describes a module without side effects.
type Info struct {
	Name string // the room's name, [a-z][a-z0-9]*; also its key in the config and its verb
	Doc  string // one sentence
	// After names modules that, if present, start before this one; Needs names
	// modules that must be present as well.
	After, Needs []string
	New          func() Module
	// Entries are verbs of the room's own helper processes, by name
	// ("exec-in" for `anole qos exec-in`). main runs them before anything else
	// of the agent is set up, signal handling included, and exits.
	Entries map[string]func(args []string) error
	// Programs are commands that the binary is under another name, such as by a link
	// sm3sum. main runs them as it does Entries.
	Programs map[string]func(args []string) error
}

// Module is one room's place in the agent. The agent calls its methods from
// one goroutine, in the order Config, Provision, Start, Stop.
type Module interface {
	// Config gives a pointer to the module's configuration, set to its
	// defaults. The agent decodes the module's section into it strictly.
	Config() any
	// Provision checks the configuration and builds in memory. It never
	// touches the node: `anole config check` runs it.
	Provision(*Host) error
	// Start takes effect. It is idempotent: it adopts what an earlier run
	// left. On error it leaves nothing behind.
	Start(context.Context) error
	// Stop ends every goroutine and closes every file descriptor before ctx
	// does, and puts the node back.
	Stop(context.Context) error
}

// Host is what the agent lends to a module. It is a plain struct so that a
// test writes one literally.
type Host struct {
	Log      *slog.Logger
	Root     string // prefix of /proc and /sys, "" on a real node, a fixture tree in tests
	StateDir string // survives a reboot, e.g. /var/lib/anole
	RunDir   string // does not, e.g. /run/anole
	Offers   *Offers
}

// State is a module's condition in one word.
type State string

// States of a module.
const (
	Running     State = "running"
	Degraded    State = "degraded"    // works, with something missing
	Unsupported State = "unsupported" // this node cannot; the agent goes on without
	Stopped     State = "stopped"
	Failed      State = "failed"
)

// Status is what a module says of itself.
type Status struct {
	State   State  `json:"state"`
	Summary string `json:"summary"`          // one line
	Detail  any    `json:"detail,omitempty"` // JSON-able, the module's own shape
}

// Panel is a module's page in the console: an ES module panel.js at the root
// of FS which exports mount(element, kit) and returns an unmount function.
type Panel struct {
	ID    string // equals the module's name
	Title string
	Order int // lower is further left
	FS    fs.FS
}

// Prober lists what the module asks of the node. Probes must leave it as it was.
type Prober interface{ Probes() []*feature.Probe }

// Reporter tells the module's condition; called from any goroutine.
type Reporter interface{ Status() Status }

// Collector emits the module's metrics; called from any goroutine.
type Collector interface{ Collect(emit func(Metric)) }

// Describer lists the metrics that Collect may emit, for the reference.
type Describer interface{ Metrics() []*Desc }

// Commander gives the module's verbs as one cobra command named after it. It
// is called on a module that was never provisioned: verbs reach the agent
// through its API or work on their own.
type Commander interface{ Command() *cobra.Command }

// Router adds the module's HTTP routes, all below /api/v1/<name>/.
type Router interface{ Routes(*http.ServeMux) }

// Paneler gives the module's console panel.
type Paneler interface{ Panel() Panel }

// Reconfigurer takes a new configuration without a restart. An error means
// that the old configuration is still in force.
type Reconfigurer interface {
	Reconfigure(ctx context.Context, next any) error
}

// Reverter puts back what an earlier, dead run of the module left on the node
// beyond what the kernel-file journal restores.
type Reverter interface{ Revert(context.Context) error }
