package store

import (
	"context"
	"log/slog"
	"sync"
)

// quiet passes on each warning of the database once. The database reports every
// step of a replay and repeats an unreadable block each time it looks; the agent
// logs changes only.
type quiet struct {
	slog.Handler
	seen *seenSet
}

type seenSet struct {
	mu   sync.Mutex
	text map[string]struct{}
}

// seenLimit bounds the set; the database has far fewer distinct messages.
const seenLimit = 256

func newQuiet(h slog.Handler) *quiet {
	return &quiet{Handler: h, seen: &seenSet{text: make(map[string]struct{})}}
}

func (q *quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

func (q *quiet) Handle(ctx context.Context, r slog.Record) error {
	if !q.seen.add(r.Message) {
		return nil
	}
	r.Message = "metrics database: " + r.Message
	r.Level = slog.LevelWarn // only the store knows what a failure means for history
	return q.Handler.Handle(ctx, r)
}

func (q *quiet) WithAttrs(a []slog.Attr) slog.Handler {
	return &quiet{Handler: q.Handler.WithAttrs(a), seen: q.seen}
}

func (q *quiet) WithGroup(name string) slog.Handler {
	return &quiet{Handler: q.Handler.WithGroup(name), seen: q.seen}
}

func (s *seenSet) add(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.text[text]; ok || len(s.text) >= seenLimit {
		return false
	}
	s.text[text] = struct{}{}
	return true
}
