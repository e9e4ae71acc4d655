package cfs

import (
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"testing"
)

var allRules = map[string]Rules{
	"v1": {}, "v2": {Unified: true}, "v1 without burst": {NoBurst: true}, "v2 without burst": {Unified: true, NoBurst: true},
	"v1 deep": {Deep: true}, "v2 deep": {Unified: true, Deep: true},
}

// faster compares quota/period exactly.
func faster(a, b Limit) bool {
	if !a.Limited() || !b.Limited() {
		return b.Limited()
	}
	ah, al := bits.Mul64(uint64(a.Quota), uint64(b.Period))
	bh, bl := bits.Mul64(uint64(b.Quota), uint64(a.Period))
	return ah > bh || ah == bh && al > bl
}

// through gives the ratio and the depth that a group has of what it and the
// groups above it have.
func through(nodes []Node, of []Limit, i int) (ratio, depth int64) {
	ratio, depth = infinite, infinite
	for ; i >= 0; i = nodes[i].Parent {
		ratio, depth = min(ratio, of[i].Ratio()), min(depth, of[i].Depth())
	}
	return ratio, depth
}

// check fails the test for a state that is above the plan of some group.
func check(t *testing.T, nodes []Node, is []Limit) {
	t.Helper()
	old, end := nowOf(nodes), wantOf(nodes)
	for i, l := range is {
		n := nodes[i]
		r0, d0 := through(nodes, old, i)
		r1, d1 := through(nodes, end, i)
		if r, d := through(nodes, is, i); r > max(r0, r1) || d > max(d0, d1) {
			t.Fatalf("%s: with those above it more than at both ends\n%s", n.Name, describe(nodes, is))
		}
		if faster(l, n.Now) && faster(l, n.Want) {
			t.Fatalf("%s: a rate on the way above both ends\n%s", n.Name, describe(nodes, is))
		}
		if l.Depth() > max(n.Now.Depth(), n.Want.Depth()) {
			t.Fatalf("%s: a bank on the way above both ends\n%s", n.Name, describe(nodes, is))
		}
	}
}

func describe(nodes []Node, is []Limit) (out string) {
	for i, n := range nodes {
		out += fmt.Sprintf("  %s below %d: %+v -> %+v, is %+v\n", n.Name, n.Parent, n.Now, n.Want, is[i])
	}
	return out
}

func count() int {
	if testing.Short() {
		return 10_000
	}
	return 100_000
}

// The kernel takes every write of every plan, and no group has more on the way
// than at both ends: neither by its own files nor by what the groups above leave
// it.
func TestOrderOnTheModel(t *testing.T) {
	for name, rules := range allRules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := random{rand.New(rand.NewPCG(1, 2)), rules}
			steps, changed, extra := 0, 0, 0
			for range count() {
				nodes := r.tree()
				plan, err := Order(nodes, rules)
				if err != nil {
					t.Fatalf("%v\n%s", err, describe(nodes, nowOf(nodes)))
				}
				k := r.kernel(nodes)
				for _, s := range plan {
					before := k.limit(s.Node)
					if err := k.write(s); err != nil {
						t.Fatalf("write %+v: %v\n%s", s, err, describe(nodes, k.limits()))
					}
					is := k.limits()
					if is[s.Node] != s.To || before == s.To {
						t.Fatalf("step %+v leads from %+v to %+v", s, before, is[s.Node])
					}
					check(t, nodes, is)
				}
				for i, is := range k.limits() {
					if is != nodes[i].Want {
						t.Fatalf("%s ended at %+v\n%s", nodes[i].Name, is, describe(nodes, k.limits()))
					}
				}
				least := leastWrites(nodes, rules)
				steps, changed, extra = steps+len(plan), changed+least, extra+len(plan)-least
			}
			t.Logf("%d writes for %d files that change, %.1f %% more than one each", steps, changed, 100*float64(extra)/float64(changed))
		})
	}
}

func nowOf(nodes []Node) (out []Limit) {
	for _, n := range nodes {
		out = append(out, n.Now)
	}
	return out
}

