package node

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"
)

// logSwitch is a slog.Handler whose level and format a reload can change under
// the loggers that modules hold.
type logSwitch struct {
	w    io.Writer
	base *atomic.Pointer[slog.Handler]
	// with replays WithAttrs and WithGroup calls on the base of the moment.
	with []func(slog.Handler) slog.Handler
}

func newLogSwitch(w io.Writer) *logSwitch {
	s := &logSwitch{w: w, base: &atomic.Pointer[slog.Handler]{}}
	s.set(DefaultAgentConfig().Log)
	return s
}

func (s *logSwitch) set(c LogConfig) {
	opt := &slog.HandlerOptions{Level: c.Level.Slog()}
	var h slog.Handler = slog.NewTextHandler(s.w, opt)
	if c.Format == "json" {
		h = slog.NewJSONHandler(s.w, opt)
	}
	s.base.Store(&h)
}

func (s *logSwitch) Enabled(ctx context.Context, l slog.Level) bool {
	return (*s.base.Load()).Enabled(ctx, l)
}

func (s *logSwitch) Handle(ctx context.Context, r slog.Record) error {
	h := *s.base.Load()
	for _, with := range s.with {
		h = with(h)
	}
	return h.Handle(ctx, r)
}

func (s *logSwitch) derive(f func(slog.Handler) slog.Handler) slog.Handler {
	c := *s
	c.with = append(append([]func(slog.Handler) slog.Handler{}, s.with...), f)
	return &c
}

func (s *logSwitch) WithAttrs(a []slog.Attr) slog.Handler {
	return s.derive(func(h slog.Handler) slog.Handler { return h.WithAttrs(a) })
}

func (s *logSwitch) WithGroup(name string) slog.Handler {
	return s.derive(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}
