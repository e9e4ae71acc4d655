package qos

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/qos/class"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/test/fault/resctrlfs"
)

// cacheRig is an Engine on real cgroups and a resctrl file system that keeps the
// kernel's rules, see test/fault/resctrlfs: no machine at hand has a real one.
type cacheRig struct {
	*rig
	fs *resctrlfs.Node
	at time.Time
}

func openCacheRig(t *testing.T, n *groups.Node, m resctrlfs.Machine, change func(*Policy)) *cacheRig {
	t.Helper()
	fs := resctrlfs.Open(t, m)
	p := testPolicy(n)
	p.Cache.Mode = "off"
	r := &cacheRig{openRig(t, n, p, nil), fs, time.Now()}
	r.cache.root = fs.Root
	r.set(func(p *Policy) {
		p.Cache.Mode = "auto"
		if change != nil {
			change(p)
		}
	})
	return r
}

// seconds steps through time faster than it passes.
func (r *cacheRig) seconds(n int) {
	for range 5 * n {
		r.at = r.at.Add(200 * time.Millisecond)
		r.Step(r.at)
	}
}

func (r *cacheRig) read(file string) string {
	b, err := os.ReadFile(filepath.Join(r.fs.Dir, file))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(string(b))
}

func (r *cacheRig) tasks(group string) []int {
	r.t.Helper()
	tids, err := cgroup.Procs([]byte(r.read(filepath.Join(group, "tasks"))))
	if err != nil {
		r.t.Fatal(err)
	}
	return tids
}

// all says whether a resctrl group has all threads of a cgroup.
func (r *cacheRig) all(group string, g *groups.Group) bool {
	in := r.tasks(group)
	for _, tid := range g.Threads() {
		if !slices.Contains(in, tid) {
			return false
		}
	}
	return true
}

func (r *cacheRig) mechanism(name string) Mechanism {
	for _, m := range r.Status().Mechanisms {
		if m.Name == name {
			return m
		}
	}
	return Mechanism{}
}

const beGroup, lsGroup = "anole-be", "mon_groups/anole-ls"

func TestKernelCacheByClass(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be, none := n.Make("ls.service"), n.Make("be.service"), n.Make("x.service")
	for _, g := range []*groups.Group{ls, be, none} {
		g.Sleep()
	}
	r := openCacheRig(t, n, resctrlfs.Skylake(), nil)
	was := r.read("schemata")
	r.seconds(3)
	if !r.all(beGroup, be) || !r.all(lsGroup, ls) || r.all(beGroup, none) || r.all(lsGroup, none) {
		t.Fatalf("BE %v LS %v\n%+v", r.tasks(beGroup), r.tasks(lsGroup), r.Status().Degraded)
	}
	if s := r.read(beGroup + "/schemata"); s != "L3:0=7;1=7\nMB:0= 100;1= 100" {
		t.Errorf("BE has %q", s)
	}
	if m := r.mechanism("cache"); m.Using != "resctrl" || !strings.Contains(m.Why, "30 %") {
		t.Errorf("%+v", m)
	}
	be.Sleep() // comes from outside
	r.seconds(7)
	if !r.all(beGroup, be) {
		t.Error("a new process was not found")
	}
	wrote := len(r.fs.Writes())
	r.seconds(10)
	if w := r.fs.Writes()[wrote:]; len(w) > 0 {
		t.Errorf("a steady state writes %q", w)
	}
	r.set(func(p *Policy) { p.Rules[0].Class, p.Rules[1].Class = class.BE, class.LS })
	r.seconds(3)
	if !r.all(beGroup, ls) || !r.all(lsGroup, be) {
		t.Errorf("classes changed, groups did not: BE %v LS %v", r.tasks(beGroup), r.tasks(lsGroup))
	}
	r.set(func(p *Policy) { p.Rules[0].Class = class.None })
	r.seconds(3)
	if r.all(beGroup, ls) {
		t.Error("no class, and still in the group of one")
	}
	if x, err := r.Explain(be.Rel); err != nil || !slices.ContainsFunc(x.Decisions, func(d Decision) bool { return d.Controller == "cache" }) {
		t.Errorf("explain does not tell: %+v, %v", x.Decisions, err)
	}
	r.close()
	if _, err := os.Stat(filepath.Join(r.fs.Dir, beGroup)); !os.IsNotExist(err) {
		t.Errorf("the group is left: %v", err)
	}
	if _, err := os.Stat(filepath.Join(r.fs.Dir, lsGroup)); !os.IsNotExist(err) {
		t.Errorf("the counting group is left: %v", err)
	}
	if now := r.read("schemata"); now != was {
		t.Errorf("the default group has %q, had %q", now, was)
	}
	if !r.all(".", be) || !r.all(".", ls) {
		t.Error("not all threads came back to the default group")
	}
}

