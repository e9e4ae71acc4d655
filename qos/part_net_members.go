package qos

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/netlinkx"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos/shape"
)

// netMembers finds what package shape knows workloads by: the cgroup2 group of
// their sockets, and, where they have a network namespace of their own, the
// node's ends of the veth pairs that lead there.
//
// On cgroup v2 a workload's group is the group of its sockets. On v1 it is the
// group that its processes have in the cgroup2 hierarchy beside; those that sit
// in its root are put into a shadow group of their class there, which changes
// nothing else for them. A socket has the group that its process had when it
// opened it. Where v1's net_cls controller is mounted it does for both what the
// shadows do, and for sockets that are open already.
type netMembers struct {
	e      *Engine
	s      *shape.Shaper // nil while off
	native bool          // cgroup v2
	base   string        // cgroup2 mount point, "" if there is none
	cls    bool          // net_cls on cgroup v1

	groups  map[*group]*netGroup
	links   []netlinkx.Link
	listed  time.Time // when links were read
	changed bool      // some group since the last settle
	failed  error     // of the last settle
	retry   time.Time // when it is tried again
	expel   bool      // some process may be in a shadow that is not its own
	ids     map[uint64]shape.Class
	ports   map[int]shape.Class
}

// netGroup is one workload.
type netGroup struct {
	class shape.Class
	ids   []uint64 // of cgroup2 groups
	netns uint64   // of its processes where it is not the node's, else 0
	ports []netlinkx.Link
	next  time.Time     // when to look again
	pause time.Duration // between looks, growing
	err   error         // of the last look
	own   bool          // it has a group of its own in net_cls
	seen  bool          // its processes were found in net_cls
}

// netShadows are the groups for v1 processes that have none of their own.
var netShadows = map[shape.Class]string{shape.LS: "anole-net-ls", shape.BE: "anole-net-be"}

// Looks at a workload come soon after it started, when it may have no process
// or no interface yet, and rarely later.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 30 * time.Second
)

func newNetMembers(e *Engine) *netMembers {
	v, _ := e.tree.Version("cpu")
	cls, ok := e.tree.Version("net_cls")
	return &netMembers{e: e, native: v == cgroup.V2, cls: ok && cls == cgroup.V1 && v == cgroup.V1, base: e.tree.Mount(cgroup.Unified), groups: map[*group]*netGroup{}}
}

// begin takes in all workloads.
func (m *netMembers) begin(s *shape.Shaper) {
	m.s, m.ids, m.ports = s, map[uint64]shape.Class{}, map[int]shape.Class{}
	for _, g := range m.e.groups {
		m.assign(g)
	}
}

// end puts back what was done to processes; Shaper.Close does the rest.
func (m *netMembers) end() {
	clear(m.groups)
	if m.s != nil && !m.native && m.base != "" {
		for _, name := range netShadows {
			for _, err := range m.e.w.Undo(m.shadow(name)) {
				m.e.degrade("net members", err)
			}
		}
	}
	if m.s != nil && m.cls {
		for _, err := range m.endClasses() {
			m.e.degrade("net members", err)
		}
	}
	m.s, m.links, m.failed = nil, nil, nil
}

func (m *netMembers) shadow(name string) string { return m.e.tree.Path(cgroup.Unified, name) }

func (m *netMembers) assign(g *group) {
	if m.s == nil {
		return
	}
	x := m.groups[g]
	if x == nil {
		x = &netGroup{}
		m.groups[g] = x
		if m.native {
			x.ids = []uint64{g.cpu.CPU.Ino()}
			m.changed = true
		}
	}
	if c := netClass(g.Class); c != x.class {
		x.class, m.changed, m.expel = c, true, true
		x.next, x.pause, x.err = time.Time{}, firstPause, nil
	}
}

func (m *netMembers) drop(g *group) {
	if m.groups[g] != nil {
		delete(m.groups, g)
		m.changed, m.expel = true, true
	}
}

