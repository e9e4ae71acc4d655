package module

import (
	"cmp"
	"slices"
	"sync"

	"github.com/anole-os/anole/core"
	"github.com/anole-os/anole/qos"
	"github.com/anole-os/anole/qos/class"
)

var (
	workloadUsage     = desc(core.Counter, "workload_cpu_usage_seconds_total", "CPU time used by each of the 32 workloads that used most; those without series of their own are together in other, by class.", "class", "workload")
	workloadThrottled = desc(core.Counter, "workload_throttled_periods_total", "Periods in which each of them ran out of quota, and those in other.", "class", "workload")
)

const (
	// topWorkloads bounds the series of single workloads.
	topWorkloads = 32
	// otherWorkloads is the label of all the rest.
	otherWorkloads = "other"
	// overtakes is by how much a workload must have used more than one with
	// series to take its place, so that two that are equal do not take turns.
	overtakes = 1.1
)

// counted is what a workload had used when it was last looked at.
type counted struct {
	usage     float64
	throttled uint64
	class     class.Class
	gen       uint64
}

// slots says which workloads have series of their own. What the others use is
// added up as it comes, so that other is a counter too: it does not fall when
// a workload leaves it or ends. The zero value is ready.
type slots struct {
	mu    sync.Mutex // scrapes and the history come at the same time
	own   map[string]bool
	last  map[string]counted
	other [class.Count]struct {
		usage     float64
		throttled uint64
		any       bool
	}
	gen uint64
}

// workloadMetrics gives series to the workloads that used most and, together,
// to the rest, so that their number is bounded.
func workloadMetrics(all []qos.WorkloadStatus, s *slots, value func(*core.Desc, float64, ...string)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.take(all)
	rt := 0
	for i := range all {
		w := &all[i]
		rt += w.RTThreads
		if s.own[w.ID] {
			value(workloadUsage, w.Usage, w.Class.String(), w.ID)
			value(workloadThrottled, float64(w.Periods), w.Class.String(), w.ID)
		}
	}
	for _, c := range class.All() {
		if o := &s.other[c]; o.any {
			value(workloadUsage, o.usage, c.String(), otherWorkloads)
			value(workloadThrottled, float64(o.throttled), c.String(), otherWorkloads)
		}
	}
	value(rtThreads, float64(rt))
}

// take counts what the workloads without series did, then chooses anew.
func (s *slots) take(all []qos.WorkloadStatus) {
	if s.last == nil {
		s.own, s.last = map[string]bool{}, map[string]counted{}
	}
	first := s.gen == 0
	s.gen++
	for i := range all {
		w := &all[i]
		was := s.last[w.ID]
		s.last[w.ID] = counted{w.Usage, w.Periods, w.Class, s.gen}
		if !s.own[w.ID] && !first {
			s.add(w, was)
		}
	}
	for id, c := range s.last {
		if c.gen != s.gen {
			delete(s.last, id)
			delete(s.own, id)
		}
	}
	s.choose(all)
	if first { // what those had used before goes where they are
		for i := range all {
			if !s.own[all[i].ID] {
				s.add(&all[i], counted{})
			}
		}
	}
}

// add counts what a workload did since it was seen as was.
func (s *slots) add(w *qos.WorkloadStatus, was counted) {
	o := &s.other[w.Class]
	o.any = true
	o.usage += max(0, w.Usage-was.usage)
	if w.Periods > was.throttled {
		o.throttled += w.Periods - was.throttled
	}
}

// choose fills what is free with those that used most, and gives the place of
// the least to one that used clearly more.
func (s *slots) choose(all []qos.WorkloadStatus) {
	var held, free []*qos.WorkloadStatus
	for i := range all {
		switch w := &all[i]; {
		case s.own[w.ID]:
			held = append(held, w)
		case w.ID != otherWorkloads: // one of that name would make its series double
			free = append(free, w)
		}
	}
	most := func(a, b *qos.WorkloadStatus) int {
		return cmp.Or(cmp.Compare(b.Usage, a.Usage), cmp.Compare(a.ID, b.ID))
	}
	slices.SortFunc(held, most)
	slices.SortFunc(free, most)
	for _, w := range free {
		switch n := len(held); {
		case len(s.own) < topWorkloads:
			s.own[w.ID] = true
		case n > 0 && w.Usage > overtakes*held[n-1].Usage:
			delete(s.own, held[n-1].ID)
			s.own[w.ID] = true
			held = held[:n-1]
		default:
			return
		}
	}
}