func TestKernelCacheReactsAndRecovers(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Sleep()
	be.Sleep()
	r := openCacheRig(t, n, resctrlfs.Skylake(), func(p *Policy) { p.Cache.Peak = 1e9 })
	total := uint64(0)
	move := func(secs int, perSecond uint64) {
		for range secs {
			total += perSecond / 2 // two domains
			r.fs.Count(beGroup, "mbm_total_bytes", strconv.FormatUint(total, 10))
			r.fs.Count(beGroup, "llc_occupancy", "1000")
			r.seconds(1)
		}
	}
	rec := r.record(func() { r.seconds(2); move(3, 950e6) })
	if own := replay(t, rec.Bytes(), nil).Cache; own == nil || own.Same != 1 || own.Now != own.Then || own.Now.Bandwidth == 1 {
		t.Errorf("replayed %+v", own)
	}
	roomy, _ := r.Policy()
	roomy.Cache.BandwidthMin = 0.9
	if other := replay(t, rec.Bytes(), &roomy).Cache; other.Now.Bandwidth <= other.Then.Bandwidth {
		t.Errorf("90 %% of the bandwidth at least: %+v", other)
	}
	if s := r.read(beGroup + "/schemata"); !strings.Contains(s, "MB:0=  30;1=  30") || !strings.Contains(s, "L3:0=7;") {
		t.Errorf("95 %% of the peak, and BE has %q\n%+v", s, r.mechanism("cache"))
	}
	move(30, 950e6)
	if s := r.read(beGroup + "/schemata"); !strings.Contains(s, "MB:0=  10;1=  10") || !strings.Contains(s, "L3:0=1;") {
		t.Errorf("half a minute of it, and BE has %q", s)
	}
	move(40, 100e6)
	if s := r.read(beGroup + "/schemata"); !strings.Contains(s, "MB:0=  20") && !strings.Contains(s, "MB:0=  30") {
		t.Errorf("40 quiet seconds, and BE has %q", s)
	}
	for _, c := range r.Status().Classes {
		if c.Class == class.BE && (c.Occupancy == nil || *c.Occupancy != 2000 || c.Traffic == nil || *c.Traffic < 30e9) {
			t.Errorf("status %+v", c)
		}
	}
	ls.Remove()
	r.until("no cap without LS", func() bool { r.seconds(1); return strings.Contains(r.read(beGroup+"/schemata"), "MB:0= 100") })
	if s := r.read(beGroup + "/schemata"); !strings.Contains(s, "L3:0=7ff;1=7ff") {
		t.Errorf("no LS, and BE has %q", s)
	}
}

func TestKernelCacheLeavesOthersAlone(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	be := n.Make("be.service")
	be.Sleep()
	r := openCacheRig(t, n, resctrlfs.Milan(), nil)
	theirs := filepath.Join(r.fs.Dir, "theirs")
	if err := os.Mkdir(theirs, 0o755); err != nil {
		t.Fatal(err)
	}
	tid := be.Threads()[0]
	if err := os.WriteFile(filepath.Join(theirs, "tasks"), []byte(strconv.Itoa(tid)), 0); err != nil {
		t.Fatal(err)
	}
	be.Sleep()
	r.seconds(7)
	if in := r.tasks("theirs"); !slices.Contains(in, tid) {
		t.Errorf("a thread was taken from another's group: %v", in)
	}
	if in := r.tasks(beGroup); len(in) != 1 || slices.Contains(in, tid) {
		t.Errorf("BE has %v", in)
	}
	// Somebody removes the group.
	if err := os.Remove(filepath.Join(r.fs.Dir, beGroup)); err != nil {
		t.Fatal(err)
	}
	r.seconds(15)
	if in := r.tasks(beGroup); len(in) != 1 {
		t.Errorf("not made anew: %v\n%+v", in, r.Status().Degraded)
	}
	// A process leaves its workload.
	moveOut(t, filepath.Dir(be.Path("cpu.shares")), n.Tree.Mount("cpu"))
	r.seconds(20)
	if in := r.tasks(beGroup); len(in) != 0 {
		t.Errorf("it left the workload, and BE still has %v", in)
	}
	r.set(func(p *Policy) { p.Cache.Mode = "off" })
	if _, err := os.Stat(filepath.Join(r.fs.Dir, beGroup)); !os.IsNotExist(err) {
		t.Errorf("switched off, and the group is left: %v", err)
	}
	if len(r.tasks("theirs")) != 1 {
		t.Error("another's group lost its thread")
	}
}

func TestKernelCacheAbsentCostsNothing(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	n.Make("be.service").Sleep()
	p := testPolicy(n)
	p.Cache.Mode = "off"
	r := openRig(t, n, p, nil)
	r.cache.root = "resctrl/testdata/no-hardware"
	r.set(func(p *Policy) { p.Cache.Mode = "auto" })
	r.steps(5)
	if d := r.degradedBy("cache"); len(d) > 0 {
		t.Errorf("nobody asked for it: %q", d)
	}
	r.set(func(p *Policy) { p.Cache.Mode = "on" })
	if d := r.degradedBy("cache"); len(d) != 1 {
		t.Errorf("asked for, missing, and not told: %q", d)
	}
	c := r.cache
	now := time.Now()
	if allocs := testing.AllocsPerRun(100, func() {
		c.sense(now, time.Second)
		c.decide(nil, now, time.Second)
		c.apply(now)
	}); allocs > 0 {
		t.Errorf("%v allocations in each step for nothing", allocs)
	}
}