// step looks at the workloads whose turn it is.
func (m *netMembers) step(now time.Time) error {
	var errs []error
	for g, x := range m.groups {
		if x.class != shape.Rest && (!now.Before(x.next) || x.next.Sub(now) > lastPause) {
			m.turn(now, g, x)
		}
		if x.err != nil {
			errs = append(errs, x.err)
		}
	}
	if m.expel {
		m.expel = false
		errs = append(errs, m.expelAll())
	}
	if m.changed || m.failed != nil && now.After(m.retry) {
		m.changed, m.retry = false, now.Add(lastPause)
		m.failed = m.settle()
	}
	return joinSorted(append(errs, m.failed))
}

// joinSorted joins errors that come in a map's order, so that what stays the
// same is told the same: a text that differs is a warning of its own.
func joinSorted(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// turn looks at one workload and says when to look again.
func (m *netMembers) turn(now time.Time, g *group, x *netGroup) {
	x.next = now.Add(x.pause)
	x.pause = min(lastPause, max(firstPause, 2*x.pause))
	x.err = nil
	if err := m.look(now, g, x); err != nil && !cgroup.Gone(err) {
		x.err = fmt.Errorf("workload %s: %w", g.w.ID, err)
	}
}

// look finds the groups and interfaces of one workload.
func (m *netMembers) look(now time.Time, g *group, x *netGroup) error {
	pids, err := g.cpu.CPU.AllProcs()
	if err != nil || len(pids) == 0 {
		return err
	}
	if err := m.follow(now, x, pids); err != nil {
		return err
	}
	if m.native || x.netns != 0 {
		return nil
	}
	if m.cls {
		if err := m.classify(g, x, pids); err != nil {
			return err
		}
	}
	if m.base == "" {
		return nil
	}
	ids, err := m.enlist(x.class, pids)
	if !slices.Equal(ids, x.ids) {
		x.ids, m.changed = ids, true
	}
	return err
}

// follow finds the interfaces that lead to a workload's namespace, by the first
// process that lives.
func (m *netMembers) follow(now time.Time, x *netGroup, pids []int) error {
	for _, pid := range pids {
		ns, err := netlinkx.NetnsOf(pid)
		if err != nil {
			continue
		}
		if ns == m.s.Conn().Netns() {
			ns = 0
		}
		if ns == x.netns && (ns == 0 || len(x.ports) > 0) {
			return nil
		}
		var ports []netlinkx.Link
		if ns != 0 {
			if ports, err = m.ends(now, pid); netlinkx.Gone(err) {
				continue
			} else if err != nil {
				return err
			}
		}
		x.netns, x.ports, m.changed = ns, ports, true
		return nil
	}
	return nil
}

// ends lists the node's interfaces anew when the last list is older than now.
func (m *netMembers) ends(now time.Time, pid int) ([]netlinkx.Link, error) {
	if !m.listed.Equal(now) || m.links == nil {
		links, err := m.s.Conn().Links()
		if err != nil {
			return nil, err
		}
		m.links, m.listed = links, now
	}
	return shape.HostEnds(m.s.Conn(), m.links, pid)
}

// enlist gives the cgroup2 groups of processes on v1, those in the root after
// they were moved to the shadow.
func (m *netMembers) enlist(c shape.Class, pids []int) (ids []uint64, err error) {
	for _, pid := range pids {
		rel, err := procfs.UnifiedCgroup(m.e.root, pid)
		if err != nil {
			continue // it ended
		}
		if rel == "/" {
			if rel, err = m.move(c, pid); err != nil {
				return ids, err
			}
		}
		var st unix.Stat_t
		if rel == "/" || unix.Stat(m.e.tree.Path(cgroup.Unified, rel), &st) != nil || slices.Contains(ids, st.Ino) {
			continue
		}
		ids = append(ids, st.Ino)
	}
	slices.Sort(ids)
	return ids, nil
}

// move puts a process into the shadow of its class. Latency-sensitive ones have
// one already where their pressure is read from it, and come there by
// themselves.
func (m *netMembers) move(c shape.Class, pid int) (rel string, err error) {
	if m.cls || c == shape.LS && m.e.pressure.files != nil {
		return "/", nil
	}
	path := m.shadow(netShadows[c])
	if err := m.e.w.Own(path, m.base); err != nil {
		return "", fmt.Errorf("make shadow cgroup: %w", err)
	}
	return "/" + netShadows[c], cgroup.Move(pid, path)
}

// expelAll moves processes out of shadows that are not of their class any more.
func (m *netMembers) expelAll() error {
	if m.native {
		return nil
	}
	var errs []error
	for c, name := range netShadows {
		for _, controller := range []string{cgroup.Unified, netCls} {
			if home := m.e.tree.Mount(controller); home != "" {
				errs = append(errs, m.expelFrom(m.e.tree.Path(controller, name), home, c))
			}
		}
	}
	return joinSorted(errs)
}

// expelFrom moves the processes home that are of another class.
func (m *netMembers) expelFrom(dir, home string, c shape.Class) error {
	d, err := cgroup.OpenDir(dir)
	if err != nil {
		return nil // there is none
	}
	in, err := d.Procs()
	_ = d.Close()
	if err != nil {
		return nil
	}
	belong := m.processes(c)
	for _, pid := range in {
		if belong[pid] {
			continue
		}
		if err := cgroup.Move(pid, home); err != nil {
			return err
		}
	}
	return nil
}

// processes lists those of all workloads of a class.
func (m *netMembers) processes(c shape.Class) map[int]bool {
	out := map[int]bool{}
	for g, x := range m.groups {
		if x.class != c {
			continue
		}
		pids, _ := g.cpu.CPU.AllProcs()
		for _, pid := range pids {
			out[pid] = true
		}
	}
	return out
}

// settle tells shape of what changed. Where workloads share a namespace or a
// cgroup2 group, the most sensitive counts.
func (m *netMembers) settle() error {
	ids, ports, links := map[uint64]shape.Class{}, map[int]shape.Class{}, map[int]netlinkx.Link{}
	for _, x := range m.groups {
		for _, id := range x.ids {
			if old, ok := ids[id]; !ok || beats(x.class, old) {
				ids[id] = x.class
			}
		}
		for _, l := range x.ports {
			if old, ok := ports[l.Index]; !ok || beats(x.class, old) {
				ports[l.Index] = x.class
			}
			links[l.Index] = l
		}
	}
	var errs []error
	for id := range m.ids {
		if _, ok := ids[id]; !ok {
			errs = append(errs, m.s.ClearGroup(id))
		}
	}
	for index := range m.ports {
		if _, ok := ports[index]; !ok {
			errs = append(errs, m.s.ClearPort(index))
		}
	}
	for id, c := range ids {
		errs = append(errs, m.s.SetGroup(id, c))
	}
	for index, c := range ports {
		errs = append(errs, m.s.SetPort(links[index], c))
	}
	m.ids, m.ports = ids, ports
	return joinSorted(errs)
}

// beats says whether a class counts before another for what both share.
func beats(c, other shape.Class) bool {
	return c != other && (c == shape.LS || other == shape.Rest)
}

// explain says how a workload's packets are known and what class they have.
func (m *netMembers) explain(g *group) []FileState {
	x := m.groups[g]
	if x == nil {
		return nil
	}
	s := FileState{File: "network class", Original: shape.Rest.String(), Wanted: x.class.String(), Current: shape.Rest.String(), Controller: "net", Why: "none of its processes was seen yet"}
	var by []string
	for _, l := range x.ports {
		by = append(by, "interface "+l.Name)
		s.Current = m.ports[l.Index].String()
	}
	if x.netns == 0 {
		for _, id := range x.ids {
			by = append(by, fmt.Sprintf("cgroup2 id %d", id))
			s.Current = m.ids[id].String()
		}
	}
	switch {
	case x.class == shape.Rest:
		s.Why = "neither latency-sensitive nor best effort"
	case m.cls && x.netns == 0 && len(x.ports) == 0 && x.seen:
		s.Current, s.Why = x.class.String(), "packets known by net_cls.classid"
	case len(by) > 0:
		s.Why = "packets known by " + strings.Join(by, ", ")
	case x.netns != 0:
		s.Why = "no veth of the node leads to its network namespace"
	case m.base == "":
		s.Why = "there is no cgroup2 hierarchy to know its sockets by: mount one"
	}
	return []FileState{s}
}
