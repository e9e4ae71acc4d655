package core

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxAnswer bounds what the agent may answer.
const maxAnswer = 64 << 20

// Ask sends a request to the agent, path being what follows /api/v1/, and decodes
// its answer into v. Errors have their exit codes.
func (e *Env) Ask(ctx context.Context, method, path string, query url.Values, body []byte, v any) error {
	resp, err := e.Send(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer resp.Close()
	b, err := io.ReadAll(io.LimitReader(resp, maxAnswer))
	if err != nil {
		return Exit(ExitUnreachable, fmt.Errorf("read the agent's answer: %w", err))
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

// Send is Ask for an answer that the caller reads as it comes, and must close.
func (e *Env) Send(ctx context.Context, method, path string, query url.Values, body []byte) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "anole", Path: "/api/v1/" + path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	resp, err := e.Agent.Do(req)
	if err != nil {
		return nil, unreachable(err)
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return nil, Exit(ExitUnreachable, fmt.Errorf("read the agent's answer: %w", err))
		}
		return nil, refused(resp.StatusCode, b)
	}
	return resp.Body, nil
}

// unreachable is an error of the way to the agent.
func unreachable(err error) error {
	var exit *ExitError
	if errors.As(err, &exit) {
		return exit // without the URL, which is no address a user could open
	}
	return Exit(ExitUnreachable, err)
}

// refused turns an error answer into an error with its exit code.
func refused(status int, b []byte) error {
	var e struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" {
		e.Error.Message = fmt.Sprintf("the agent answered %s", http.StatusText(status))
	}
	code := ExitFailed
	switch status {
	case http.StatusBadRequest, http.StatusNotFound:
		code = ExitUsage
	case http.StatusServiceUnavailable:
		code = ExitUnreachable
	}
	return Exit(code, errors.New(e.Error.Message))
}

// HTTPError is an error with the status code that it is answered with.
type HTTPError struct {
	Code int
	Err  error
}

func (e *HTTPError) Error() string { return e.Err.Error() }

// Unwrap gives what it is about.
func (e *HTTPError) Unwrap() error { return e.Err }

// Answer answers a request with v in JSON, or with an error in the API's form.
func Answer(w http.ResponseWriter, v any, err error) {
	code := http.StatusOK
	if err != nil {
		code = http.StatusInternalServerError
		var he *HTTPError
		if errors.As(err, &he) {
			code = he.Code
		}
		v = map[string]any{"error": map[string]string{"code": http.StatusText(code), "message": err.Error()}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v)
}
