package qos

import (
	"time"

	"github.com/anole-os/anole/qos/control"
)

// Admit finds a workload whose cgroup was just made and whose program does not
// run yet, gives it its class, and lowers it if it is best-effort work. All
// else that its class gets follows with the next Step: nothing of it matters to
// others before the program runs. The caller may be a container runtime that
// waits.
//
// What it writes is what the next Step would, journalled like it, so that a
// restore puts back what the runtime itself had set.
func (e *Engine) Admit(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return
	}
	changed, err := e.table.Refresh(now)
	if err != nil || !changed && !e.unripe && !e.again {
		return // the next Step tells of the error
	}
	e.classified = now
	e.classify()
	e.totals.Admitted++
	for _, in := range control.Merge(e.priorities(nil)) {
		e.hold(now, &in)
	}
}
