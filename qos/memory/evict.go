package memory

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// EvictOptions tunes an Evictor.
type EvictOptions struct {
	Below float64       // share of the node's memory that must be available
	After time.Duration // how long it may be less
	Pause time.Duration // between two evictions: memory comes back as processes end
}

// Evictor says when a best-effort group has to go: when available memory stays
// below the threshold although everything else was done. Its zero value is
// ready.
type Evictor struct {
	since time.Time // below the threshold, zero while it is not
	last  time.Time // of the last eviction
}

// Step takes what is available and says whether one group has to go now, and
// why.
func (e *Evictor) Step(now time.Time, available, total uint64, o EvictOptions) (bool, string) {
	if e.since.After(now) || e.last.After(now) {
		e.since, e.last = time.Time{}, time.Time{} // the clock went back: counted anew
	}
	if least := part(total, o.Below); available >= least {
		e.since = time.Time{}
		return false, ""
	}
	if e.since.IsZero() {
		e.since = now
	}
	if now.Sub(e.since) < o.After || !e.last.IsZero() && now.Sub(e.last) < o.Pause {
		return false, ""
	}
	e.last = now
	return true, fmt.Sprintf("%s of %s available for %v, less than %.1f %%", size(available), size(total), now.Sub(e.since).Round(time.Second), o.Below*100)
}

// Candidate is a best-effort group that may have to go.
type Candidate struct {
	ID       string
	Priority int    // the higher, the later
	Used     uint64 // what would come back, mostly
	Request  uint64 // what it was promised; 0 where nothing was
	Age      time.Duration
}

// Priorities of best-effort pods in Koordinator (its class koord-batch).
const (
	leastPriority = 5000
	mostPriority  = 5999
)

// Priority reads the label that says which of the best-effort pods goes later.
// Tenants write it, so what is no number of that range counts as the least.
func Priority(label string) int {
	if n, err := strconv.Atoi(label); err == nil && n >= leastPriority && n <= mostPriority {
		return n
	}
	return leastPriority
}

// Order sorts the candidates, who goes first first: the lowest priority, then
// who uses most above what it was promised, then the youngest, which loses the
// least work.
func Order(all []Candidate) {
	slices.SortStableFunc(all, func(a, b Candidate) int {
		return cmp.Or(
			cmp.Compare(a.Priority, b.Priority),
			cmp.Compare(minus(b.Used, b.Request), minus(a.Used, a.Request)),
			cmp.Compare(a.Age, b.Age),
			cmp.Compare(a.ID, b.ID))
	})
}
