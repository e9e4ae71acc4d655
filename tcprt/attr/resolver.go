package attr

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/procfs"
	"github.com/anole-os/anole/internal/term"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/workload"
)

const (
	again  = 10 * time.Second // before somebody who was not found is looked for anew
	scanAt = 5 * time.Second  // between looks through the open files of all processes
)

// Resolver names services. It is for one goroutine at a time.
type Resolver struct {
	root     string
	records  *workload.Registry // nil without
	groups   *groups            // nil without a cgroup2 hierarchy
	known    map[tcprt.Service]*who
	lastScan time.Time
}

// who is a service's process and names.
type who struct {
	names tcprt.Names
	id    string // of the container
	pid   uint32
	path  string // of the cgroup
	// shared says that its sockets are in a cgroup2 group that anole has put
	// processes of many workloads into.
	shared bool
	at     time.Time
	gen    uint64 // of the registry
}

// New makes a Resolver. root is put before /proc and /sys; records may be nil.
func New(root string, records *workload.Registry) *Resolver {
	return &Resolver{root: root, records: records, groups: openGroups(root), known: map[tcprt.Service]*who{}}
}

// Close lets go of the cgroup hierarchy.
func (r *Resolver) Close() error { return r.groups.close() }

// Names gives what is known of a service, looking if that may tell more than the
// last time.
func (r *Resolver) Names(s tcprt.Service, now time.Time) tcprt.Names {
	w := r.known[s]
	if w == nil {
		w = &who{}
		r.known[s] = w
		r.look(s, w, now)
	}
	var gen uint64
	if r.records != nil {
		gen = r.records.Generation()
	}
	switch {
	case w.names.Command == "" && w.names.Unit == "" && w.id == "" && now.Sub(w.at) >= again:
		r.look(s, w, now)
	case w.gen != gen:
		r.name(w)
	}
	return w.names
}

// Cgroup is the path of a service's cgroup, "" if it is not known.
func (r *Resolver) Cgroup(s tcprt.Service) string {
	if w := r.known[s]; w != nil {
		return w.path
	}
	return ""
}

// Shared says whether the id of a service's cgroup is that of a group that anole has
// put processes of many workloads into, so that it says nothing of whose it is.
func (r *Resolver) Shared(s tcprt.Service) bool {
	w := r.known[s]
	return w != nil && w.shared
}

// PID is the process that had to do with a service last, 0 if none is known.
func (r *Resolver) PID(s tcprt.Service) uint32 {
	if w := r.known[s]; w != nil {
		return w.pid
	}
	return 0
}

// Saw learns whose process a service's is. One that ends soon may be gone already:
// then its name is all that is known.
func (r *Resolver) Saw(s tcprt.Service, o tcprt.Owner, now time.Time) {
	if o.PID == 0 {
		return
	}
	w := r.known[s]
	if w == nil {
		w = &who{}
		r.known[s] = w
	}
	if w.pid == o.PID || now.Sub(w.at) < time.Second && w.pid != 0 {
		return
	}
	w.pid, w.names.Command = o.PID, term.Clean(o.Command.String())
	r.look(s, w, now)
}

// Forget drops services that keep does not have.
func (r *Resolver) Forget(keep func(tcprt.Service) bool) {
	for s := range r.known {
		if !keep(s) {
			delete(r.known, s)
		}
	}
}

func (r *Resolver) look(s tcprt.Service, w *who, now time.Time) {
	w.at = now
	if w.pid == 0 && s.Role == tcprt.Server && now.Sub(r.lastScan) >= scanAt {
		r.lastScan = now
		w.pid = listenerOf(r.root, s.NetNS, s.Port)
	}
	path := r.groups.path(s.Cgroup)
	if w.shared = workload.Shadow(path); w.shared {
		path = ""
	}
	if path == "" && w.pid != 0 {
		path = cgroupOf(r.root, int(w.pid))
	}
	if path != "" {
		w.path = path
	}
	if w.pid != 0 {
		if b, err := os.ReadFile(filepath.Join("/", r.root, "proc", strconv.Itoa(int(w.pid)), "comm")); err == nil {
			w.names.Command = term.Clean(strings.TrimSpace(string(b)))
		}
	}
	r.name(w)
}

// name reads the cgroup's path, and asks the registry.
func (r *Resolver) name(w *who) {
	if r.records != nil {
		w.gen = r.records.Generation()
	}
	l, ok := workload.Parse(w.path)
	if !ok {
		return
	}
	w.names.Unit, w.id = l.Unit, l.ContainerID
	switch {
	case l.ContainerID != "":
		w.names.Container = l.Name
		w.names.Unit = ""
	case l.Kind == workload.KindAnole:
		w.names.Container = l.ID
	}
	if r.records == nil || w.id == "" {
		return
	}
	if c, ok := r.records.Get(w.id); ok {
		w.names.Namespace, w.names.Pod = term.Clean(c.Namespace), term.Clean(c.PodName)
		if c.Name != "" {
			w.names.Container = term.Clean(c.Name)
		}
	}
}

// cgroupOf is a process's cgroup, in whichever hierarchy says most.
func cgroupOf(root string, pid int) string {
	if p, err := procfs.UnifiedCgroup(root, pid); err == nil && p != "/" && !workload.Shadow(p) {
		return p
	}
	for _, controller := range []string{"cpu", "memory", "pids"} {
		if p, err := procfs.ControllerCgroup(root, pid, controller); err == nil && p != "/" {
			return p
		}
	}
	return ""
}
