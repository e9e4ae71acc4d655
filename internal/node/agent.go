package node

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/api"
)

var _ api.Agent = (*Node)(nil)

// units gives the units of the moment.
func (n *Node) units() []*unit {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.set.units)
}

// Status implements api.Agent.
func (n *Node) Status() api.Status {
	n.mu.Lock()
	st := api.Status{
		Version: n.opt.Version, PID: os.Getpid(), State: core.Running, Started: n.started,
		Uptime: time.Since(n.started).Seconds(), ReadyIn: n.readyIn.Seconds(), Config: n.status,
		Problems: slices.Clone(n.problems), Modules: []api.ModuleStatus{},
	}
	st.Node, _ = os.Hostname()
	st.Config.Reloads = map[string]int{}
	for k, v := range n.status.Reloads {
		st.Config.Reloads[k] = v
	}
	st.Config.RestartFor = slices.Clone(n.status.RestartFor)
	cfg, stopping := n.cfg, n.stopping
	n.mu.Unlock()
	for _, u := range n.units() {
		st.Modules = append(st.Modules, api.ModuleStatus{Name: u.info.Name, Doc: u.info.Doc, Status: u.status()})
	}
	if cfg != nil {
		for _, name := range cfg.Agent.Disable {
			st.Modules = append(st.Modules, api.ModuleStatus{Name: name, Status: core.Status{State: core.Stopped, Summary: "disabled by agent.disable"}})
		}
	}
	st.Console = n.console.status()
	st.History = n.history.status()
	judge(&st)
	if stopping {
		st.State = core.Stopped
	}
	return st
}

// judge derives the agent's state from its parts.
func judge(st *api.Status) {
	if st.Config.Error != "" {
		st.Problems = append(st.Problems, "the last reload was refused: "+st.Config.Error)
	}
	if st.Console.Error != "" {
		st.Problems = append(st.Problems, "no console: "+st.Console.Error)
	}
	if st.History.Enabled && st.History.Reason != "" {
		st.Problems = append(st.Problems, "no metrics history: "+st.History.Reason)
	}
	if len(st.Problems) > 0 {
		st.State = core.Degraded
	}
	for _, m := range st.Modules {
		switch m.State {
		case core.Failed:
			st.State = core.Failed
			st.Problems = append(st.Problems, m.Name+" has failed: "+m.Summary)
		case core.Degraded:
			if st.State == core.Running {
				st.State = core.Degraded
			}
			st.Problems = append(st.Problems, m.Name+" is degraded: "+m.Summary)
		}
	}
}

// summary is one line for the service manager.
func (n *Node) summary() string {
	count := map[core.State]int{}
	for _, u := range n.units() {
		s, _ := u.get()
		count[s]++
	}
	parts := []string{fmt.Sprintf("%d modules running", count[core.Running])}
	for _, s := range []core.State{core.Unsupported, core.Failed} {
		if count[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", count[s], s))
		}
	}
	return strings.Join(parts, ", ")
}

// Features implements api.Agent. While the agent stops it gives what was known.
func (n *Node) Features(ctx context.Context) []feature.Result {
	if r, ok := n.probing.ask(ctx, n.units()); ok {
		return r
	}
	return append([]feature.Result{}, n.Probed()...)
}

// Probed implements api.Agent.
func (n *Node) Probed() []feature.Result {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.probed
}

// Routes implements api.Agent.
func (n *Node) Routes(module string) (http.Handler, error) {
	for _, u := range n.units() {
		if u.info.Name != module {
			continue
		}
		if state, err := u.get(); state != core.Running {
			if err == nil {
				err = errors.New("the module is " + string(state))
			}
			return nil, err
		}
		if u.mux == nil {
			return nil, api.ErrNoModule
		}
		return u.mux, nil
	}
	return nil, api.ErrNoModule
}

// Collect implements api.Agent.
func (n *Node) Collect(emit func(core.Metric)) {
	for _, u := range n.units() {
		if c, ok := u.mod.(core.Collector); ok && u.running() {
			c.Collect(emit)
		}
	}
}

// setWeb gives the console the panels of the running modules.
func (n *Node) setWeb() {
	if n.opt.Web == nil {
		return
	}
	var panels []core.Panel
	for _, u := range n.units() {
		if p, ok := u.mod.(core.Paneler); ok && u.running() {
			panels = append(panels, p.Panel())
		}
	}
	n.server.SetWeb(n.opt.Web(panels))
}
