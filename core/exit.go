package core

import (
	"errors"
	"io/fs"
)

// Exit codes of every verb.
const (
	ExitOK          = 0
	ExitFailed      = 1
	ExitUsage       = 2 // usage or configuration
	ExitNo          = 3 // the check said no
	ExitDenied      = 4
	ExitUnreachable = 5 // agent or peer
	ExitUnsupported = 6 // on this node
	// ExitInterrupted is of a verb that a signal ended: as a shell has it, 128 and SIGINT.
	ExitInterrupted = 130
)

// ExitMeanings says what each exit code tells, by code.
func ExitMeanings() []string {
	return []string{
		ExitOK:          "done",
		ExitFailed:      "it went wrong",
		ExitUsage:       "the command line or the configuration is wrong",
		ExitNo:          "the check said no",
		ExitDenied:      "permission denied",
		ExitUnreachable: "the agent or a peer cannot be reached",
		ExitUnsupported: "this node cannot do it; the message has the reason, what is needed and how to get it",
	}
}

// ExitError carries an exit code to main. A nil Err exits in silence, as for
// the code of a command that was run on the user's behalf.
type ExitError struct {
	Code int
	Err  error
}

func (e *ExitError) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

func (e *ExitError) Unwrap() error { return e.Err }

// Exit wraps err with an exit code.
func Exit(code int, err error) error { return &ExitError{Code: code, Err: err} }

// ExitCode gives the code for an error: that of an ExitError in its chain, 6
// for an unsupported feature, 4 for a denied permission, 1 otherwise.
func ExitCode(err error) int {
	var e *ExitError
	switch {
	case err == nil:
		return ExitOK
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, errors.ErrUnsupported):
		return ExitUnsupported
	case errors.Is(err, fs.ErrPermission):
		return ExitDenied
	}
	return ExitFailed
}
