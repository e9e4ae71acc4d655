package workload

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Container is what all sources together say of one container: of each field,
// and of each label and annotation, the word of the most trusted source that
// has one. It is immutable.
type Container struct {
	Record
	by        [len(trust)]*Record
	Conflicts []Conflict // what they disagree about, sorted
}

// Conflict is one thing of which two sources say different things.
type Conflict struct {
	Field    string `json:"field"` // "pod_uid", "label koordinator.sh/qosClass"
	Taken    string `json:"taken"`
	From     Origin `json:"from"`
	Refused  string `json:"refused"`
	Opposing Origin `json:"opposing"`
}

func (c Conflict) String() string {
	return fmt.Sprintf("%s is %q by %s, %q by %s", c.Field, clip(c.Taken, 64), c.From, clip(c.Refused, 64), c.Opposing)
}

// LabelFrom names the source of a label, "" if there is no such label.
func (c *Container) LabelFrom(key string) Origin {
	return c.from(func(r *Record) bool { _, ok := r.Labels[key]; return ok })
}

// AnnotationFrom names the source of an annotation.
func (c *Container) AnnotationFrom(key string) Origin {
	return c.from(func(r *Record) bool { _, ok := r.Annotations[key]; return ok })
}

func (c *Container) from(has func(*Record) bool) Origin {
	for i, r := range c.by {
		if r != nil && has(r) {
			return trust[i]
		}
	}
	return ""
}

// Sources lists who speaks of the container, the most trusted first.
func (c *Container) Sources() []Origin {
	var out []Origin
	for i, r := range c.by {
		if r != nil {
			out = append(out, trust[i])
		}
	}
	return out
}

// MaxContainers bounds a Registry: what more than that many containers on one
// node say is not kept, but counted.
const MaxContainers = 8192

// Registry merges the records of all sources by container. It is safe for
// concurrent use; no method blocks for longer than it takes to merge.
type Registry struct {
	gen atomic.Uint64

	mu     sync.Mutex
	byID   map[string]*entry
	byPath map[string]*entry // of those with a Cgroup
	feeds  [len(trust)]*Feed
	over   uint64                                       // records refused because there were too many
	cut    uint64                                       // labels and annotations cut or left out
	starts atomic.Pointer[func(Container)]              // see OnStart
	alters atomic.Pointer[func(c Container, done bool)] // see OnUpdate
}

// entry is one container. It is kept for as long as any source but the tree
// speaks of it, or its cgroup is there.
type entry struct {
	by     [len(trust)]*Record
	merged *Container
	gen    uint64 // of the last change of merged
	seen   uint64 // inode of the cgroup that was found for it, 0 before
	known  map[Conflict]bool
}

// NewRegistry gives an empty Registry.
func NewRegistry() *Registry {
	r := &Registry{byID: map[string]*entry{}, byPath: map[string]*entry{}}
	for i, o := range trust {
		r.feeds[i] = &Feed{r: r, at: i, status: SourceStatus{Name: o}, unknown: make(chan struct{}, 1)}
	}
	return r
}

// Feed gives the hands of one source on the registry. It panics for an Origin
// that tells of no containers.
func (r *Registry) Feed(o Origin) *Feed { return r.feeds[rank(o)] }

// Generation grows each time something is said anew. It costs one atomic load.
func (r *Registry) Generation() uint64 { return r.gen.Load() }

// Get gives what is known of a container by its full id.
func (r *Registry) Get(id string) (*Container, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byID[id]
	if e == nil || e.merged == nil {
		return nil, false
	}
	return e.merged, true
}

// Len is how many containers are known.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.byID)
}

// All gives all containers, by id.
func (r *Registry) All() []*Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]*Container, 0, len(r.byID))
	for _, e := range r.byID {
		out = append(out, e.merged)
	}
	slices.SortFunc(out, func(a, b *Container) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// since gives the containers of which something was said after generation gen.
func (r *Registry) since(gen uint64) []*Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []*Container
	for _, e := range r.byID {
		if e.gen > gen {
			out = append(out, e.merged)
		}
	}
	return out
}

// at finds the container whose cgroup is at path, if the cgroup with that inode
// may be its: a name is given again, and the next of the name must not inherit
// what was said of the last. The first cgroup seen at the path is the
// container's, and another one only after a source spoke of it again.
func (r *Registry) at(path string, ino uint64) *Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.byPath[path]
	if e == nil || e.seen != 0 && e.seen != ino {
		return nil
	}
	e.seen = ino
	return e.merged
}

// ofPod gives a container of the pod, its sandbox if known.
func (r *Registry) ofPod(uid string) *Container {
	r.mu.Lock()
	defer r.mu.Unlock()
	var best *Container
	for _, e := range r.byID {
		if c := e.merged; c.PodUID == uid && (c.Sandbox || best == nil || !best.Sandbox && c.ID < best.ID) {
			best = c
		}
	}
	return best
}

// put takes one source's word in; the lock is held. fresh says that the word is
// of now, not of a list.
func (r *Registry) put(at int, rec Record, fresh bool) {
	e := r.byID[rec.ID]
	if e == nil {
		if len(r.byID) >= MaxContainers {
			r.over++
			return
		}
		e = &entry{known: map[Conflict]bool{}}
		r.byID[rec.ID] = e
	}
	rec, cut := rec.bounded()
	old := e.by[at]
	if fresh || old == nil || !old.Created.Equal(rec.Created) {
		e.seen = 0
	}
	if old != nil && sameRecord(old, &rec) {
		old.When = rec.When // only ever read with the lock held
		return
	}
	r.cut += uint64(cut)
	e.by[at] = &rec
	r.merge(e)
}

