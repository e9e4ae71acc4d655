package node

import (
	"net/http"
	"path/filepath"
	"sync"

	"github.com/anole-os/anole/internal/api"
	"github.com/anole-os/anole/internal/store"
)

// history is the metrics history, which the agent can do without.
type history struct {
	mu      sync.Mutex
	store   *store.Store
	err     error
	enabled bool
}

func (h *history) open(n *Node) {
	h.mu.Lock()
	defer h.mu.Unlock()
	cfg := n.cfg.Agent.History
	if h.enabled = cfg.Enabled; !h.enabled {
		return
	}
	h.store, h.err = store.Open(store.Options{
		Dir:        filepath.Join(n.opt.StateDir, "history"),
		Retention:  cfg.Retention.Std(),
		MaxBytes:   int64(cfg.MaxSize),
		Interval:   cfg.Interval.Std(),
		Gatherer:   n.registry,
		Registerer: n.registry,
		Log:        n.log,
	})
	if h.err != nil {
		n.log.Error("no metrics history", "error", h.err)
	}
}

func (h *history) handler() http.Handler {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.store == nil {
		return nil
	}
	return h.store.Handler()
}

func (h *history) status() api.HistoryStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	st := api.HistoryStatus{Enabled: h.enabled, State: string(store.Off)}
	switch {
	case h.err != nil:
		st.Reason = h.err.Error()
	case h.store != nil:
		hl := h.store.Health()
		st.State, st.Note = string(hl.State), hl.Note
		if hl.State == store.Off || hl.State == store.Waiting {
			st.Reason = hl.Reason
		}
	}
	return st
}

func (h *history) close() {
	if h.store != nil {
		_ = h.store.Close()
	}
}
