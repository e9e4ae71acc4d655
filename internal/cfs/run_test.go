package cfs

import (
	"errors"
	"math/rand/v2"
	"testing"

	"golang.org/x/sys/unix"
)

// faulty is the model of the kernel with writes that fail and groups that go.
type faulty struct {
	*kernel
	t      *testing.T
	start  []Node
	rng    *rand.Rand
	share  float64 // of writes that are refused
	remove float64 // of writes that find their group gone
	gone   []bool
	stuck  int // a node of which every write is refused, -1 for none
	failed []bool
}

func (f *faulty) Write(s Step) error {
	if f.gone[s.Node] {
		return unix.ENODEV
	}
	switch x := f.rng.Float64(); {
	case x < f.remove:
		for i := range f.gone { // with all below it
			for up := i; up >= 0; up = f.parent[up] {
				f.gone[i] = f.gone[i] || up == s.Node
			}
			if f.gone[i] {
				f.quota[i] = runtimeInf
			}
		}
		return unix.ENODEV
	case x < f.remove+f.share, s.Node == f.stuck:
		f.failed[s.Node] = true
		return unix.EBUSY
	}
	if err := f.write(s); err != nil {
		f.t.Fatalf("write %+v: %v\n%s", s, err, describe(f.start, f.limits()))
	}
	f.check()
	return nil
}

// check looks at the groups that are still there.
func (f *faulty) check() {
	for i, l := range f.limits() {
		n := f.start[i]
		if f.gone[i] {
			continue
		}
		if faster(l, n.Now) && faster(l, n.Want) || l.Depth() > max(n.Now.Depth(), n.Want.Depth()) {
			f.t.Fatalf("%s: above its plan on the way\n%s", n.Name, describe(f.start, f.limits()))
		}
	}
}

func (f *faulty) Read(i int) (Limit, error) {
	if f.gone[i] {
		return Limit{}, unix.ENOENT
	}
	return f.limit(i), nil
}

func (*faulty) Gone(err error) bool {
	return errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENOENT)
}

func newFaulty(t *testing.T, r random, nodes []Node) *faulty {
	return &faulty{
		kernel: r.kernel(nodes), t: t, start: clone(nodes), rng: r.Rand, gone: make([]bool, len(nodes)), failed: make([]bool, len(nodes)), stuck: -1,
	}
}

func TestRunOnTheModel(t *testing.T) {
	for name, rules := range allRules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := random{rand.New(rand.NewPCG(5, 6)), rules}
			for range count() / 10 {
				nodes := r.tree()
				f := newFaulty(t, r, nodes)
				if errs := Run(nodes, rules, f); errs != nil {
					t.Fatalf("%v\n%s", errs, describe(nodes, f.limits()))
				}
				for i, n := range nodes {
					if n.Now != f.start[i].Want || f.limit(i) != n.Now || n.Want != n.Now {
						t.Fatalf("%s ended at %+v\n%s", n.Name, f.limit(i), describe(f.start, f.limits()))
					}
				}
			}
		})
	}
}

// Whatever is refused or removed: the kernel refuses nothing by itself, nobody
// is above the plan, and a group that depends on no other gets there.
func TestRunWithFaults(t *testing.T) {
	for name, rules := range allRules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := random{rand.New(rand.NewPCG(7, 8)), rules}
			met, missed := 0, 0
			for round := range count() / 4 {
				nodes := r.tree()
				f := newFaulty(t, r, nodes)
				switch round % 4 {
				case 0:
					f.share = 0.1
				case 1:
					f.remove = 0.1
				case 2:
					f.share, f.remove = 0.2, 0.05
				default:
					f.stuck = r.IntN(len(nodes))
				}
				errs := Run(nodes, rules, f)
				for i, n := range nodes {
					switch {
					case f.gone[i]:
					case n.Now != f.limit(i):
						t.Fatalf("%s has %+v, told as %+v", n.Name, f.limit(i), n.Now)
					case n.Now == n.Want:
						met++
					case errs == nil || errs[i] == nil:
						t.Fatalf("%s is not as wanted, and no error says so\n%s", n.Name, describe(f.start, f.limits()))
					default:
						missed++
						if rules.Unified && !f.failed[i] {
							t.Fatalf("%s was held back, though no write of its own was refused: %v\n%s", n.Name, errs[i], describe(f.start, f.limits()))
						}
					}
				}
				again(t, r, rules, nodes, f)
			}
			if met == 0 || missed == 0 {
				t.Errorf("%d groups got there, %d did not: this tests nothing", met, missed)
			}
		})
	}
}