// drop ends one source's word of a container; the lock is held.
func (r *Registry) drop(at int, id string) {
	e := r.byID[id]
	if e == nil || e.by[at] == nil {
		return
	}
	e.by[at] = nil
	if r.idle(e) {
		r.forget(e, id)
		return
	}
	r.merge(e)
}

// idle says that no source speaks of the entry.
func (r *Registry) idle(e *entry) bool {
	for _, rec := range e.by {
		if rec != nil {
			return false
		}
	}
	return true
}

func (r *Registry) forget(e *entry, id string) {
	delete(r.byID, id)
	if e.merged != nil && r.byPath[e.merged.Cgroup] == e {
		delete(r.byPath, e.merged.Cgroup)
	}
}

// merge makes the common picture anew and counts what is newly disagreed on.
func (r *Registry) merge(e *entry) {
	old := e.merged
	m := &Container{}
	for i, rec := range e.by {
		if rec == nil {
			continue
		}
		shared := *rec // what was given out stays as it is
		m.by[i] = &shared
		m.join(&shared, trust[i])
	}
	slices.SortFunc(m.Conflicts, func(a, b Conflict) int { return strings.Compare(a.Field, b.Field) })
	known := make(map[Conflict]bool, len(m.Conflicts))
	for _, c := range m.Conflicts {
		if known[c] = true; !e.known[c] {
			f := r.feeds[rank(c.Opposing)]
			f.status.Disagreements++
		}
	}
	e.merged, e.known = m, known
	if old != nil && old.Cgroup != m.Cgroup && r.byPath[old.Cgroup] == e {
		delete(r.byPath, old.Cgroup)
	}
	if m.Cgroup != "" {
		r.byPath[m.Cgroup] = e
	}
	e.gen = r.gen.Load() + 1
	r.gen.Store(e.gen)
}

// join adds a less trusted source's word.
func (c *Container) join(r *Record, o Origin) {
	c.ID = r.ID
	c.Sandbox, c.Running = c.Sandbox || r.Sandbox, c.Running || r.Running
	if c.Created.IsZero() {
		c.Created = r.Created
	}
	if r.When.After(c.When) {
		c.When = r.When
	}
	// Sources spell a runtime, an image or a path each in its own way: no two of
	// them disagree there.
	for to, v := range map[*string]string{&c.Runtime: r.Runtime, &c.Image: r.Image, &c.Cgroup: r.Cgroup} {
		if *to == "" {
			*to = v
		}
	}
	c.field("pod_uid", &c.PodUID, r.PodUID, o, func(r *Record) string { return r.PodUID })
	c.field("pod_name", &c.PodName, r.PodName, o, func(r *Record) string { return r.PodName })
	c.field("namespace", &c.Namespace, r.Namespace, o, func(r *Record) string { return r.Namespace })
	c.field("name", &c.Name, r.Name, o, func(r *Record) string { return r.Name })
	c.Labels = c.pairs("label ", c.Labels, r.Labels, o, c.LabelFrom)
	c.Annotations = c.pairs("annotation ", c.Annotations, r.Annotations, o, c.AnnotationFrom)
}

func (c *Container) field(name string, to *string, v string, o Origin, get func(*Record) string) {
	switch {
	case v == "" || v == *to:
	case *to == "":
		*to = v
	default:
		from := c.from(func(r *Record) bool { return get(r) != "" })
		c.Conflicts = append(c.Conflicts, Conflict{Field: name, Taken: *to, From: from, Refused: v, Opposing: o})
	}
}

func (c *Container) pairs(kind string, have, more map[string]string, o Origin, from func(string) Origin) map[string]string {
	if len(have) == 0 {
		return more
	}
	if len(more) == 0 {
		return have
	}
	out := maps.Clone(have)
	for k, v := range more {
		was, ok := out[k]
		switch {
		case !ok:
			out[k] = v
		case was != v:
			c.Conflicts = append(c.Conflicts, Conflict{Field: kind + k, Taken: was, From: from(k), Refused: v, Opposing: o})
		}
	}
	return out
}

func sameRecord(a, b *Record) bool {
	return a.PodUID == b.PodUID && a.PodName == b.PodName && a.Namespace == b.Namespace && a.Name == b.Name && a.Image == b.Image &&
		a.Cgroup == b.Cgroup && a.Runtime == b.Runtime && a.Sandbox == b.Sandbox && a.Running == b.Running && a.Created.Equal(b.Created) &&
		maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations)
}

// OnStart sets what is called when a source learns that a container's program
// is about to run: its cgroup is made, and the runtime waits for the call to
// return, for a short while. Only NRI can tell. nil ends it.
func (r *Registry) OnStart(do func(Container)) {
	if do == nil {
		r.starts.Store(nil)
		return
	}
	r.starts.Store(&do)
}

// Starting calls what OnStart set. Sources call it.
func (r *Registry) Starting(id string) {
	do := r.starts.Load()
	if do == nil {
		return
	}
	if c, ok := r.Get(id); ok {
		(*do)(*c)
	}
}

// OnUpdate sets what is called when a source learns that a runtime is about to
// change the limits of a container that runs, and waits for the call to return
// for a short while, and again when it is done. nil ends it.
func (r *Registry) OnUpdate(do func(c Container, done bool)) {
	if do == nil {
		r.alters.Store(nil)
		return
	}
	r.alters.Store(&do)
}

// Updating calls what OnUpdate set. Sources call it.
func (r *Registry) Updating(id string, done bool) {
	do := r.alters.Load()
	if do == nil {
		return
	}
	if c, ok := r.Get(id); ok {
		(*do)(*c, done)
	}
}

// now is the clock of records; tests of the merge set When themselves.
func now() time.Time { return time.Now() }
