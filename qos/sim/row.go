package sim

import "fmt"

// Columns names the fields of Row.
func Columns() []string {
	return []string{"POLICY", "CPU", "LS", "BE", "P95", "LS VIOLATION", "THROTTLED", "BE DONE", "EVICTED", "QUEUE", "JOB", "IDLE FILLED"}
}

// Row gives a scenario's figures for people.
func (s *Scenario) Row() []string {
	done, evicted, queue, job, filled := "-", "-", "-", "-", "-"
	if s.BE.Done+s.BE.Running > 0 {
		done = fmt.Sprintf("%.0f core-h", s.BE.Work/3600)
		evicted = fmt.Sprint(s.BE.Evicted + s.BE.Starved)
		queue = fmt.Sprintf("%.1f s", s.BE.QueueWait)
		job = fmt.Sprintf("%.0f s", s.BE.Span)
		filled = fine(s.BE.Filled)
	}
	return []string{
		s.Name, fine(s.CPU.Mean), fine(s.CPU.LS), fine(s.CPU.BE), fmt.Sprintf("%.0f %%", s.CPU.P95*100), fine(s.LS.Violation), fine(s.LS.Throttled),
		done, evicted, queue, job, filled,
	}
}

// fine writes a share with as many digits as tell something.
func fine(v float64) string {
	if v != 0 && v < 0.01 {
		return fmt.Sprintf("%.3f %%", v*100)
	}
	return fmt.Sprintf("%.1f %%", v*100)
}
