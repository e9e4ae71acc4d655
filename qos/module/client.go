package module

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/anole-os/anole/core"
)

// maxAnswer bounds what the agent may answer.
const maxAnswer = 64 << 20

// ask sends a request to the agent and decodes its answer into v.
func ask(ctx context.Context, method, path string, query url.Values, body []byte, v any) error {
	env := core.EnvFrom(ctx)
	u := url.URL{Scheme: "http", Host: "anole", Path: "/api/v1/qos/" + path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := env.Agent.Do(req)
	if err != nil {
		return unreachable(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return core.Exit(core.ExitUnreachable, fmt.Errorf("read the agent's answer: %w", err))
	}
	if resp.StatusCode != http.StatusOK {
		return refused(resp.StatusCode, b)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read the agent's answer: %w", err)
	}
	return nil
}

// unreachable is an error of the way to the agent.
func unreachable(err error) error {
	var exit *core.ExitError
	if errors.As(err, &exit) {
		return exit // without the URL, which is no address a user could open
	}
	return core.Exit(core.ExitUnreachable, err)
}

// refused turns an error answer into an error with its exit code.
func refused(status int, b []byte) error {
	var e struct {
		Error struct{ Message string }
	}
	if json.Unmarshal(b, &e) != nil || e.Error.Message == "" {
		e.Error.Message = fmt.Sprintf("the agent answered %s", http.StatusText(status))
	}
	code := core.ExitFailed
	switch status {
	case http.StatusBadRequest, http.StatusNotFound:
		code = core.ExitUsage
	case http.StatusServiceUnavailable:
		code = core.ExitUnreachable
	}
	return core.Exit(code, errors.New(e.Error.Message))
}
