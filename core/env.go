package core

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Env is what the command line lends to a module's verbs, found in the
// command's context.
type Env struct {
	Root     string // as in Host
	StateDir string
	RunDir   string
	Config   string // path of the configuration file
	Socket   string // path of the agent's API socket
	JSON     bool   // -o json was given
	Out, Err io.Writer
	// Agent speaks HTTP to the agent over Socket; the host part of a URL is
	// ignored ("http://anole/api/v1/…"). An unreachable agent is an error
	// with exit code 5.
	Agent *http.Client
}

// PrintJSON writes v as -o json does.
func (e *Env) PrintJSON(v any) error {
	enc := json.NewEncoder(e.Out)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("write output: %w", err)
	}
	return nil
}

type envKey struct{}

// WithEnv puts e into ctx.
func WithEnv(ctx context.Context, e *Env) context.Context {
	return context.WithValue(ctx, envKey{}, e)
}

// EnvFrom finds the Env of a command; outside the command line it is an empty
// one that writes nowhere.
func EnvFrom(ctx context.Context) *Env {
	if e, ok := ctx.Value(envKey{}).(*Env); ok {
		return e
	}
	return &Env{Out: io.Discard, Err: io.Discard}
}
