package api

import "net/http"

// Code is a kind of error of the agent's own routes. A room's routes answer
// with the text of the HTTP status instead.
type Code struct {
	Name    string // in the answer, for programs
	Status  int    // of HTTP
	Meaning string
}

// CodeConfig is the one that clients branch on.
var CodeConfig = Code{"config", http.StatusUnprocessableEntity, "the configuration was refused; the last good one stays in force"}

var (
	codeEncode      = Code{"encode", http.StatusInternalServerError, "an answer could not be written as JSON: a mistake in a module"}
	codeHistoryOff  = Code{"history_off", http.StatusServiceUnavailable, "the metrics history is off or could not be opened"}
	codeHost        = Code{"host", http.StatusForbidden, "the console was asked under a name that `agent.console.names` does not list"}
	codeMethod      = Code{"method", http.StatusMethodNotAllowed, "the route has another method, see the header Allow"}
	codeNotFound    = Code{"not_found", http.StatusNotFound, "there is no such route"}
	codeNotRunning  = Code{"not_running", http.StatusServiceUnavailable, "the module that has the route does not run"}
	codeReadOnly    = Code{"read_only", http.StatusForbidden, "the console's port only reads; the unix socket writes"}
	codeRevert      = Code{"revert", http.StatusServiceUnavailable, "nothing was put back: the agent is stopping already"}
	codeUnsupported = Code{"unsupported", http.StatusNotImplemented, "the module that has the route is unsupported on this node"}
)

// Codes lists all codes by name.
func Codes() []Code {
	return []Code{
		CodeConfig, codeEncode, codeHistoryOff, codeHost, codeMethod, codeNotFound, codeNotRunning, codeReadOnly, codeRevert, codeUnsupported,
	}
}
