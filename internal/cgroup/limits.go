package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cfs"
	"github.com/anole-os/anole/internal/journal"
)

// limits is a tree of cgroups whose CPU bandwidth changes together, an order of
// writes being a matter of all of them.
type limits struct {
	rules  cfs.Rules
	nodes  []cfs.Node
	dirs   []*Dir
	opened []*Dir  // of which limits is the owner
	lost   []error // by node: why its limit could not be read
	write  func(node int, e Edit) error
}

// Write implements cfs.Tree.
func (l *limits) Write(s cfs.Step) error {
	return l.write(s.Node, l.dirs[s.Node].LimitEdit(s, l.rules.Unified))
}

// Read implements cfs.Tree.
func (l *limits) Read(node int) (cfs.Limit, error) { return l.dirs[node].Limit() }

// Gone implements cfs.Tree.
func (*limits) Gone(err error) bool { return Gone(err) }

func (l *limits) close() {
	for _, d := range l.opened {
		_ = d.Close()
	}
}

// newLimits puts the groups of dirs, which all exist, into a tree. On cgroup v1
// the groups above and below them are in it too if they have a limit: the
// kernel compares them.
func newLimits(dirs []*Dir) *limits {
	l := &limits{}
	seen := map[string]*Dir{}
	for _, d := range dirs {
		seen[d.path] = d
		l.rules.Unified = l.rules.Unified || d.Has(fileMax)
	}
	if !l.rules.Unified {
		for _, d := range dirs {
			l.above(seen, filepath.Dir(d.path))
			l.below(seen, d.path)
		}
	}
	l.build(seen)
	return l
}

// above adds the groups above a path that has them.
func (l *limits) above(seen map[string]*Dir, path string) {
	for ; seen[path] == nil && l.add(seen, path); path = filepath.Dir(path) {
	}
}

// below adds the groups below a path. A group that goes away meanwhile bounds
// nothing.
func (l *limits) below(seen map[string]*Dir, path string) {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil || st.Nlink == 2 { // no directory in it
		return
	}
	kids, _ := os.ReadDir(path)
	for _, k := range kids {
		if !k.IsDir() {
			continue
		}
		kid := filepath.Join(path, k.Name())
		if seen[kid] == nil {
			l.add(seen, kid)
		}
		l.below(seen, kid)
	}
}

// add opens the group at path, and says whether it is one.
func (l *limits) add(seen map[string]*Dir, path string) bool {
	d, err := OpenDir(path)
	if err != nil {
		return false
	}
	if !d.Has(fileQuota) {
		_ = d.Close()
		return false
	}
	seen[path] = d
	l.opened = append(l.opened, d)
	return true
}

// build makes the nodes, those above first, which is the order of their paths.
func (l *limits) build(seen map[string]*Dir) {
	at := map[string]int{}
	for i, path := range slices.SortedFunc(maps.Keys(seen), byDepth) {
		d := seen[path]
		n := cfs.Node{Name: path, Parent: -1}
		for up := filepath.Dir(path); len(up) > 1; up = filepath.Dir(up) {
			if p, ok := at[up]; ok {
				n.Parent = p
				break
			}
		}
		var err error
		if n.Now, err = d.Limit(); err != nil {
			n.Now = cfs.Limit{Quota: cfs.Unlimited}
		}
		n.Want = n.Now
		at[path] = i
		l.nodes, l.dirs, l.lost = append(l.nodes, n), append(l.dirs, d), append(l.lost, err)
		l.rules.Deep = l.rules.Deep || n.Now.Limited() && n.Now.Burst > n.Now.Quota
	}
}

func byDepth(a, b string) int { return slices.Compare(strings.Split(a, "/"), strings.Split(b, "/")) }

// node finds the node of a group.
func (l *limits) node(d *Dir) int { return slices.Index(l.dirs, d) }

// run makes the writes. What it gives is by node; a group that cannot be read
// is not written.
func (l *limits) run() []error {
	errs := make([]error, len(l.nodes))
	for i, err := range l.lost {
		if err != nil {
			l.nodes[i].Want = l.nodes[i].Now
		}
	}
	copy(errs, cfs.Run(l.nodes, l.rules, l))
	for i, err := range l.lost {
		if err != nil {
			errs[i] = err
		}
	}
	return errs
}

// LimitChange asks for the CPU bandwidth of one group.
type LimitChange struct {
	Dir  *Dir
	Want cfs.Limit
}

