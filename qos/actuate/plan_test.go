package actuate

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/cgroup"
	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/qos/burst"
	"github.com/anole-os/anole/test/fault/groups"
)

// nest is a tree of real cgroups with the plan in force.
type nest struct {
	t      *testing.T
	n      *groups.Node
	rng    *rand.Rand
	w      *cgroup.Writer
	j      *journal.Journal
	made   []*groups.Group
	gs     []*Group
	parent []int
	limits burst.Limits
	now    []burst.Bandwidth
	want   []burst.Bandwidth
	seen   int // writes
	fault  func(path, value string) error
}

func newNest(t *testing.T, n *groups.Node, rng *rand.Rand, round int) *nest {
	t.Helper()
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	x := &nest{t: t, n: n, rng: rng, w: cgroup.NewWriter(j, "test"), j: j, limits: burst.Mainline()}
	x.limits.Unified = n.Unified()
	x.w.Fault = func(path, value string) error {
		x.look()
		if x.fault != nil {
			return x.fault(path, value)
		}
		return nil
	}
	for i := range 2 + rng.IntN(6) {
		x.add(fmt.Sprintf("nest%d-%d", round, i), rng.IntN(i+1)-1)
	}
	return x
}

func (x *nest) add(name string, parent int) {
	x.t.Helper()
	if parent >= 0 {
		name = strings.TrimPrefix(x.made[parent].Rel, x.n.Prefix) + "/" + name
	}
	made := x.n.Make(name)
	g, err := OpenGroup(x.n.Tree, made.Rel)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = g.Close() })
	if !g.HasBurst() {
		x.limits.HasBurst = false
	}
	now, err := g.Bandwidth()
	if err != nil {
		x.t.Fatal(err)
	}
	x.made, x.gs, x.parent = append(x.made, made), append(x.gs, g), append(x.parent, parent)
	x.now, x.want = append(x.now, now), append(x.want, now)
}

// read gives what the kernel has.
func (x *nest) read() []burst.Bandwidth {
	x.t.Helper()
	out := make([]burst.Bandwidth, len(x.gs))
	for i, g := range x.gs {
		b, err := g.Bandwidth()
		if err != nil && !cgroup.Gone(err) {
			x.t.Fatal(err)
		}
		if out[i] = b; err != nil {
			out[i] = x.now[i]
		}
	}
	return out
}

// look reads the state on the way and holds it to the plan.
func (x *nest) look() {
	x.t.Helper()
	x.seen++
	for i, is := range x.read() {
		if rate(is) > max(rate(x.now[i]), rate(x.want[i])) || depth(is) > max(depth(x.now[i]), depth(x.want[i])) {
			x.t.Fatalf("%s: %+v on the way from %+v to %+v", x.gs[i].Rel, is, x.now[i], x.want[i])
		}
	}
}

func depth(b burst.Bandwidth) burst.Micros {
	if b.Quota == burst.Unlimited {
		return 1 << 62
	}
	return b.Depth()
}

// dice makes a plan that the kernel takes: on v1 no group has more than the
// nearest one above it with a limit.
func (x *nest) dice() {
	for i := range x.want {
		if x.rng.IntN(4) == 0 && x.fits(i, x.now[i]) {
			x.want[i] = x.now[i]
			continue
		}
		b := randomLimit(x.rng, 4)
		for up := x.parent[i]; up >= 0; up = x.parent[up] {
			if p := x.want[up]; p.Quota != burst.Unlimited && !x.fits(i, b) {
				// As much as the group above, or as much in another period.
				if b = p; x.rng.IntN(2) == 0 && p.Quota/2 >= 1000 {
					b.Period, b.Quota, b.Burst = p.Period/2, p.Quota/2, min(p.Burst, p.Quota/2)
				}
			}
		}
		if !x.limits.HasBurst {
			b.Burst = 0
		}
		if x.want[i] = b; !x.fits(i, b) || x.limits.Check(b) != nil {
			x.want[i] = burst.Bandwidth{Period: 100_000, Quota: burst.Unlimited}
		}
	}
}

func (x *nest) fits(i int, b burst.Bandwidth) bool {
	for up := x.parent[i]; up >= 0; up = x.parent[up] {
		if x.want[up].Quota != burst.Unlimited {
			return x.limits.CheckParent(b, x.want[up]) == nil
		}
	}
	return true
}

