package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/anole-os/anole/core"
)

// ErrNoModule says that no module of that name is built in.
var ErrNoModule = errors.New("no such module")

// Options configures a Server.
type Options struct {
	Agent    Agent
	Gatherer prometheus.Gatherer // for /metrics
	History  http.Handler        // the Prometheus query API; nil answers 503
	Log      *slog.Logger        // nil: silence
}

// Server routes requests; it listens nowhere by itself.
type Server struct {
	opt    Options
	routes map[string]map[string]http.HandlerFunc // path → method → handler
	web    atomic.Pointer[http.Handler]
}

// New makes a server.
func New(opt Options) *Server {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{opt: opt}
	get := func(h http.HandlerFunc) map[string]http.HandlerFunc {
		return map[string]http.HandlerFunc{http.MethodGet: h}
	}
	post := func(h http.HandlerFunc) map[string]http.HandlerFunc {
		return map[string]http.HandlerFunc{http.MethodPost: h}
	}
	metrics := promhttp.HandlerFor(opt.Gatherer, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, EnableOpenMetrics: true, // which has exemplars
		ErrorLog: slog.NewLogLogger(opt.Log.Handler(), slog.LevelWarn),
	})
	s.routes = map[string]map[string]http.HandlerFunc{
		"/api/v1/status":   get(s.status),
		"/api/v1/features": get(s.features),
		"/api/v1/reload":   post(s.reload),
		"/api/v1/revert":   post(s.revert),
		"/api/v1/stop":     post(s.stop),
		"/healthz":         get(s.healthz),
		"/metrics":         get(metrics.ServeHTTP),
	}
	return s
}

// SetWeb mounts the console's files; they are served on the console's port
// only. It may be called at any time.
func (s *Server) SetWeb(h http.Handler) { s.web.Store(&h) }

// Socket gives the handler for the unix socket: everything is allowed.
func (s *Server) Socket() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if h := s.find(w, r); h != nil {
			h.ServeHTTP(w, r)
		}
	})
}

// historyPaths are the first path elements below /api/v1/ of the Prometheus
// query API. All of it reads only, though clients such as Grafana send POST.
var historyPaths = map[string]bool{
	"query": true, "query_range": true, "query_exemplars": true, "format_query": true, "parse_query": true,
	"series": true, "labels": true, "label": true, "metadata": true, "rules": true, "alerts": true, "targets": true, "status": true,
}

// find gives the handler for an API request, or answers with an error itself.
func (s *Server) find(w http.ResponseWriter, r *http.Request) http.Handler {
	path := r.URL.Path
	if methods, ok := s.routes[path]; ok {
		m := r.Method
		if m == http.MethodHead {
			m = http.MethodGet
		}
		h, ok := methods[m]
		if !ok {
			for allow := range methods {
				w.Header().Set("Allow", allow)
			}
			writeError(w, codeMethod, r.Method+" is not allowed on "+path)
			return nil
		}
		return h
	}
	name, ok := strings.CutPrefix(path, "/api/v1/")
	if !ok {
		notFound(w, r)
		return nil
	}
	name, _, _ = strings.Cut(name, "/")
	if historyPaths[name] {
		if s.opt.History == nil {
			writeError(w, codeHistoryOff, "the metrics history is not enabled (agent.history.enabled)")
			return nil
		}
		return s.opt.History
	}
	return s.module(w, r, name)
}

func (s *Server) module(w http.ResponseWriter, r *http.Request, name string) http.Handler {
	h, err := s.opt.Agent.Routes(name)
	switch {
	case errors.Is(err, ErrNoModule):
		notFound(w, r)
		return nil
	case errors.Is(err, errors.ErrUnsupported):
		writeError(w, codeUnsupported, err.Error())
		return nil
	case err != nil:
		writeError(w, codeNotRunning, err.Error())
		return nil
	}
	mux, ok := h.(*http.ServeMux)
	if !ok {
		return h
	}
	if _, pattern := mux.Handler(r); pattern == "" {
		s.noPattern(w, r, mux)
		return nil
	}
	return h
}

// noPattern tells a wrong method from a wrong path, in JSON.
func (s *Server) noPattern(w http.ResponseWriter, r *http.Request, mux *http.ServeMux) {
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, p := mux.Handler(other); p != "" && m != r.Method {
			w.Header().Set("Allow", m)
			writeError(w, codeMethod, r.Method+" is not allowed on "+r.URL.Path)
			return
		}
	}
	notFound(w, r)
}

func notFound(w http.ResponseWriter, r *http.Request) {
	writeError(w, codeNotFound, fmt.Sprintf("no route %s %s", r.Method, r.URL.Path))
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.opt.Agent.Status())
}

func (s *Server) features(w http.ResponseWriter, r *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{"features": s.opt.Agent.Features(r.Context())})
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	res, err := s.opt.Agent.Reload(r.Context())
	if err != nil {
		writeError(w, CodeConfig, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, res)
}

func (s *Server) revert(w http.ResponseWriter, r *http.Request) {
	// A client that goes away must not leave the node half restored.
	rep, err := s.opt.Agent.Revert(context.WithoutCancel(r.Context()))
	if err != nil {
		writeError(w, codeRevert, err.Error())
		return
	}
	writeJSON(w, http.StatusOK, rep)
}

func (s *Server) stop(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusAccepted, map[string]bool{"stopping": true})
	s.opt.Agent.Stop()
}

// healthz answers 200 while no module has failed.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	st := s.opt.Agent.Status()
	code := http.StatusOK
	if st.State == core.Failed || st.State == core.Stopped {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, map[string]any{"state": st.State, "problems": st.Problems})
}
