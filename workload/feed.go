package workload

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/anole-os/anole/feature"
)

// SourceStatus is how one source does.
type SourceStatus struct {
	Name       Origin `json:"name"`
	Wanted     bool   `json:"wanted"` // something follows it
	Connected  bool   `json:"connected"`
	Detail     string `json:"detail,omitempty"`  // of the connection: socket, runtime, by what means
	Problem    string `json:"problem,omitempty"` // why it is not connected
	Reason     string `json:"reason,omitempty"`  // the code of Problem, see feature.Reason
	Containers int    `json:"containers"`        // that it speaks of
	// LastEvent is when it last said anything, ms since the epoch, 0 for never.
	LastEvent     int64  `json:"last_event"`
	Events        uint64 `json:"events"`        // what it said, in words
	Connects      uint64 `json:"connects"`      // how often it was connected
	Disagreements uint64 `json:"disagreements"` // how often a more trusted one was believed instead
	Bad           uint64 `json:"bad"`           // records without a usable id
}

// Feed is one source's hands on the Registry.
type Feed struct {
	r       *Registry
	at      int
	status  SourceStatus // guarded by r.mu
	unknown chan struct{}
}

// Unknown gives a value when a container's cgroup appeared of which no source
// had told. A source that asks now and then asks at once.
func (f *Feed) Unknown() <-chan struct{} { return f.unknown }

// appeared is called by the tree with a container that it found.
func (r *Registry) appeared(rec Record) {
	r.Feed(FromTree).Put(rec)
	if c, ok := r.Get(rec.ID); ok && c.Sources()[0] != FromTree {
		return
	}
	for _, f := range r.feeds {
		select {
		case f.unknown <- struct{}{}:
		default:
		}
	}
}

// Put says what is known of a container now.
func (f *Feed) Put(rec Record) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.heard(&rec) {
		f.r.put(f.at, rec, true)
	}
}

// Drop says that a container is gone.
func (f *Feed) Drop(id string) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.said()
	f.r.drop(f.at, id)
}

// Replace says that these are all containers: what the source said of others is
// dropped.
func (f *Feed) Replace(all []Record) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.said()
	listed := make(map[string]bool, len(all))
	for _, rec := range all {
		if !f.heard(&rec) {
			continue
		}
		listed[rec.ID] = true
		f.r.put(f.at, rec, false)
	}
	for id, e := range f.r.byID {
		if e.by[f.at] != nil && !listed[id] {
			f.r.drop(f.at, id)
		}
	}
}

// Starting says that a container's program is about to run, see
// Registry.OnStart. It returns when what has to be done before is done.
func (f *Feed) Starting(id string) { f.r.Starting(id) }

// Updating says that a runtime is about to change a container's limits, or with
// done that it has, see Registry.OnUpdate.
func (f *Feed) Updating(id string, done bool) { f.r.Updating(id, done) }

// Up says that the source is connected and in step with the runtime.
func (f *Feed) Up(detail string) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	s := &f.status
	if !s.Connected {
		s.Connects++
	}
	s.Connected, s.Detail, s.Problem, s.Reason = true, detail, "", ""
}

// Down says that the source is not connected, and why. What it said stays: a
// runtime that restarts does not stop its containers.
func (f *Feed) Down(err error) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	s := &f.status
	s.Connected = false
	if s.Problem, s.Reason = "", ""; err == nil {
		return
	}
	s.Problem, s.Reason = err.Error(), "error"
	var u *feature.UnsupportedError
	if errors.As(err, &u) {
		s.Reason = string(u.Reason)
	}
}

// want says whether something follows the source.
func (f *Feed) want(yes bool) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.status.Wanted = yes
}

// heard checks a record; the lock is held.
func (f *Feed) heard(rec *Record) bool {
	f.said()
	if rec.ID == "" || len(rec.ID) > 255 || strings.ContainsAny(rec.ID, "/\x00\n") {
		f.status.Bad++
		return false
	}
	if rec.ID = strings.Clone(rec.ID); rec.When.IsZero() {
		rec.When = now()
	}
	return true
}

func (f *Feed) said() {
	f.status.Events++
	f.status.LastEvent = now().UnixMilli()
}

// left says that the cgroup of a container is gone. A source that is connected
// will say so itself; one that is not might never, and its word would be kept
// for ever.
func (r *Registry) left(id string, rec *Record) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byID[id]
	if e == nil {
		return
	}
	for i, f := range r.feeds {
		if e := r.byID[id]; e != nil && e.by[i] != nil && (trust[i] == FromTree && e.by[i].Cgroup == rec.Cgroup || trust[i] != FromTree && !f.status.Connected) {
			r.drop(i, id)
		}
	}
}

// Status tells how each source does, the most trusted first; the tree is left
// out.
func (r *Registry) Status() []SourceStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []SourceStatus
	for i, f := range r.feeds {
		if trust[i] == FromTree {
			continue
		}
		s := f.status
		for _, e := range r.byID {
			if e.by[i] != nil {
				s.Containers++
			}
		}
		out = append(out, s)
	}
	return out
}

// Losses counts what was not kept whole: records for which there was no room,
// and labels and annotations that were cut or left out.
func (r *Registry) Losses() (records, pairs uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.over, r.cut
}

// Conflicts lists what the sources disagree about now, at most a given number,
// by container. total counts all.
func (r *Registry) Conflicts(most int) (out []ContainerConflict, total int) {
	for _, c := range r.All() {
		total += len(c.Conflicts)
		for _, x := range c.Conflicts {
			out = append(out, ContainerConflict{ID: c.ID, Pod: c.Namespace + "/" + c.PodName, Conflict: x})
		}
	}
	slices.SortStableFunc(out, func(a, b ContainerConflict) int { return strings.Compare(a.ID, b.ID) })
	return out[:min(len(out), most)], total
}

// ContainerConflict is a Conflict with the container that it is about.
type ContainerConflict struct {
	ID  string `json:"id"`
	Pod string `json:"pod"`
	Conflict
}

// Ago gives the time since the source's last word, and false if it never spoke.
func (s *SourceStatus) Ago(at time.Time) (time.Duration, bool) {
	return at.Sub(time.UnixMilli(s.LastEvent)), s.LastEvent != 0
}
