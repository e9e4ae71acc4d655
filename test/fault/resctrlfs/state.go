package resctrlfs

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

// group is a control group, or one that only counts, whose parent is then set.
type group struct {
	name   string
	parent *group
	config config
	mode   string // shareable or exclusive
	counts map[string]string
	dead   bool
}

// state is the file system's memory.
type state struct {
	m      Machine
	mu     sync.Mutex
	root   *group
	groups []*group       // but for the root
	tasks  map[int]*group // threads that are not in the root
	seen   map[int]bool   // threads that inherit no more
	status string
	writes []string // all that was written, "path value"
}

func newState(m Machine) *state {
	s := &state{m: m, tasks: map[int]*group{}, seen: map[int]bool{}, status: "ok"}
	s.root = &group{mode: "shareable", config: m.fresh(func(string, int) uint64 { return 0 }), counts: map[string]string{}}
	return s
}

// done sets last_cmd_status.
func (s *state) done(no *refusal) syscall.Errno {
	if s.status = "ok"; no == nil {
		return 0
	}
	if no.say != "" {
		s.status = no.say
	}
	return no.no
}

// taken gives what other groups have of a cache for themselves.
func (s *state) taken(but *group, resource string, domain int) uint64 {
	var out uint64
	for _, g := range s.groups {
		if g != but && g.parent == nil && g.mode == "exclusive" {
			out |= g.config[resource][domain]
		}
	}
	return out
}

// mkdir makes a group; parent is nil for one of control.
func (s *state) mkdir(name string, parent *group) (*group, syscall.Errno) {
	s.mu.Lock()
	defer s.mu.Unlock()
	control, all := 1, 1
	for _, g := range s.groups {
		all++
		if g.parent == nil {
			control++
		}
	}
	if s.m.Rmids > 0 && all >= s.m.Rmids {
		return nil, s.done(&refusal{syscall.ENOSPC, "Out of RMIDs"})
	}
	g := &group{name: name, parent: parent, mode: "shareable", counts: map[string]string{}}
	if parent == nil {
		if control >= s.m.Closids {
			return nil, s.done(&refusal{syscall.ENOSPC, "Out of CLOSIDs"})
		}
		g.config = s.m.fresh(func(r string, d int) uint64 { return s.taken(nil, r, d) })
	}
	s.groups = append(s.groups, g)
	return g, s.done(nil)
}

// rmdir removes a group with those below it; its tasks go to the one above.
func (s *state) rmdir(g *group) {
	s.mu.Lock()
	defer s.mu.Unlock()
	up := g.parent
	if up == nil {
		up = s.root
	}
	gone := func(x *group) bool { return x == g || x.parent == g }
	for tid, in := range s.tasks {
		if gone(in) {
			s.put(tid, up)
		}
	}
	for _, x := range s.groups {
		x.dead = x.dead || gone(x)
	}
	s.groups = slices.DeleteFunc(s.groups, gone)
	s.status = "ok"
}

func (s *state) put(tid int, g *group) {
	if g == s.root {
		delete(s.tasks, tid)
		return
	}
	s.tasks[tid] = g
}

// refresh gives threads that nobody has seen the group of who started them, as
// the kernel does at fork, and drops those that ended.
func (s *state) refresh() map[int]bool {
	all := threads()
	for tid := range s.tasks {
		if _, ok := all[tid]; !ok {
			delete(s.tasks, tid)
		}
	}
	out := map[int]bool{}
	for tid, by := range all {
		out[tid] = true
		if in := s.tasks[by]; in != nil && !s.seen[tid] {
			s.tasks[tid] = in
		}
	}
	s.seen = out
	return out
}

// threads lists the threads of the node with who started each: its process, or
// the parent of that.
func threads() map[int]int {
	out := map[int]int{}
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		tids, _ := os.ReadDir("/proc/" + p.Name() + "/task")
		for _, t := range tids {
			if tid, err := strconv.Atoi(t.Name()); err == nil && tid != pid {
				out[tid] = pid
			}
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])); err == nil && len(f) > 1 {
			out[pid], _ = strconv.Atoi(f[1])
		}
	}
	return out
}

// list is the content of a group's file tasks: those of a control group include
// those of the groups below it that count.
func (s *state) list(g *group) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, tid := range slices.Sorted(maps.Keys(s.refresh())) {
		in := s.tasks[tid]
		if in == nil {
			in = s.root
		}
		if in == g || in.parent == g {
			fmt.Fprintln(&b, tid)
		}
	}
	return b.String()
}

// move is a write to a group's file tasks.
func (s *state) move(g *group, value string) *refusal {
	tid, err := strconv.Atoi(strings.TrimSpace(value))
	if err != nil {
		return refuse("Task list parsing error pid %s", value)
	}
	if !s.refresh()[tid] {
		return &refusal{syscall.ESRCH, fmt.Sprintf("No task %d", tid)}
	}
	in := s.tasks[tid]
	if in == nil {
		in = s.root
	}
	if g.parent != nil && in != g.parent && in.parent != g.parent {
		return refuse("Can't move task to different control group")
	}
	s.put(tid, g)
	return nil
}

// set is a write to a group's file schemata.
func (s *state) set(g *group, value string) *refusal {
	c, no := s.m.parse(g.config, value, func(r string, d int, mask uint64) bool { return s.taken(g, r, d)&mask != 0 })
	if no == nil {
		g.config = c
	}
	return no
}

// write is any write; do says what it does.
func (s *state) write(path, value string, g *group, do func() *refusal) syscall.Errno {
	s.mu.Lock()
	defer s.mu.Unlock()
	if g.dead {
		return syscall.ENODEV
	}
	s.writes = append(s.writes, path+" "+strings.TrimSpace(value))
	return s.done(do())
}

// usage is the content of info/<cache>/bit_usage.
func (s *state) usage(c Cache) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	parts := make([]string, len(s.m.Domains))
	for i, d := range s.m.Domains {
		exclusive, flags := s.taken(nil, c.Name, d), ""
		for bit := c.Ways - 1; bit >= 0; bit-- {
			switch {
			case exclusive>>bit&1 == 1:
				flags += "E"
			case c.Shareable>>bit&1 == 1:
				flags += "X"
			default:
				flags += "S"
			}
		}
		parts[i] = fmt.Sprintf("%d=%s", d, flags)
	}
	return strings.Join(parts, ";") + "\n"
}
