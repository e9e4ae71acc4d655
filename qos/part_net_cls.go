package qos

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/qos/control"
	"github.com/anole-os/anole/qos/shape"
)

// cgroup v1's controller that gives the sockets of a group a number, those that
// are open too (net/core/netclassid_cgroup.c).
const (
	netCls     = "net_cls"
	netClsFile = "net_cls.classid"
)

// classify finds a workload's group in net_cls, and puts processes that sit in
// its root into the shadow of the class.
func (m *netMembers) classify(g *group, x *netGroup, pids []int) error {
	for _, pid := range pids {
		rel, err := procfs.ControllerCgroup(m.e.root, pid, netCls)
		if err != nil {
			continue // it ended
		}
		x.seen = true
		if rel == "/" {
			if err := m.enterClass(x.class, pid); err != nil {
				return err
			}
		} else if inTree(rel, g.w.Path) {
			x.own = true
		}
	}
	return nil
}

// enterClass moves a process into the shadow of a class, made if it is not there.
func (m *netMembers) enterClass(c shape.Class, pid int) error {
	path := m.e.tree.Path(netCls, netShadows[c])
	if err := m.e.w.Own(path, m.e.tree.Mount(netCls)); err != nil {
		return fmt.Errorf("make shadow cgroup: %w", err)
	}
	d, err := cgroup.OpenDir(path)
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := m.e.w.Set(cgroup.Edit{Dir: d, File: netClsFile, Value: c.ClassID()}); err != nil {
		return err
	}
	return cgroup.Move(pid, path)
}

// endClasses removes the shadows; what groups of their own hold is the Engine's
// to put back.
func (m *netMembers) endClasses() []error {
	var dirs []string
	for _, name := range netShadows {
		dirs = append(dirs, m.e.tree.Path(netCls, name))
	}
	return m.e.w.Restore(func(e *journal.Entry) bool {
		for _, d := range dirs {
			if e.Path == d || filepath.Dir(e.Path) == d {
				return true
			}
		}
		return false
	})
}

// intents asks for the numbers of workloads with groups of their own in net_cls.
// One that somebody else gave a number keeps it.
func (m *netMembers) intents(out []control.Intent) []control.Intent {
	if m.s == nil || !m.cls {
		return out
	}
	for _, g := range m.e.order {
		x := m.groups[g]
		if x == nil || !x.own || x.class == shape.Rest {
			continue
		}
		key, k, err := m.e.fileKnob(g, netCls, netClsFile, netClsFile)
		if err != nil {
			continue // it goes away
		}
		if k.value == "" && !k.touched && m.foreign(k) {
			x.own = false
			continue
		}
		out = append(out, control.Intent{
			Group: g.w.ID, File: key, Value: x.class.ClassID(), Rank: rankPlan, Controller: "net", Why: "packets of its sockets are known by it",
		})
	}
	return out
}

// foreign says whether a number is there that is not anole's.
func (m *netMembers) foreign(k *fileKnob) bool {
	now, err := k.dir.ReadFile(netClsFile)
	return err != nil || strings.TrimSpace(string(now)) != "0"
}