// again runs the rest of the plan when nothing fails any more.
func again(t *testing.T, r random, rules Rules, nodes []Node, f *faulty) {
	t.Helper()
	f.share, f.remove, f.stuck = 0, 0, -1
	for i := range nodes {
		if f.gone[i] {
			nodes[i].Now, nodes[i].Want = Limit{Quota: Unlimited}, Limit{Quota: Unlimited}
		}
	}
	if err := above(nodes, rules); err != nil {
		return // a removed group made the plan of what was below... none is left
	}
	if errs := Run(nodes, rules, f); errs != nil {
		t.Fatalf("the second run: %v\n%s", errs, describe(f.start, f.limits()))
	}
	for i, n := range nodes {
		if !f.gone[i] && f.limit(i) != f.start[i].Want {
			t.Fatalf("%s ended at %+v\n%s", n.Name, f.limit(i), describe(f.start, f.limits()))
		}
	}
}

// A refusal half way leaves no group dipped: it goes back.
func TestRunGoesBack(t *testing.T) {
	low, high := Limit{100_000, 60_000, 0}, Limit{500_000, 300_000, 300_000}
	nodes := []Node{{"pod", -1, low, high}, {"box", 0, Limit{100_000, 30_000, 0}, Limit{500_000, 150_000, 150_000}}}
	r := random{rand.New(rand.NewPCG(1, 1)), Rules{}}
	f := newFaulty(t, r, nodes)
	refuse := &refuser{faulty: f, node: 1, file: Quota, over: 30_000}
	errs := Run(nodes, Rules{}, refuse)
	if errs == nil || errs[0] != nil || !errors.Is(errs[1], unix.EBUSY) {
		t.Fatalf("%v", errs)
	}
	if f.limit(0) != high || f.limit(1) != f.start[1].Now {
		t.Errorf("pod %v, box %v", f.limit(0), f.limit(1))
	}
}

// refuser refuses one file of one node above some quota.
type refuser struct {
	*faulty
	node int
	file File
	over int64
}

func (r *refuser) Write(s Step) error {
	if s.Node == r.node && s.File == r.file && s.To.Quota > r.over {
		return unix.EBUSY
	}
	return r.faulty.Write(s)
}

// What somebody else writes in between stays.
func TestRunLeavesForeignWrites(t *testing.T) {
	nodes := []Node{{"g", -1, Limit{100_000, 60_000, 0}, Limit{500_000, 300_000, 300_000}}}
	f := newFaulty(t, random{rand.New(rand.NewPCG(1, 1)), Rules{}}, nodes)
	theirs := Limit{200_000, 50_000, 0}
	errs := Run(nodes, Rules{}, &meddler{f, theirs})
	if errs == nil || nodes[0].Now != theirs || f.limit(0) != theirs {
		t.Errorf("%v, %v", errs, f.limit(0))
	}
}

type meddler struct {
	*faulty
	theirs Limit
}

func (m *meddler) Write(Step) error {
	m.period[0], m.quota[0] = uint64(m.theirs.Period)*1000, uint64(m.theirs.Quota)*1000
	return unix.EBUSY
}

// A write that fails as if its group were gone is a refusal while the group can
// be read: it goes back, and bounds what is below as before.
func TestRunLooksWhetherAGroupIsGone(t *testing.T) {
	low, high := Limit{100_000, 60_000, 0}, Limit{500_000, 300_000, 300_000}
	nodes := []Node{{"pod", -1, low, high}, {"box", 0, low, high}}
	f := newFaulty(t, random{rand.New(rand.NewPCG(1, 1)), Rules{}}, nodes)
	errs := Run(nodes, Rules{}, &liar{f})
	if errs == nil || !errors.Is(errs[0], unix.ENODEV) || errs[1] != nil {
		t.Fatalf("%v", errs)
	}
	if f.limit(0) != low || f.limit(1) != high { // which has the same rate as before
		t.Errorf("pod %v, box %v", f.limit(0), f.limit(1))
	}
}

// liar says that the pod is gone when its quota is to grow.
type liar struct{ *faulty }

func (l *liar) Write(s Step) error {
	if s.Node == 0 && s.File == Quota && s.To.Quota > 60_000 {
		return unix.ENODEV
	}
	return l.faulty.Write(s)
}
