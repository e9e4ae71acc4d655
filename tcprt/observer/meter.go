package observer

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/anole-os/anole/tcprt"
)

// meter has the kernel time the programs for a moment now and then: to do so all
// the time would cost more than they do.
type meter struct {
	c     source
	on    io.Closer // nil while it does not
	at    time.Time
	was   time.Duration
	share float64 // of a CPU, in the last moment
}

// step begins a moment, or ends it.
func (m *meter) step(now time.Time) (err error) {
	switch {
	case m.on != nil:
		took, err := m.c.Runtime()
		if err == nil {
			m.share = float64(took-m.was) / float64(now.Sub(m.at))
		}
		return errors.Join(err, m.stop())
	case m.at.IsZero() || now.Sub(m.at) >= betweenMoments:
		if m.was, err = m.c.Runtime(); err != nil {
			return fmt.Errorf("measure the programs: %w", err)
		}
		if m.on, err = tcprt.Measure(); err != nil {
			return fmt.Errorf("measure the programs: %w", err)
		}
		m.at = now
	}
	return nil
}

func (m *meter) stop() error {
	if m.on == nil {
		return nil
	}
	on := m.on
	m.on = nil
	return on.Close()
}
