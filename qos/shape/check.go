package shape

import (
	"fmt"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/netlinkx"
)

// Finding is what Check found about a link that was shared.
type Finding struct {
	Link string
	What string // "gone", "renamed", "replaced", "repaired"
	Err  error  // of a repair, or the conflict
}

// Check looks whether the links are as they were set up. One that is gone or
// has another name is not shared any more; neither is one whose root qdisc
// somebody replaced, which stays. What somebody just removed, as a reset of a
// network card does, is set up again.
func (s *Shaper) Check() []Finding {
	var out []Finding
	for _, name := range s.Links() {
		if f := s.check(s.links[name]); f.What != "" {
			f.Link = name
			out = append(out, f)
		}
	}
	return out
}

func (s *Shaper) check(a *attached) Finding {
	on, err := s.c.ByIndex(a.index)
	switch {
	case netlinkx.Gone(err):
		return Finding{What: "gone", Err: s.Detach(a.Name)}
	case err != nil:
		return Finding{What: "unknown", Err: err}
	case on.Name != a.Name:
		return Finding{What: "renamed", Err: s.Detach(a.Name)}
	}
	root, ok, err := s.c.Root(a.index)
	if err != nil {
		return Finding{What: "unknown", Err: err}
	}
	if ok && !root.Ours() && !root.Default() {
		err := s.Detach(a.Name)
		if err == nil {
			err = &feature.UnsupportedError{
				Feature: "network shaping of " + a.Name, Reason: feature.Conflict, Need: "an interface with the kernel's own root qdisc",
				Err: fmt.Errorf("somebody set %s", &root), Fix: "remove it: tc qdisc del dev " + a.Name + " root",
			}
		}
		return Finding{What: "replaced", Err: err}
	}
	whole := ok && root.Ours()
	for _, at := range []netlinkx.Direction{netlinkx.Out, netlinkx.In} {
		has, err := s.c.HasProgram(a.index, at)
		if err != nil {
			return Finding{What: "unknown", Err: err}
		}
		whole = whole && has
	}
	if whole {
		return Finding{}
	}
	return Finding{What: "repaired", Err: s.setUp(a)}
}

// Counts reads what went over a link since it is shared. What HTB drops from a
// class's queue is in it.
func (s *Shaper) Counts(name string) (Counts, error) {
	a := s.links[name]
	if a == nil {
		return Counts{}, fmt.Errorf("count on %s: it is not shared", name)
	}
	out, err := counts(s.coll.Maps["counts"], a.slot)
	if err != nil || s.mode != HTB {
		return out, err
	}
	classes, err := s.c.Classes(a.index)
	for c := range Class(len(out[Out])) {
		out[Out][c].Dropped += classes[c.minor()].Dropped
	}
	return out, err
}
