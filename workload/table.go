package workload

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
)

// Options configures a Table. The zero value follows this node.
type Options struct {
	Root string       // prefix of /proc and /sys, "" on a real node
	Tree *cgroup.Tree // where hierarchies are mounted; nil to detect it under Root
	// Rescan is the longest time for which a change that the kernel does not
	// announce goes unseen; 0 is 5 s. Without inotify that is any change.
	Rescan time.Duration
	// Exclude lists patterns (see Match) of paths that are passed over, with
	// all below them.
	Exclude []string
	// Records, if set, tells of containers what the tree does not: pod, names,
	// labels, annotations. A workload has it from when it appears; what is said
	// later, or changes, is taken in by the next Refresh, which then says that
	// the set changed. What was said of a workload stays with it when its source
	// forgets it.
	Records *Registry
	// Enrich, if set, is asked after Records and may set Name and Labels, which
	// rules match by. It is called when a workload appears, before anyone sees
	// it, and again when something is said of it by Records; never on a scan. It
	// runs within Open and Refresh, on their goroutine, and must not block; it
	// must set Labels to a map of its own and not keep the Workload.
	Enrich func(*Workload)
	// Poll makes the table do without inotify.
	Poll bool
}

// Stats is what a Table is made of and did since Open.
type Stats struct {
	Cgroups   int    // cgroups followed, the insides of workloads left out
	Workloads int    // entries of the table
	Watching  bool   // by inotify; otherwise changes are seen at each rescan
	WatchNote string // why it is not watching
	Rescans   uint64 // walks over the whole tree
	Overflows uint64 // rescans forced by a full inotify queue
}

// Table is the workloads of a node. Refresh and Close belong to one goroutine,
// the owner's; all else is safe for concurrent use and does not block.
type Table struct {
	opts    Options
	mount   string // directory of the hierarchy's root
	exclude []*glob

	root    *node
	watch   *watcher // nil when polling
	checks  checks
	dirty   bool      // the set of workloads changed since the last publish
	scanned time.Time // when the tree was last walked

	ids  map[string]*Workload // live ones
	told teller

	exes exeCache
	now  atomic.Pointer[snapshot]
	live struct { // counts for Stats
		cgroups            atomic.Int64
		rescans, overflows atomic.Uint64
		note               atomic.Pointer[error] // why it is not watching
	}
}

// snapshot is one immutable state of the table.
type snapshot struct {
	gen   uint64
	list  []*Workload // by ID
	byID  map[string]*Workload
	byIno map[uint64]*Workload
}

const defaultRescan = 5 * time.Second

// Open reads the tree and starts to follow it. It fails with an
// *feature.UnsupportedError on a node without cgroups.
func Open(opts Options) (*Table, error) {
	if opts.Rescan == 0 {
		opts.Rescan = defaultRescan
	}
	if opts.Rescan < 0 {
		return nil, fmt.Errorf("open workload table: negative rescan time %s", opts.Rescan)
	}
	t := &Table{opts: opts, ids: map[string]*Workload{}, dirty: true, told: newTeller()}
	for _, p := range opts.Exclude {
		g, err := compileGlob(p)
		if err != nil {
			return nil, fmt.Errorf("open workload table: exclude: %w", err)
		}
		t.exclude = append(t.exclude, g)
	}
	if err := t.findMount(); err != nil {
		return nil, fmt.Errorf("open workload table: %w", err)
	}
	var err error
	if t.watch, err = openWatcher(opts.Poll); err != nil {
		t.live.note.Store(&err)
	}
	now := time.Now()
	t.checks.round = now
	if err := t.rescan(now); err != nil {
		_ = t.Close()
		return nil, fmt.Errorf("open workload table: %w", err)
	}
	t.publish()
	return t, nil
}

// findMount chooses the cpu controller's hierarchy, or the unified one on a
// node that has no cpu controller.
func (t *Table) findMount() error {
	tree := t.opts.Tree
	if tree == nil {
		var err error
		if tree, err = cgroup.Detect(t.opts.Root); err != nil {
			return err
		}
	}
	for _, c := range []string{"cpu", cgroup.Unified} {
		if t.mount = tree.Mount(c); t.mount != "" {
			return nil
		}
	}
	return &feature.UnsupportedError{
		Feature: "workload table", Reason: feature.NoKernel, Need: "the cpu controller or cgroup2, mounted",
		Fix: "mount one: mount -t cgroup2 none /sys/fs/cgroup",
	}
}

// Refresh takes in what happened in the tree and says whether the set of
// workloads, or what is known of one, changed. It does not wait. When nothing
// happened it costs one system call; when a rescan is due, up to about a millisecond with inotify and
// a walk of the tree without. now drives all of its timing. An error means
// that the hierarchy's root could not be read; the table then keeps its last
// state and the next Refresh tries again.
func (t *Table) Refresh(now time.Time) (changed bool, err error) {
	if t.watch != nil {
		err = t.readEvents(now)
	}
	if err == nil && t.watch == nil && t.due(now) {
		err = t.rescan(now)
	}
	t.runChecks(now)
	t.retell(now)
	if !t.dirty {
		return false, err
	}
	t.publish()
	return true, err
}

// due says whether the tree was walked too long ago, or the clock jumped back.
func (t *Table) due(now time.Time) bool {
	d := now.Sub(t.scanned)
	return d >= t.opts.Rescan || d < 0
}

// publish makes the current set of workloads visible.
func (t *Table) publish() {
	s := &snapshot{
		list: make([]*Workload, 0, len(t.ids)), byID: make(map[string]*Workload, len(t.ids)),
		byIno: make(map[uint64]*Workload, len(t.ids)),
	}
	if old := t.now.Load(); old != nil {
		s.gen = old.gen + 1
	}
	for id, w := range t.ids {
		s.list = append(s.list, w)
		s.byID[id], s.byIno[w.Ino] = w, w
	}
	slices.SortFunc(s.list, func(a, b *Workload) int { return strings.Compare(a.ID, b.ID) })
	t.now.Store(s)
	t.dirty = false
}

// All gives the workloads, sorted by ID. The slice is shared: do not change it.
func (t *Table) All() []*Workload { return t.now.Load().list }

// Get finds a workload by its ID.
func (t *Table) Get(id string) (*Workload, bool) {
	w, ok := t.now.Load().byID[id]
	return w, ok
}

// ByIno finds a workload by its cgroup's inode.
func (t *Table) ByIno(ino uint64) (*Workload, bool) {
	w, ok := t.now.Load().byIno[ino]
	return w, ok
}

// Generation grows each time the set of workloads changes.
func (t *Table) Generation() uint64 { return t.now.Load().gen }

// Stats gives the table's counts.
func (t *Table) Stats() Stats {
	s := Stats{
		Cgroups: int(t.live.cgroups.Load()), Workloads: len(t.All()), Watching: true,
		Rescans: t.live.rescans.Load(), Overflows: t.live.overflows.Load(),
	}
	if why := t.live.note.Load(); why != nil {
		s.Watching, s.WatchNote = false, (*why).Error()
	}
	return s
}

// Dir gives the directory of w's cgroup.
func (t *Table) Dir(w *Workload) string { return filepath.Join(t.mount, w.Path) }

// Close lets go of the tree. The last state stays readable.
func (t *Table) Close() error {
	if t.watch == nil {
		return nil
	}
	t.stopWatching(errClosed)
	return nil
}

var (
	errClosed = errors.New("the table is closed")
	errPoll   = errors.New("polling was asked for")
)

func openWatcher(poll bool) (*watcher, error) {
	if poll {
		return nil, errPoll
	}
	return newWatcher()
}
