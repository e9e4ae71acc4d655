package qos

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

func matchPath(p string) workload.Match { return workload.Match{Path: p} }

// rig is an Engine on the real kernel that looks at the groups of one test
// only.
type rig struct {
	*Engine
	t *testing.T
	n *groups.Node
	j *journal.Journal
	// dir is the journal's.
	dir string
}

// testPolicy classes a test's groups by their names and leaves all else on the
// node alone. The cap is set once and then stands, whatever else runs.
func testPolicy(n *groups.Node) Policy {
	p := DefaultPolicy()
	p.Rules = []Rule{
		{Match: matchPath(n.Prefix + "ls*"), Class: class.LS},
		{Match: matchPath(n.Prefix + "be*"), Class: class.BE},
		{Match: matchPath(n.Prefix + "kubepods/besteffort/**"), Class: class.BE},
		{Match: matchPath("/**"), Class: class.None},
	}
	p.Control.RunQueue, p.Control.PressureFrom, p.IO.Use = "off", "off", "off"
	p.Control.RunQueueP99, p.Control.Pressure, p.Control.Throttled = 0, 0, 0
	p.Control.Interval = yamlx.Duration(20 * time.Millisecond)
	p.Control.Deadband = 1
	return p
}

func openRig(t *testing.T, n *groups.Node, p Policy, fault func(path, value string) error) *rig {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	e, err := Open(Options{Journal: j, Policy: &p, Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Engine: e, t: t, n: n, j: j, dir: dir}
	t.Cleanup(r.close)
	return r
}

// close closes the Engine and checks that nothing is left to undo.
func (r *rig) close() {
	r.t.Helper()
	if err := r.Close(); err != nil {
		r.t.Error(err)
	}
	if left := r.j.Pending(); len(left) > 0 {
		r.t.Errorf("%d entries left in the journal, first %+v", len(left), left[0])
	}
}

func (r *rig) steps(n int) {
	for range n {
		r.Step(time.Now())
		time.Sleep(5 * time.Millisecond)
	}
}

// until steps until the condition holds. The limit is for a machine that is
// very busy.
func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	limit := patience()
	for end := time.Now().Add(limit); !ok(); {
		if time.Now().After(end) {
			r.t.Fatalf("not within %s: %s\n%+v", limit, what, r.Status())
		}
		r.Step(time.Now())
		time.Sleep(10 * time.Millisecond)
	}
}

// patience is how long a condition is waited for.
func patience() time.Duration {
	if testkit.Guest() { // all its CPUs may be one thread of an emulator
		return 2 * time.Minute
	}
	return 30 * time.Second
}

// set changes the policy.
func (r *rig) set(change func(*Policy)) {
	r.t.Helper()
	p, _ := r.Policy()
	change(&p)
	if err := r.SetPolicy(p); err != nil {
		r.t.Fatal(err)
	}
}

// writes counts all writes so far, refused ones too.
func (r *rig) writes() (n uint64) {
	for _, v := range r.Totals().Writes {
		n += v
	}
	return n
}

func (r *rig) class(g *groups.Group) string {
	for _, w := range r.Status().Workloads {
		if w.Cgroup == g.Rel {
			return w.Class.String()
		}
	}
	return ""
}

// degradedBy lists what of the test's own is degraded.
func (r *rig) degradedBy(part string) (out []string) {
	for _, d := range r.Status().Degraded {
		if strings.Contains(d.Feature, part) {
			out = append(out, d.Feature+": "+d.Detail)
		}
	}
	return out
}

// same fails the test if the files differ from the snapshot.
func same(t *testing.T, was map[string]string, gs ...*groups.Group) {
	t.Helper()
	if diff := groups.Differ(was, groups.Snapshot(gs...)); len(diff) > 0 {
		t.Errorf("not as it was:\n%s", strings.Join(diff, "\n"))
	}
}

// policies gives the scheduling policies of all threads in the group.
func policies(t *testing.T, g *groups.Group) map[int]int {
	t.Helper()
	out := map[int]int{}
	for _, tid := range g.Threads() {
		if s, err := sys.GetSched(tid); err == nil {
			out[s.Policy]++
		}
	}
	return out
}

// all says whether every thread of the group has the policy.
func all(t *testing.T, g *groups.Group, policy int) bool {
	t.Helper()
	p := policies(t, g)
	return len(p) == 1 && p[policy] > 0
}

// moveOut empties a cgroup.
func moveOut(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, "cgroup.procs"))
	if err != nil {
		t.Fatal(err)
	}
	pids, err := cgroup.Procs(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		if err := cgroup.Move(pid, to); err != nil {
			t.Fatal(err)
		}
	}
}
