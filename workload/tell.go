package workload

import (
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// teller joins what a Registry says to the workloads of a Table.
type teller struct {
	gen   uint64             // of the Registry, when it was last listened to
	byID  map[string][]*node // workloads by their container's id
	byPod map[string][]*node // workloads that are pods, by uid
}

func newTeller() teller { return teller{byID: map[string][]*node{}, byPod: map[string][]*node{}} }

// namedContainer gives the workload of a cgroup whose path does not show that
// it is a container, but of which a source says so; nil if none does.
func (t *Table) namedContainer(at place, ino uint64) *Workload {
	if t.opts.Records == nil || !at.mayBeContainer() {
		return nil
	}
	c := t.opts.Records.at(at.path, ino)
	if c == nil {
		return nil
	}
	w := at.workload(KindContainer)
	w.ContainerID, w.Runtime = c.ID, c.Runtime
	return w
}

// mayBeContainer says whether a source may call a cgroup a container: what
// holds other workloads by its nature is none, whatever a record says.
func (p place) mayBeContainer() bool {
	return p.depth > 1 && !p.isPod && !p.kube && path.Ext(unit(p.name)) != ".slice"
}

// tell gives a workload that appears what is known of it.
func (t *Table) tell(n *node, w *Workload) {
	if r := t.opts.Records; r != nil {
		switch {
		case w.Kind == KindContainer && w.ContainerID != "":
			t.told.byID[w.ContainerID] = append(t.told.byID[w.ContainerID], n)
			if isContainerID(w.ContainerID) {
				r.appeared(w.record())
			}
			if c, ok := r.Get(w.ContainerID); ok {
				w.take(c)
			}
		case w.Kind == KindPod:
			t.told.byPod[w.PodUID] = append(t.told.byPod[w.PodUID], n)
			if c := r.ofPod(w.PodUID); c != nil {
				w.take(c)
			}
		}
	}
	if t.opts.Enrich != nil {
		t.opts.Enrich(w)
	}
}

// untell ends what tell began.
func (t *Table) untell(n *node) {
	if t.opts.Records == nil {
		return
	}
	if id := n.w.ContainerID; id != "" {
		t.told.byID[id] = without(t.told.byID[id], n)
		if len(t.told.byID[id]) == 0 {
			delete(t.told.byID, id)
		}
		rec := n.w.record()
		t.opts.Records.left(id, &rec)
	}
	if uid := n.w.PodUID; n.w.Kind == KindPod {
		t.told.byPod[uid] = without(t.told.byPod[uid], n)
		if len(t.told.byPod[uid]) == 0 {
			delete(t.told.byPod, uid)
		}
	}
}

func without(list []*node, n *node) []*node {
	return slices.DeleteFunc(list, func(x *node) bool { return x == n })
}

// record is what the tree itself says of a container.
func (w *Workload) record() Record {
	return Record{ID: w.ContainerID, PodUID: w.PodUID, Runtime: w.Runtime, Cgroup: w.Path}
}

// take sets what a source said. What only the tree said is in w already.
func (w *Workload) take(c *Container) {
	src := c.Sources()
	if len(src) == 0 || src[0] == FromTree {
		return
	}
	w.Told, w.Source = c, src[0]
	w.PodName, w.Namespace, w.Image, w.Sandbox = c.PodName, c.Namespace, c.Image, c.Sandbox
	w.Labels, w.Annotations = c.Labels, c.Annotations
	if w.Kind != KindContainer {
		return
	}
	w.PodUID = c.PodUID
	if w.Runtime == "" {
		w.Runtime = c.Runtime
	}
	switch name := c.Name; {
	case c.Sandbox:
		w.Name = printable(c.PodName + "/(sandbox)")
	case c.PodName != "" && name != "":
		w.Name = printable(c.PodName + "/" + name)
	case name != "":
		w.Name = printable(name)
	}
}

// retell takes in what was said since the last call.
func (t *Table) retell(now time.Time) {
	r := t.opts.Records
	if r == nil || r.Generation() == t.told.gen {
		return
	}
	gen := r.Generation()
	for _, c := range r.since(t.told.gen) {
		nodes := slices.Concat(t.told.byID[c.ID], t.told.byPod[c.PodUID])
		if len(nodes) == 0 && c.Cgroup != "" {
			t.convert(c, now)
			continue
		}
		for _, n := range nodes {
			t.renew(n, c)
		}
	}
	t.told.gen = gen
}

// renew replaces a workload by one of which more is known. Readers of the old
// one keep it as it was.
func (t *Table) renew(n *node, c *Container) {
	w := *n.w
	if w.Kind == KindPod {
		if c = t.opts.Records.ofPod(w.PodUID); c == nil {
			return
		}
	}
	if !isContainerID(w.ContainerID) && w.Kind == KindContainer && t.opts.Records.at(w.Path, w.Ino) == nil {
		return // said of the next container of that name
	}
	w.take(c)
	if t.opts.Enrich != nil {
		t.opts.Enrich(&w)
	}
	if !n.w.alike(&w) {
		n.w, t.ids[w.ID], t.dirty = &w, &w, true
	}
}

// alike says whether two descriptions of one workload differ in nothing that
// anyone could see.
func (w *Workload) alike(o *Workload) bool {
	return w.Source == o.Source && w.Name == o.Name && w.PodUID == o.PodUID && w.PodName == o.PodName && w.Namespace == o.Namespace &&
		w.Image == o.Image && w.Sandbox == o.Sandbox && maps.Equal(w.Labels, o.Labels) && maps.Equal(w.Annotations, o.Annotations) &&
		(w.Told == nil) == (o.Told == nil) && (w.Told == nil || w.Told.Running == o.Told.Running && slices.Equal(w.Told.Conflicts, o.Told.Conflicts) && slices.Equal(w.Told.Sources(), o.Told.Sources()))
}

// convert makes a cgroup that is in the tree already, and was no container by
// its path, the container that it is.
func (t *Table) convert(c *Container, now time.Time) {
	n := t.find(c.Cgroup)
	if n == nil || n.parent == nil || n.fixed || !n.mayBeContainer() || n.holdsFixed() {
		return
	}
	if t.opts.Records.at(c.Cgroup, n.ino) == nil {
		return
	}
	parent, name := n.parent, n.name
	t.remove(n)
	t.sync(parent, name, now)
}

// holdsFixed says whether there are workloads below n that are recognised by
// their names.
func (n *node) holdsFixed() bool {
	for _, k := range n.kids {
		if k.fixed || k.holdsFixed() {
			return true
		}
	}
	return false
}

// find gives the node at path, nil if the table follows no such cgroup.
func (t *Table) find(cgroup string) *node {
	n := t.root
	for name := range strings.SplitSeq(strings.Trim(cgroup, "/"), "/") {
		if n == nil {
			return nil
		}
		n = n.kids[name]
	}
	return n
}
