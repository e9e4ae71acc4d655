package memory

import (
	"cmp"
	"fmt"
	"time"
)

// BoundOptions tunes a Bound.
type BoundOptions struct {
	// Step is how far below a group's use one step goes: what the kernel then
	// reclaims while the writer waits.
	Step uint64
	Wait time.Duration // between two steps down
	Hold time.Duration // after the kernel could not go as low as that
}

// DefaultBound gives the options that a node runs with.
func DefaultBound() BoundOptions {
	return BoundOptions{Step: 64 * MiB, Wait: 300 * time.Millisecond, Hold: 10 * time.Second}
}

// BoundSample is one look at a best-effort group.
type BoundSample struct {
	Now    time.Time
	Used   uint64
	Pinned uint64
	Limit  uint64 // the group's own
	Allow  uint64 // what it may have, None while that is not limited
	Why    string // what Allow follows from
}

// Bound holds one best-effort group to what it may have, by memory.high or, on
// cgroup v1, by its limit: up at once, down in steps that each reclaim a
// little, never to what reclaim cannot reach. Its zero value bounds nothing.
type Bound struct {
	value  uint64 // in force; 0 is none
	stepAt time.Time
	holdAt time.Time
	side   int       // of the bound on which the wish lies
	since  time.Time // it does
	why    string
}

// Value is the bound in force, None without one.
func (b *Bound) Value() uint64 {
	if b.value == 0 {
		return None
	}
	return b.value
}

// Reset forgets the bound: somebody took it off.
func (b *Bound) Reset() { *b = Bound{} }

// Refused says that the kernel could not reclaim down to the last step, and
// that at holds instead.
func (b *Bound) Refused(now time.Time, at uint64) {
	b.value, b.holdAt = at, now
}

// Step gives the bound to hold from now on, None for no bound, and why.
func (b *Bound) Step(s BoundSample, o BoundOptions) (value uint64, why string) {
	want := s.Allow
	if want != None {
		want = roundUp(max(want, s.Pinned+Margin(s.Pinned)))
	}
	b.lean(s.Now, want)
	switch {
	case want >= s.Limit:
		b.Reset()
	case b.value == 0:
		b.set(s, max(want, roundUp(s.Used)))
	case want > b.value && b.rises(s, want):
		b.set(s, want)
	case want < b.value && b.falls(s, want, o):
		b.set(s, b.down(s, want, o))
		b.stepAt = s.Now
	}
	if b.Value() >= s.Limit {
		b.Reset()
	}
	return b.Value(), b.why
}

func (b *Bound) set(s BoundSample, to uint64) {
	b.value = to
	b.why = fmt.Sprintf("best-effort work may have %s here, it uses %s: %s", size(s.Allow), size(s.Used), s.Why)
}

// rises says whether a higher bound is worth a write: when it is much higher,
// when the group is near its bound, and at once when it is near what cannot be
// reclaimed.
func (b *Bound) rises(s BoundSample, want uint64) bool {
	near := s.Used > b.value-b.value/8 && passed(s.Now, b.since, leanFor)
	return want-b.value > b.value/8 || near && want-b.value > b.value/32 || s.Pinned+Margin(s.Pinned)/2 > b.value
}

// leanFor is how long a small difference must lie on the same side before it is
// worth a write: what a group uses and what is free are read one after the
// other, and beside work that thrashes that makes noise.
const leanFor = time.Second

// lean notes on which side of the bound the wish lies.
func (b *Bound) lean(now time.Time, want uint64) {
	side := cmp.Compare(want, b.value)
	if side != b.side || b.since.After(now) {
		b.side, b.since = side, now
	}
}

// falls is its counterpart: a step down waits for the last one.
func (b *Bound) falls(s BoundSample, want uint64, o BoundOptions) bool {
	if b.value-want <= b.value/16 {
		return false
	}
	if b.value-want <= b.value/8 && !passed(s.Now, b.since, leanFor) {
		return false
	}
	return passed(s.Now, b.stepAt, o.Wait) && passed(s.Now, b.holdAt, o.Hold)
}

// down is where the next step leads. A bound above the use costs nobody
// anything and goes there at once.
func (b *Bound) down(s BoundSample, want uint64, o BoundOptions) uint64 {
	return min(b.value, max(want, roundUp(minus(s.Used, o.Step))))
}

// passed says whether d went by since then, or the clock went back.
func passed(now, then time.Time, d time.Duration) bool {
	return now.Sub(then) >= d || then.After(now)
}
