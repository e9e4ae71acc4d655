package workload

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// node is one cgroup that the table follows: a workload, or a place on the way
// to some. What lies inside a recognised workload has no node.
type node struct {
	place
	parent *node // nil at the root
	kids   map[string]*node
	ino    uint64
	wd     int32 // inotify watch, 0 without
	w      *Workload
	fixed  bool // a workload whatever it holds
	dead   bool
	since  time.Time // when it was found
}

// rescan compares the whole tree with the nodes.
func (t *Table) rescan(now time.Time) error {
	t.live.rescans.Add(1)
	st, err := statDir(t.mount)
	if err != nil {
		return fmt.Errorf("look at the root cgroup: %w", err)
	}
	if t.root != nil && t.root.ino != st.Ino { // another hierarchy was mounted there
		for _, k := range t.root.kids {
			t.remove(k)
		}
		t.dropWatch(t.root)
	}
	if t.root == nil {
		t.root = &node{kids: map[string]*node{}}
	}
	t.root.ino = st.Ino
	if err := t.reconcile(t.root, now); err != nil {
		return err
	}
	t.scanned = now
	return nil
}

// reconcile makes the nodes below n agree with the directories. Only the root
// is missed: any other cgroup may go at any time. A node is watched before it
// is listed, so that no child slips through between the two.
func (t *Table) reconcile(n *node, now time.Time) error {
	dir := t.dir(n)
	if n.wd == 0 {
		t.addWatch(n)
	}
	st, err := statDir(dir)
	if err == nil && st.Nlink == 2 && len(n.kids) == 0 && n.parent != nil {
		return nil // "." and its name: no directory below it
	}
	names, err := subdirs(dir)
	if err != nil {
		if n.parent == nil {
			return fmt.Errorf("list the root cgroup: %w", err)
		}
		return nil
	}
	for name := range n.kids {
		if _, ok := slices.BinarySearch(names, name); !ok {
			t.remove(n.kids[name])
		}
	}
	for _, name := range names {
		t.sync(n, name, now)
	}
	return nil
}

// sync makes the child of n called name, and all below it, agree with the
// directory. It depends on what is there now and not on how it came about, so
// that events may be late, doubled or merged.
func (t *Table) sync(n *node, name string, now time.Time) {
	kid := n.kids[name]
	st, err := statDir(filepath.Join(t.dir(n), name))
	if kid != nil && (err != nil || st.Ino != kid.ino) {
		t.remove(kid)
		kid = nil
	}
	if err != nil {
		return
	}
	if kid == nil {
		if kid = t.add(n, name, st.Ino, now); kid == nil {
			return
		}
	}
	if !kid.fixed {
		_ = t.reconcile(kid, now)
	}
}

// add makes a node for a directory that was found.
func (t *Table) add(parent *node, name string, ino uint64, now time.Time) *node {
	at, w := parent.step(name)
	if w == nil {
		w = t.namedContainer(at, ino)
	}
	if slices.ContainsFunc(t.exclude, func(g *glob) bool { return g.match(at.path) }) {
		return nil
	}
	n := &node{place: at, parent: parent, ino: ino, fixed: w != nil, since: now}
	parent.kids[name] = n
	t.live.cgroups.Add(1)
	if n.fixed {
		t.enter(n, w)
		return n
	}
	n.kids = map[string]*node{}
	if t.populated(n) {
		t.enter(n, at.plain())
	}
	t.checks.add(n)
	return n
}

// remove drops a node and all below it.
func (t *Table) remove(n *node) {
	for _, k := range n.kids {
		t.remove(k)
	}
	n.dead = true
	t.live.cgroups.Add(-1)
	t.leave(n)
	t.dropWatch(n)
	delete(n.parent.kids, n.name)
}

// enter puts a workload into the table.
func (t *Table) enter(n *node, w *Workload) {
	w.Ino, w.Source = n.ino, FromTree
	t.tell(n, w)
	w.ID = w.uniqueID(func(id string) bool { return t.ids[id] != nil })
	n.w, t.ids[w.ID], t.dirty = w, w, true
}

// leave takes the node's workload, if any, out of the table.
func (t *Table) leave(n *node) {
	if n.w == nil {
		return
	}
	delete(t.ids, n.w.ID)
	t.untell(n)
	n.w, t.dirty = nil, true
}

func (t *Table) dir(n *node) string { return t.mount + n.path }

// populated says whether the cgroup itself holds a process. Reading a few bytes
// is enough. A cgroup in threaded mode refuses to be read and counts as empty:
// its processes are listed at the root of the threaded subtree.
func (t *Table) populated(n *node) bool {
	fd, err := unix.Open(t.dir(n)+"/cgroup.procs", unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	var b [16]byte
	k, err := unix.Read(fd, b[:])
	return err == nil && k > 0
}

func statDir(path string) (st unix.Stat_t, err error) {
	if err := unix.Lstat(path, &st); err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st, &os.PathError{Op: "stat", Path: path, Err: unix.ENOTDIR}
	}
	return st, nil
}

// subdirs names the directories in dir, sorted.
func subdirs(dir string) ([]string, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range list {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names, nil
}
