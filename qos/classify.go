package qos

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/workload"
)

// compiledRule is a Rule ready to match.
type compiledRule struct {
	Rule
	m    *workload.Matcher
	name string // as people see it
	own  bool   // the policy's, not built in
}

func compile(p *Policy) ([]compiledRule, error) {
	own := len(p.Rules)
	var out []compiledRule
	for i, r := range append(p.Rules[:own:own], builtin()...) {
		m, err := workload.Compile(r.Match)
		if err != nil {
			return nil, fmt.Errorf("policy: rules[%d].match: %w", i, err)
		}
		name := "built-in: " + describe(r.Match)
		if i < own {
			name = fmt.Sprintf("rules[%d]: %s", i, describe(r.Match))
		}
		out = append(out, compiledRule{Rule: r, m: m, name: name, own: i < own})
	}
	return out, nil
}

// classOf finds the rule for a workload; nil means that none matches.
func (e *Engine) classOf(w *workload.Workload) *compiledRule {
	return match(e.rules, w, func() []string { return e.table.Exe(w, e.last) })
}

// asked gives the burst that a workload itself asked for.
func (e *Engine) asked(w *workload.Workload) BurstMode {
	if e.bank != nil {
		if m, ok := e.bank(w); ok {
			return m
		}
	}
	return BurstMode{}
}

// classify brings the groups in line with the workloads of the node and the
// rules of the policy.
func (e *Engine) classify() {
	seen := make(map[uint64]bool, len(e.groups))
	e.again, e.unripe = false, false
	for _, w := range e.table.All() {
		seen[w.Ino] = true
		g := e.groups[w.Ino]
		if g != nil && g.w.Path != w.Path && !g.cpu.CPU.Alive() {
			e.drop(w.Ino, g) // the kernel gave the inode to another cgroup
			g = nil
		}
		if g == nil && !e.ripe(w) {
			e.unripe = true
			continue
		}
		if g == nil {
			var err error
			if g, err = openGroup(e.tree, w); err != nil {
				// A runtime makes a v1 group hierarchy by hierarchy, so one that
				// is there in cpu only may be whole at the next look.
				e.again = true
				if !cgroup.Gone(err) {
					e.degrade("workload "+w.ID, err)
				}
				continue
			}
			e.groups[w.Ino] = g
		}
		g.w = w
		e.assign(g, e.classOf(w))
	}
	for ino, g := range e.groups {
		if !seen[ino] {
			e.drop(ino, g)
		}
	}
	e.forgetYoung(seen)
	e.forgetTroubles()
	e.arrange()
}

// troubles are the beginnings of degradations that are about one workload, whose
// ID follows.
var troubles = []string{"workload ", "burst of ", "sources of ", "scheduling of ", "memory of ", "oom score of ", "reclaim /"}

// forgetTroubles drops what was degraded about workloads that are no longer
// there, some of which never were a group, and about cgroups that could not be
// put back and are gone or served again. The latter go unannounced, so it asks
// for another look while there are any.
func (e *Engine) forgetTroubles() {
	if len(e.degraded) == 0 {
		return
	}
	served := make(map[string]bool, len(e.groups))
	for _, g := range e.groups {
		served[g.w.Path] = true
	}
	for key := range e.degraded {
		for _, about := range troubles {
			id, ok := strings.CutPrefix(key, about)
			if _, there := e.table.Get(id); ok && !there {
				delete(e.degraded, key)
			}
		}
		rel, ok := strings.CutPrefix(key, "restore ")
		if !ok {
			continue
		}
		if _, err := os.Lstat(e.tree.Path("cpu", rel)); errors.Is(err, fs.ErrNotExist) || served[rel] {
			delete(e.degraded, key)
		} else {
			e.again = true
		}
	}
}

// assign gives a group the class of a rule and what goes with it.
func (e *Engine) assign(g *group, r *compiledRule) {
	v := e.policy.judge(r, g.w, e.consents, e.asked(g.w))
	e.refused(g, v.refused)
	if g.Class != v.class || g.classedGen == 0 {
		e.totals.move(g, v.class)
		g.Class, g.Share, g.setIntent, g.capIntent = v.class, 0, control.Intent{}, control.Intent{}
		e.runq.setClass(g, v.class)
	}
	again := g.rule != v.rule || g.classedGen != e.gen
	g.classedGen = e.gen
	g.rule = v.rule
	if v.mode != g.Mode {
		g.Mode, g.Bank, g.checked = v.mode, nil, time.Time{}
		delete(e.degraded, "burst of "+g.w.ID)
	}
	g.WantLane = v.lane
	if again {
		e.each(func(p part) { p.assign(g) })
	}
}

