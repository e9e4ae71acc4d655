// Package api is the agent's face to programs: an HTTP/JSON API on a unix
// socket, the same read-only on the console's TCP port, and Prometheus
// metrics.
//
// The socket is the agent's only door for changes and is open to its owner
// alone (0600). The console's port is open to every local user and to every
// web page in a local browser, so it refuses methods that change anything and
// names in the Host header that it does not know (DNS rebinding).
//
// Errors have one shape: {"error":{"code":"…","message":"…"}}.
package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/feature"
)

// Agent is what the API asks of the agent. Methods are called concurrently.
type Agent interface {
	Status() Status
	// Features asks all modules' probes, which may take a while the first time.
	Features(context.Context) []feature.Result
	// Reload reads the configuration again and returns when it is in force or
	// was refused.
	Reload(context.Context) (Reloaded, error)
	// Revert stops all modules, restores the node and, after it returned,
	// ends the agent.
	Revert(context.Context) (Reverted, error)
	// Stop asks the agent to end and does not wait.
	Stop()
	// Routes gives a module's own handler. The error of a module that is known
	// but not running says why; an unknown one is ErrNoModule.
	Routes(module string) (http.Handler, error)
	// Collect emits the metrics of all running modules.
	Collect(emit func(core.Metric))
	// Probed gives the answers of the probes that were asked already.
	Probed() []feature.Result
}

// Status is the agent's condition, GET /api/v1/status.
type Status struct {
	Version  string         `json:"version"`
	Node     string         `json:"node"` // its host name
	PID      int            `json:"pid"`
	State    core.State     `json:"state"` // degraded if anything below is amiss
	Problems []string       `json:"problems,omitempty"`
	Started  time.Time      `json:"started"`
	Uptime   float64        `json:"uptime_seconds"`
	ReadyIn  float64        `json:"ready_seconds"` // from exec to ready
	Config   ConfigStatus   `json:"config"`
	Console  ConsoleStatus  `json:"console"`
	History  HistoryStatus  `json:"history"`
	Modules  []ModuleStatus `json:"modules"`
}

// ConfigStatus says which configuration is in force.
type ConfigStatus struct {
	File       string    `json:"file"`
	Files      []string  `json:"files"`      // those that were read, in order
	Generation int       `json:"generation"` // 1 at start, one more for each reload that changed something
	Loaded     time.Time `json:"loaded"`
	// Error is why the last reload was refused, "" when it was not.
	Error string `json:"error,omitempty"`
	// RestartFor lists changed keys that take effect at the next start only.
	RestartFor []string `json:"restart_for,omitempty"`
	// Reloads counts reloads by result: ok, unchanged, error.
	Reloads map[string]int `json:"reloads"`
}

// ConsoleStatus says where the console listens.
type ConsoleStatus struct {
	Enabled bool   `json:"enabled"`
	Address string `json:"address,omitempty"`
	Error   string `json:"error,omitempty"`
}

// HistoryStatus is the health of the metrics history.
type HistoryStatus struct {
	Enabled bool   `json:"enabled"`
	State   string `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Note    string `json:"note,omitempty"`
}

// ModuleStatus is one module's condition.
type ModuleStatus struct {
	Name string `json:"name"`
	Doc  string `json:"doc"`
	core.Status
}

// Reloaded is the outcome of a reload, POST /api/v1/reload.
type Reloaded struct {
	Generation int      `json:"generation"`
	Changed    []string `json:"changed"` // modules that were touched, and "agent"
	RestartFor []string `json:"restart_for,omitempty"`
}

// Reverted is what a revert did, POST /api/v1/revert.
type Reverted struct {
	Stopped  []string `json:"stopped"`  // modules that put their own traces back
	Restored int      `json:"restored"` // journal entries beyond those
	Gone     int      `json:"gone"`     // entries whose cgroup or process ended
	Failed   []string `json:"failed"`   // what could not be put back
}

// ErrorBody is the JSON form of an error.
type ErrorBody struct {
	Error struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

func errorBody(c Code, message string) (b ErrorBody) {
	b.Error.Code, b.Error.Message = c.Name, message
	return b
}

func writeError(w http.ResponseWriter, c Code, message string) {
	writeJSON(w, c.Status, errorBody(c, message))
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		// A module's Detail is the only part that this package does not know.
		status = codeEncode.Status
		body, _ = json.Marshal(errorBody(codeEncode, err.Error()))
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}
