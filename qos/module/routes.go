package module

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
)

// Routes implements core.Router.
func (m *Module) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/qos/status", m.with(func(e *qos.Engine, _ *http.Request) (any, error) {
		return e.Status(), nil
	}))
	mux.HandleFunc("GET /api/v1/qos/explain", m.with(func(e *qos.Engine, r *http.Request) (any, error) {
		x, err := e.Explain(r.URL.Query().Get("id"))
		if err != nil {
			return nil, &core.HTTPError{Code: http.StatusNotFound, Err: err}
		}
		return x, nil
	}))
	mux.HandleFunc("GET /api/v1/qos/policy", m.with(m.getPolicy))
	mux.HandleFunc("GET /api/v1/qos/record", m.getRecord)
	mux.HandleFunc("POST /api/v1/qos/policy", m.with(m.postPolicy))
	mux.HandleFunc("DELETE /api/v1/qos/policy", m.with(m.deletePolicy))
}

// with runs a handler on the running engine and answers in JSON.
func (m *Module) with(h func(*qos.Engine, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var v any
		err := errNotRunning
		if e := m.running(); e != nil {
			v, err = h(e, r)
		}
		core.Answer(w, v, err)
	}
}

var errNotRunning error = &core.HTTPError{Code: http.StatusServiceUnavailable, Err: errors.New("the qos room is not running")}

func (m *Module) getPolicy(e *qos.Engine, _ *http.Request) (any, error) {
	p, gen := e.Policy()
	b, err := yaml.Marshal(p)
	if err != nil {
		return nil, fmt.Errorf("encode policy: %w", err)
	}
	return map[string]any{"yaml": string(b), "generation": gen, "from": m.origin()}, nil
}

// maxPolicy bounds what a client may send.
const maxPolicy = 1 << 20

// postPolicy puts a policy in force and keeps it for the next start. The file
// is written first: what was acknowledged survives.
func (m *Module) postPolicy(e *qos.Engine, r *http.Request) (any, error) {
	src, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxPolicy))
	if err != nil {
		return nil, &core.HTTPError{Code: http.StatusBadRequest, Err: fmt.Errorf("read policy: %w", err)}
	}
	name := r.URL.Query().Get("name")
	if name == "" {
		name = "policy"
	}
	p, err := qos.ParsePolicy(src, name)
	if err != nil {
		return nil, &core.HTTPError{Code: http.StatusBadRequest, Err: err}
	}
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := keep(m.stored, src); err != nil {
		return nil, err
	}
	if err := e.SetPolicy(p); err != nil {
		return nil, err
	}
	m.setOrigin("anole qos apply, kept in " + m.stored)
	_, gen := e.Policy()
	m.log.Info("policy applied", "generation", gen)
	return map[string]any{"generation": gen}, nil
}

// deletePolicy goes back to the policy of the configuration.
func (m *Module) deletePolicy(e *qos.Engine, _ *http.Request) (any, error) {
	m.changes.Lock()
	defer m.changes.Unlock()
	if err := os.Remove(m.stored); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("forget applied policy: %w", err)
	}
	m.mu.Lock()
	p := m.cfg.Policy
	m.mu.Unlock()
	if err := e.SetPolicy(p); err != nil {
		return nil, err
	}
	m.setOrigin("configuration")
	_, gen := e.Policy()
	return map[string]any{"generation": gen}, nil
}

// keep replaces a file so that a crash leaves the old or the new one.
func keep(path string, b []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("keep policy: %w", err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".policy-*")
	if err != nil {
		return fmt.Errorf("keep policy: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("keep policy: %w", err)
	}
	return nil
}