func wantOf(nodes []Node) (out []Limit) {
	for _, n := range nodes {
		out = append(out, n.Want)
	}
	return out
}

// leastWrites counts the files that differ.
func leastWrites(nodes []Node, r Rules) (n int) {
	for _, x := range nodes {
		q, p := x.Now.Quota != x.Want.Quota, x.Now.Period != x.Want.Period
		switch {
		case r.Unified && (q || p):
			n++
		case !r.Unified && q && p:
			n += 2
		case q || p:
			n++
		}
		if x.Now.Burst != x.Want.Burst {
			n++
		}
	}
	return n
}

func TestNothingToDo(t *testing.T) {
	r := random{rand.New(rand.NewPCG(3, 4)), Rules{}}
	for range 1000 {
		nodes := r.tree()
		for i := range nodes {
			nodes[i].Want = nodes[i].Now
		}
		if plan, err := Order(nodes, r.rules); err != nil || len(plan) != 0 {
			t.Fatalf("%v %v", plan, err)
		}
	}
}

func TestOrderRefuses(t *testing.T) {
	half, one := Limit{Period: 100_000, Quota: 50_000}, Limit{Period: 100_000, Quota: 100_000}
	above := []Node{{"pod", -1, one, half}, {"box", 0, half, one}}
	var bad *AboveError
	if _, err := Order(above, Rules{}); !errors.As(err, &bad) || bad.Group != "box" || bad.Above != "pod" {
		t.Errorf("%v", err)
	}
	if _, err := Order(above, Rules{Unified: true}); err != nil {
		t.Errorf("v2 refuses no child: %v", err)
	}
	for name, l := range map[string]Limit{
		"short period": {Period: 999, Quota: 1000}, "long period": {Period: 1_000_001, Quota: 1000}, "small quota": {Period: 1000, Quota: 999},
		"deep": {Period: 1000, Quota: 1000, Burst: 1001}, "negative": {Period: 1000, Quota: 1000, Burst: -1}, "overflow": {Period: 1000, Quota: MaxRuntime, Burst: 1},
	} {
		if _, err := Order([]Node{{"g", -1, half, l}}, Rules{}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := Order([]Node{{"g", 0, half, one}}, Rules{}); err == nil {
		t.Error("a node above itself was taken")
	}
}

// A pod and its containers that get longer periods at the same rate: each file
// is written once, and the pod never has less than its containers.
func TestPodWithContainers(t *testing.T) {
	nodes := []Node{
		{"pod", -1, Limit{100_000, 60_000, 0}, Limit{500_000, 300_000, 300_000}},
		{"a", 0, Limit{100_000, 30_000, 0}, Limit{500_000, 150_000, 150_000}},
		{"b", 0, Limit{100_000, 30_000, 0}, Limit{500_000, 150_000, 150_000}},
	}
	plan, err := Order(nodes, Rules{})
	if err != nil || len(plan) != 9 {
		t.Fatalf("%v, %v", plan, err)
	}
	// With a container that keeps its own, the pod cannot pass without it.
	nodes[2].Want = nodes[2].Now
	plan, err = Order(nodes, Rules{})
	if err != nil || len(plan) != 8 {
		t.Fatalf("%v, %v", plan, err)
	}
}

// On cgroup v2 a group is changed by one write, whatever goes up and down in it,
// unless a change of a related one depends on it.
func TestUnifiedChangesAtOnce(t *testing.T) {
	from, to := Limit{500_000, 150_000, 0}, Limit{100_000, 50_000, 0} // more by the second, less at a time
	for _, n := range [][]Node{{{"g", -1, from, to}}, {{"up", -1, from, from}, {"g", 0, from, to}}} {
		if plan, err := Order(n, Rules{Unified: true}); err != nil || len(plan) != 1 {
			t.Errorf("%v, %v", plan, err)
		}
	}
	n := []Node{{"up", -1, to, from}, {"g", 0, from, to}}
	if plan, err := Order(n, Rules{Unified: true}); err != nil || len(plan) != 4 {
		t.Errorf("%v, %v", plan, err)
	}
}
