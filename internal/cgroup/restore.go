package cgroup

import (
	"path/filepath"

	"github.com/anole-os/anole/internal/cfs"
	"github.com/anole-os/anole/internal/journal"
)

func init() { journal.Together(restoreLimits) }

// restoreLimits puts back the CPU bandwidth of all groups that the entries speak
// of in one order that the kernel takes. One by one it might refuse them for
// good: on cgroup v1 a pod and its containers hold each other.
func restoreLimits(j *journal.Journal, entries []journal.Entry) {
	wants, dirs := limitsIn(entries)
	defer func() {
		for _, d := range dirs {
			_ = d.Close()
		}
	}()
	if len(dirs) == 0 {
		return
	}
	l := newLimits(dirs)
	defer l.close()
	for d, old := range wants {
		n := &l.nodes[l.node(d)]
		for file, b := range old {
			parseLimit(file, b, &n.Want)
		}
		l.rules.Deep = l.rules.Deep || n.Want.Limited() && n.Want.Burst > n.Want.Quota
	}
	loan := newLoan(j, entries[0].Owner, l)
	l.write = func(node int, e Edit) error {
		if err := loan.take(node); err != nil {
			return err
		}
		return e.Dir.write(e.File, e.Value)
	}
	// What did not work is tried file by file, and told, by who called.
	_ = l.run()
	_ = loan.end()
}

// limitsIn opens the groups of entries that are about CPU bandwidth and gives
// the files' old contents. A group that is gone is left out.
func limitsIn(entries []journal.Entry) (wants map[*Dir]map[string][]byte, dirs []*Dir) {
	wants = map[*Dir]map[string][]byte{}
	open := map[string]*Dir{}
	var scratch cfs.Limit
	for _, e := range entries {
		path, file := filepath.Split(e.Path)
		if e.Op != journal.OpWrite || !parseLimit(file, e.Old, &scratch) {
			continue
		}
		path = filepath.Clean(path)
		d := open[path]
		if d == nil {
			var err error
			if d, err = openSame(path, e.Ino); err != nil {
				continue
			}
			open[path] = d
			dirs = append(dirs, d)
			wants[d] = map[string][]byte{}
		}
		if d.ino == e.Ino {
			wants[d][file] = e.Old
		}
	}
	return wants, dirs
}