// drop forgets a group whose cgroup is gone or is no workload any more.
func (e *Engine) drop(ino uint64, g *group) {
	e.totals.leave(g)
	e.runq.unset(g)
	e.each(func(p part) { p.drop(g) })
	for _, kind := range e.kinds {
		key := kind + " " + g.w.Path
		k := e.knobs[key]
		if k == nil || k.owner() != ino {
			continue
		}
		e.letGo(g, k)
		e.forget(key, k)
	}
	e.putBack(g, g.cpu.CPU)
	g.close()
	delete(e.groups, ino)
	for _, about := range troubles {
		delete(e.degraded, about+g.w.ID)
	}
}

// letGo settles what the journal holds of a knob whose group is dropped and
// which putBack does not see: what somebody else has changed since, and files of
// other hierarchies, which have inodes of their own on cgroup v1.
func (e *Engine) letGo(g *group, k knob) {
	if k.drifted() {
		e.journalled(k.adopt(e.w))
	}
	if k, ok := k.(placed); ok {
		e.putBack(g, k.place())
	}
}

// putBack restores what was written to a cgroup, or drops it from the journal
// when the cgroup is gone. What the kernel is still about is put back when that
// is over.
func (e *Engine) putBack(g *group, d *cgroup.Dir) {
	if !g.cpu.CPU.Alive() {
		e.journalled(e.w.Forget(d))
		return
	}
	for _, err := range e.w.Restore(func(en *journal.Entry) bool { return d.Owns(en) && !e.memory.underWay(en) }) {
		e.degrade("restore "+g.w.Path, err)
	}
}

// describe gives a match in the words of the policy file.
func describe(m workload.Match) string {
	var out []string
	add := func(key, v string) {
		if v != "" {
			out = append(out, key+" "+v)
		}
	}
	add("path", m.Path)
	add("unit", m.Unit)
	add("exe", m.Exe)
	add("namespace", m.Namespace)
	add("pod", m.Pod)
	add("image", m.Image)
	add("kind", string(m.Kind))
	add("kubeQoS", m.KubeQoS)
	add("containerID", m.ContainerID)
	for _, k := range slices.Sorted(maps.Keys(m.Label)) {
		add("label "+k, "= "+m.Label[k])
	}
	return strings.Join(out, ", ")
}

// isHome says whether a cgroup was made to hold best-effort work only, where one knob serves
// all members. Other common parents are not used: a container of another class
// may be started there at any time.
func isHome(rel string) bool {
	base := path.Base(rel)
	return rel == "/anole-be" || base == "kubepods-besteffort.slice" || (base == "besteffort" && strings.Contains(rel, "kubepods"))
}

// top is a cgroup whose priority is lowered: the home of best-effort groups, or
// one of them.
type top struct {
	rel, key string
	g        *group // a member
	ino      uint64 // of the cgroup that the knob is to hold, 0 before it is opened
	intent   control.Intent
}

// arrange puts the groups in order and finds, for best-effort ones, the cgroup
// whose priority is lowered: the home they share, or their own.
func (e *Engine) arrange() {
	e.order, e.members = e.order[:0], e.members[:0]
	mixed := map[string]bool{}
	for _, g := range e.groups {
		e.order = append(e.order, g)
		if g.Class != class.BE {
			for p := path.Dir(g.w.Path); p != "/"; p = path.Dir(p) {
				mixed[p] = true
			}
		}
	}
	slices.SortFunc(e.order, func(a, b *group) int { return strings.Compare(a.w.Path, b.w.Path) })
	all := make([]*control.Member, len(e.order))
	for i, g := range e.order {
		all[i] = &g.Member
	}
	e.ctl.SetMembers(all)
	e.arrangePods()
	e.tops, e.laneDirty = nil, true
	seen := map[string]bool{}
	for _, g := range e.order {
		if g.Class != class.BE {
			continue
		}
		e.members = append(e.members, g)
		if t := topOf(g.w.Path, mixed); !seen[t] {
			seen[t] = true
			e.tops = append(e.tops, e.topAt(t, g))
		}
	}
}

// topAt describes the top rel with member g.
func (e *Engine) topAt(rel string, g *group) top {
	t := top{rel: rel, key: "priority " + rel, g: g}
	if rel == g.w.Path {
		t.ino = g.cpu.CPU.Ino()
	} else if k, ok := e.knobs[t.key].(*yieldKnob); ok && k.g.CPU.Alive() {
		t.ino = k.owner()
	}
	t.intent = control.Intent{
		Group: rel, File: t.key, Value: string(e.mechanism), Controller: "priority", Rank: rankPlan,
		Why: "best-effort work yields by " + string(e.mechanism),
	}
	return t
}

func topOf(rel string, mixed map[string]bool) string {
	t := rel
	for p := path.Dir(rel); p != "/"; p = path.Dir(p) {
		if isHome(p) && !mixed[p] {
			t = p
		}
	}
	return t
}

func reasonOf(err error) string {
	var u *feature.UnsupportedError
	if errors.As(err, &u) {
		return string(u.Reason)
	}
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.EROFS) {
		return string(feature.NoPrivilege)
	}
	return "error"
}
