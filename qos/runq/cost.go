package runq

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const statsRunTime = unix.BPF_STATS_RUN_TIME

// ProgramCost is the run time of one kind of BPF program, as the kernel
// measured it. The measurement itself, two clock reads, is partly in it.
type ProgramCost struct {
	Runs uint64
	Time time.Duration
}

// PerRun gives the mean time of one run, 0 when there was none.
func (p ProgramCost) PerRun() time.Duration {
	if p.Runs == 0 {
		return 0
	}
	return p.Time / time.Duration(p.Runs)
}

// Cost is what the programs have cost since Open.
type Cost struct {
	Switch ProgramCost // at sched_switch
	Wakeup ProgramCost // at sched_wakeup and sched_wakeup_new; none with Accounting
}

// Cost reads the programs' run-time statistics. They count only while BPF
// statistics are on: by Options.Stats or the sysctl kernel.bpf_stats_enabled.
func (t *Tracer) Cost() (Cost, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var c Cost
	if t.isClosed {
		return c, fmt.Errorf("read bpf statistics: %w", os.ErrClosed)
	}
	for i, name := range programs[t.source] {
		st, err := t.coll.Programs[name].Stats()
		if err != nil {
			return c, fmt.Errorf("read bpf statistics of %s: %w", name, err)
		}
		p := &c.Wakeup
		if i == 0 {
			p = &c.Switch
		}
		p.Runs += st.RunCount
		p.Time += st.Runtime
	}
	return c, nil
}