// Wrote is one write to a control file.
type Wrote struct {
	Dir            *Dir
	File, Old, New string
}

// SetLimits changes the CPU bandwidth of several groups, each once, in the order
// of cfs.Order, and gives the writes that were made and an error for each change
// that was not, nil if all were. What fails leaves the others as cfs.Run says.
// deep says that the kernel takes a burst above the quota.
//
// On cgroup v1 a group below that is in the way is lowered for the time of the
// change. That is journalled too, until it has again what it had.
func (w *Writer) SetLimits(changes []LimitChange, deep bool) (wrote []Wrote, errs []error) {
	dirs := make([]*Dir, len(changes))
	for i, c := range changes {
		dirs[i] = c.Dir
	}
	l := newLimits(dirs)
	defer l.close()
	l.rules.Deep = l.rules.Deep || deep
	for _, c := range changes {
		l.nodes[l.node(c.Dir)].Want = c.Want
	}
	loan := newLoan(w.j, w.owner, l)
	if err := loan.record(l.changed()...); err != nil {
		return nil, slices.Repeat([]error{err}, len(changes))
	}
	l.write = func(node int, e Edit) error {
		was, err := e.Dir.ReadFile(e.File)
		if err == nil {
			err = loan.take(node)
		}
		if err == nil {
			err = w.write(e)
		}
		if err == nil {
			wrote = append(wrote, Wrote{e.Dir, e.File, string(bytes.TrimSpace(was)), e.Value})
		}
		return err
	}
	all := l.run()
	err := loan.end()
	failed := err != nil
	for _, c := range changes {
		at := l.node(c.Dir)
		failed = failed || all[at] != nil
		errs = append(errs, errors.Join(all[at], err))
	}
	if !failed {
		return wrote, nil
	}
	return wrote, errs
}

// changed lists the nodes that are to have something else.
func (l *limits) changed() (out []int) {
	for i, n := range l.nodes {
		if n.Now != n.Want && l.lost[i] == nil {
			out = append(out, i)
		}
	}
	return out
}

// loan journals what groups have that are lowered only for the time of a change
// of others.
type loan struct {
	j     *journal.Journal
	owner string
	of    *limits
	had   []cfs.Limit
	own   []bool // the node is changed for itself: its entries stay
	taken []bool
	known map[string]bool // what the journal had before
}

func newLoan(j *journal.Journal, owner string, of *limits) *loan {
	n := len(of.nodes)
	l := &loan{j: j, owner: owner, of: of, had: make([]cfs.Limit, n), own: make([]bool, n), taken: make([]bool, n)}
	for i, x := range of.nodes {
		l.had[i] = x.Now
	}
	for _, i := range of.changed() {
		l.own[i] = true
	}
	return l
}

// record journals what nodes have.
func (l *loan) record(nodes ...int) error {
	var entries []journal.Entry
	for _, n := range nodes {
		for _, f := range l.of.dirs[n].LimitFiles() {
			old, err := f.Dir.ReadFile(f.File)
			if Gone(err) {
				break // the write will tell
			}
			if err != nil {
				return fmt.Errorf("read old value: %w", err)
			}
			entries = append(entries, limitEntry(f, old, l.owner))
		}
	}
	return l.j.Record(entries...)
}

func limitEntry(f Edit, old []byte, owner string) journal.Entry {
	return journal.Entry{Op: journal.OpWrite, Path: filepath.Join(f.Dir.path, f.File), Ino: f.Dir.ino, Old: old, Owner: owner}
}

// take journals a node before its first write, unless it is changed for itself.
func (l *loan) take(node int) error {
	if l.own[node] || l.taken[node] {
		return nil
	}
	if l.known == nil {
		l.known = map[string]bool{}
		for _, e := range l.j.Pending() {
			l.known[e.Key()] = true
		}
	}
	l.taken[node] = true
	return l.record(node)
}

// end forgets what was lent and given back.
func (l *loan) end() error {
	back := map[string]bool{}
	for i, n := range l.of.nodes {
		if !l.taken[i] || n.Now != l.had[i] {
			continue
		}
		for _, f := range l.of.dirs[i].LimitFiles() {
			e := limitEntry(f, nil, "")
			if k := e.Key(); !l.known[k] {
				back[k] = true
			}
		}
	}
	if len(back) == 0 {
		return nil
	}
	return l.j.Forget(func(e *journal.Entry) bool { return back[e.Key()] })
}