func (x *nest) apply() (writes int, errs []error) {
	var all []Change
	for _, i := range x.rng.Perm(len(x.gs)) {
		all = append(all, Change{x.gs[i], x.want[i]})
	}
	wrote, errs := Apply(x.w, all, false)
	x.look()
	return len(wrote), errs
}

// settle takes what the kernel has for the present.
func (x *nest) settle() {
	x.t.Helper()
	for i, is := range x.read() {
		if is != x.want[i] {
			x.t.Fatalf("%s ended at %+v, wanted %+v", x.gs[i].Rel, is, x.want[i])
		}
		x.now[i] = is
	}
}

// finish runs the plan again until all but the removed group have what they
// want. The kernel counts a removed group for some milliseconds more and refuses
// the one above it what that would not allow.
func (x *nest) finish(removed int) {
	x.t.Helper()
	for end := time.Now().Add(10 * time.Second); ; {
		_, errs := x.apply()
		if slices.IndexFunc(errs, func(err error) bool { return err != nil && !cgroup.Gone(err) }) < 0 {
			break
		}
		if time.Now().After(end) {
			x.t.Fatal(errors.Join(errs...))
		}
		time.Sleep(5 * time.Millisecond)
	}
	for i, is := range x.read() {
		if i != removed && is != x.want[i] {
			x.t.Errorf("%s ended at %+v, wanted %+v", x.gs[i].Rel, is, x.want[i])
		}
	}
}

const plans = 1000

func TestKernelTakesNestedPlans(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	rng := rand.New(rand.NewPCG(41, 42))
	done, writes, states := 0, 0, 0
	for round := 0; done < plans; round++ {
		x := newNest(t, n, rng, round)
		was := groups.Snapshot(x.made...)
		for range 25 {
			x.dice()
			k, errs := x.apply()
			if errs != nil {
				t.Fatalf("plan %d: %v", done, errors.Join(errs...))
			}
			x.settle()
			done, writes = done+1, writes+k
		}
		states += x.seen
		if errs := x.w.Restore(func(*journal.Entry) bool { return true }); len(errs) > 0 {
			t.Fatal(errs)
		}
		if d := groups.Differ(was, groups.Snapshot(x.made...)); len(d) > 0 {
			t.Fatalf("not as it was:\n%s", strings.Join(d, "\n"))
		}
		if left := x.j.Pending(); len(left) > 0 {
			t.Fatalf("left in the journal: %+v", left)
		}
		for i := len(x.made) - 1; i >= 0; i-- {
			x.made[i].Remove()
		}
	}
	t.Logf("%d plans, %d writes, none refused; %d states read back, none above its plan", done, writes, states)
}

// Refused writes and groups that go leave the others within the plan, and the
// next run of it finishes.
func TestKernelNestedPlansWithFaults(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	rng := rand.New(rand.NewPCG(51, 52))
	refused, gone := 0, 0
	for round := range 60 {
		x := newNest(t, n, rng, round)
		x.dice()
		if _, errs := x.apply(); errs != nil {
			t.Fatal(errors.Join(errs...))
		}
		x.settle()
		x.dice()
		leaf := len(x.made) - 1 // nothing is below the last one
		x.fault = func(path, _ string) error {
			switch r := rng.IntN(8); {
			case r == 0:
				refused++
				return unix.EBUSY
			case r == 1 && leaf >= 0 && round%2 == 0:
				x.made[leaf].Remove()
				leaf = -1
				gone++
			}
			return nil
		}
		_, errs := x.apply()
		x.fault = nil
		if leaf >= 0 {
			for i, err := range errs {
				if errors.Is(err, unix.EINVAL) {
					t.Errorf("%d: the kernel refused what was not injected: %v", i, err)
				}
			}
			if _, errs = x.apply(); errs != nil {
				t.Errorf("round %d: %v", round, errors.Join(errs...))
			}
			x.settle()
			continue
		}
		x.finish(len(x.made) - 1)
	}
	if refused == 0 || gone == 0 {
		t.Errorf("%d refused, %d gone: this tests nothing", refused, gone)
	}
}
