package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/node"
)

// socket finds the agent's socket: by flag, by configuration, by default. A
// configuration that cannot be read is the agent's concern, not a client's.
func (a *app) socket() string {
	if a.flags.socket != "" {
		return a.flags.socket
	}
	if infos, err := a.opt.Registry.Ordered(); err == nil {
		if c, err := node.LoadConfig(a.flags.config, false, infos); err == nil && c.Agent.API.Socket != "" {
			return c.Agent.API.Socket
		}
	}
	return filepath.Join(a.flags.runDir, node.SocketName)
}

// dialer makes the client for the agent's socket.
func dialer(socket string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
			switch {
			case err == nil:
				return c, nil
			case errors.Is(err, fs.ErrPermission):
				return nil, core.Exit(core.ExitDenied, fmt.Errorf("reach the agent on %s: permission denied; run this as root", socket))
			}
			return nil, core.Exit(core.ExitUnreachable, fmt.Errorf("reach the agent on %s: %w; start it with \"anole up\"", socket, cause(err)))
		},
	}}
}

// cause strips package net's wrapping, which repeats the path.
func cause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// maxAnswer bounds an answer of the agent.
const maxAnswer = 64 << 20

// call sends a request to the agent and decodes its answer into out.
func (a *app) call(ctx context.Context, method, path string, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, "http://anole"+path, nil)
	if err != nil {
		return err
	}
	resp, err := a.env.Agent.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return core.Exit(core.ExitUnreachable, fmt.Errorf("read the agent's answer: %w", err))
	}
	if resp.StatusCode >= http.StatusBadRequest {
		var e api.ErrorBody
		if json.Unmarshal(body, &e) != nil || e.Error.Message == "" {
			return fmt.Errorf("%s %s: the agent answers %s", method, path, resp.Status)
		}
		if e.Error.Code == api.CodeConfig.Name {
			return core.Exit(core.ExitUsage, errors.New(e.Error.Message))
		}
		return errors.New(e.Error.Message)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("decode the agent's answer: %w", err)
	}
	return nil
}
