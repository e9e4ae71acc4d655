package module

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/observer"
)

// Answers of the API.
type (
	// stat is that of /api/v1/tcprt/status.
	stat struct {
		observer.Status
		Exports  []exported         `json:"exports,omitempty"`
		Services []observer.Service `json:"by_service"`
	}
	// inflight is that of /api/v1/tcprt/inflight.
	inflight struct {
		All      int               `json:"all"` // how many there are
		Requests []observer.Record `json:"requests"`
	}
	// slow is that of /api/v1/tcprt/slow.
	slow struct {
		Requests []observer.Record `json:"requests"`
	}
	// found is that of /api/v1/tcprt/anomalies.
	found struct {
		Anomalies []observer.Anomaly `json:"anomalies"`
	}
	// history is that of /api/v1/tcprt/history.
	history struct {
		Phases []string         `json:"phases"`
		Bounds []float64        `json:"bounds_seconds"` // the ends of the heat's buckets, but for the last
		Points []observer.Point `json:"points"`
	}
)

// routes is the answer of /routes: what requests are, by their hints.
type routes struct {
	L7      string           `json:"l7"`
	Records observer.Records `json:"records"`
	Routes  []observer.Kind  `json:"routes"`
}

// Routes implements core.Router.
func (m *Module) Routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/v1/tcprt/status", m.with(func(o *observer.Observer, _ *http.Request) (any, error) {
		return stat{o.Status(), m.exporting().stats(), o.Services()}, nil
	}))
	mux.HandleFunc("GET /api/v1/tcprt/slow", m.with(func(o *observer.Observer, r *http.Request) (any, error) {
		f, most, err := filterOf(r.URL.Query())
		if err != nil {
			return nil, err
		}
		return slow{o.Slow(f, most)}, nil
	}))
	mux.HandleFunc("GET /api/v1/tcprt/inflight", m.with(func(o *observer.Observer, r *http.Request) (any, error) {
		f, most, err := filterOf(r.URL.Query())
		if err != nil {
			return nil, err
		}
		found, all, err := o.Inflight(f, most)
		return inflight{all, found}, err
	}))
	mux.HandleFunc("GET /api/v1/tcprt/history", m.with(func(o *observer.Observer, r *http.Request) (any, error) {
		p := o.History(r.URL.Query().Get("service"))
		if p == nil {
			return nil, &core.HTTPError{Code: http.StatusNotFound, Err: fmt.Errorf("no service %q", r.URL.Query().Get("service"))}
		}
		h := history{Points: p}
		for i := range tcprt.Phases {
			h.Phases = append(h.Phases, i.String())
		}
		for i := range tcprt.Buckets - 1 {
			h.Bounds = append(h.Bounds, tcprt.UpperBound(i))
		}
		return h, nil
	}))
	mux.HandleFunc("GET /api/v1/tcprt/routes", m.with(func(o *observer.Observer, _ *http.Request) (any, error) {
		cfg := m.config()
		return routes{cfg.L7, cfg.Records, o.Kinds()}, nil
	}))
	mux.HandleFunc("GET /api/v1/tcprt/anomalies", m.with(func(o *observer.Observer, _ *http.Request) (any, error) {
		return found{o.Anomalies()}, nil
	}))
	mux.HandleFunc("GET /api/v1/tcprt/watch", m.watch)
	mux.HandleFunc("GET /api/v1/tcprt/record", m.record)
	mux.HandleFunc("DELETE /api/v1/tcprt/record", m.endRecording)
}

// with runs a handler on the running observer and answers in JSON.
func (m *Module) with(h func(*observer.Observer, *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		o := m.running()
		if o == nil {
			core.Answer(w, nil, errNotRunning)
			return
		}
		v, err := h(o, r)
		core.Answer(w, v, err)
	}
}

var errNotRunning error = &core.HTTPError{Code: http.StatusServiceUnavailable, Err: errors.New("request timing is not running: anole status tells why")}

// watch streams records, a JSON value a line, until the client leaves.
func (m *Module) watch(w http.ResponseWriter, r *http.Request) {
	f, _, err := filterOf(r.URL.Query())
	o := m.running()
	if err == nil && o == nil {
		err = errNotRunning
	}
	if err != nil {
		core.Answer(w, nil, err)
		return
	}
	l := o.Listen(f)
	defer o.Leave(l)
	w.Header().Set("Content-Type", "application/x-ndjson")
	flush := http.NewResponseController(w).Flush
	_ = flush()
	out := json.NewEncoder(w)
	alive := time.NewTicker(time.Second) // that the client may find the agent gone
	defer alive.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-alive.C:
			if m.running() != o {
				return
			}
		case v := <-l.C():
			if out.Encode(v) != nil {
				return
			}
			for len(l.C()) > 0 {
				if out.Encode(<-l.C()) != nil {
					return
				}
			}
			_ = flush()
		}
	}
}

// maxRecords bounds what one answer lists.
const maxRecords = 10_000

// filterOf reads the query that filter.query writes.
func filterOf(q url.Values) (f observer.Filter, most int, err error) {
	f.Service, f.Name, most = q.Get("service"), q.Get("name"), 50
	bad := func(key string, err error) error {
		return &core.HTTPError{Code: http.StatusBadRequest, Err: fmt.Errorf("read %s %q: %w", key, q.Get(key), err)}
	}
	switch q.Get("role") {
	case "":
	case "server":
		f.Role = tcprt.Server
	case "client":
		f.Role = tcprt.Client
	default:
		return f, 0, bad("role", errors.New("want server or client"))
	}
	if s := q.Get("over"); s != "" {
		if f.AtLeast, err = time.ParseDuration(s); err != nil || f.AtLeast < 0 {
			return f, 0, bad("over", errors.New("want a duration, as in 20ms"))
		}
	}
	if s := q.Get("since"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil || d <= 0 {
			return f, 0, bad("since", errors.New("want how long ago, as in 5m"))
		}
		f.Since = time.Now().Add(-d)
	}
	if s := q.Get("from"); s != "" {
		if f.Remote, err = prefix(s); err != nil {
			return f, 0, bad("from", errors.New("want an address or a network, as in 10.0.0.0/8"))
		}
	}
	f.Failed, f.Resent = q.Get("failed") == "true", q.Get("resent") == "true"
	if s := q.Get("limit"); s != "" {
		if most, err = strconv.Atoi(s); err != nil || most < 1 || most > maxRecords {
			return f, 0, bad("limit", fmt.Errorf("want 1 to %d", maxRecords))
		}
	}
	return f, most, nil
}

func prefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Prefix(a.BitLen())
}
