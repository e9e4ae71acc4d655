package workload

import (
	"context"
	"errors"
	"time"
)

// Source tells a Registry of containers. Implementations are the packages nri,
// cri and events; sourcetest is what all of them must do.
type Source interface {
	// Origin says which of the sources it is.
	Origin() Origin
	// Run connects, says Up once the registry is in step with the runtime, and
	// tells of changes until ctx is done or the connection is lost; the error
	// says which. It may be called again.
	Run(ctx context.Context, to *Feed) error
}

// Waits between two tries to connect: a runtime that restarts is back within
// about a second, one that is not there costs a look now and then.
const (
	firstWait = 50 * time.Millisecond
	lastWait  = 5 * time.Second
)

// Follow runs a source until ctx is done, connecting again whenever the
// connection is lost. lost, if not nil, is called when it is, and when the first
// try to connect fails; not for each try after that.
func Follow(ctx context.Context, s Source, r *Registry, lost func(SourceStatus)) {
	f := r.Feed(s.Origin())
	f.want(true)
	defer f.want(false)
	wait, told := firstWait, false
	for {
		connects := f.snapshot().Connects
		err := s.Run(ctx, f)
		if ctx.Err() != nil {
			f.Down(nil)
			return
		}
		if err == nil {
			err = errors.New("the connection ended")
		}
		f.Down(err)
		now := f.snapshot()
		if now.Connects != connects {
			wait, told = firstWait, false
		}
		if lost != nil && !told {
			lost(now)
		}
		told = true
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, lastWait)
	}
}

func (f *Feed) snapshot() SourceStatus {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	return f.status
}
