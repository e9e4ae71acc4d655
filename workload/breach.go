package workload

import (
	"cmp"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Breach is a service of the node whose requests take longer than usual, for a
// cause that other work on the node can be.
type Breach struct {
	ID      string // of the service, the same in each report
	Service string // its name for people
	// Cgroup is the path of the service's cgroup in whatever hierarchy told it, ""
	// if none did, and PID a process of it, 0 if none is known.
	Cgroup string
	PID    uint32
	// P99 is of the requests since it is so, Usual of quiet times.
	P99, Usual time.Duration
	Cause      string
	// Until is when the report is void: who reports says it again before, for as
	// long as it is so.
	Until time.Time
}

// MostBreaches is how many services a Breaches holds at a time.
const MostBreaches = 64

// Breaches is where a room that times requests reports services that are slow, and
// one that can do something about it looks. A report holds until its time is over,
// so that a room that dies leaves nothing behind. The zero value is ready; it is
// safe for concurrent use, and a nil one takes no report and has none.
type Breaches struct {
	mu sync.Mutex
	m  map[string]Breach
}

// Report says that a service is slow, or is still. A report of what is not known
// yet is dropped while there is no room, which is said by false.
func (b *Breaches) Report(x Breach, now time.Time) bool {
	if b == nil || x.ID == "" {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.m == nil {
		b.m = map[string]Breach{}
	}
	if _, ok := b.m[x.ID]; !ok && len(b.m) >= MostBreaches {
		if b.expire(now); len(b.m) >= MostBreaches {
			return false
		}
	}
	b.m[x.ID] = x
	return true
}

// Current gives the services that are slow, by ID. It allocates nothing while there
// are none.
func (b *Breaches) Current(now time.Time) []Breach {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.expire(now); len(b.m) == 0 {
		return nil
	}
	out := make([]Breach, 0, len(b.m))
	for _, x := range b.m {
		out = append(out, x)
	}
	slices.SortFunc(out, func(a, b Breach) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// expire drops what is void; the lock is held.
func (b *Breaches) expire(now time.Time) {
	for id, x := range b.m {
		if !now.Before(x.Until) {
			delete(b.m, id)
		}
	}
}

// Holds says whether the processes in the cgroup at a path, of the hierarchy that
// the workload's own is in, are the workload's.
func (w *Workload) Holds(rel string) bool {
	if rel == w.Path {
		return true
	}
	return w.whole() && w.Path != "" && strings.HasPrefix(rel, path.Clean(w.Path)+"/")
}
