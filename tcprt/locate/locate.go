package locate

import (
	"cmp"
	"slices"
	"strings"
)

// Label is a property of an instance.
type Label struct{ Key, Value string }

// Instance is one of what may be anomalous: a service on a host, a pod, a
// connection.
type Instance struct {
	Labels    []Label
	Anomalous bool
	Weight    float64 // as its requests; 0 counts as 1
}

// Options of Find. The zero value works.
type Options struct {
	// Order has the labels' keys, the most specific first, as pod, service, host,
	// rack. Keys that are not in it are the least specific.
	Order []string
	// Pairs tests two labels together, too: the pods of one service on one host.
	Pairs bool
	// Rate of false discoveries that is allowed: 0.01.
	Rate float64
	// Least is how many anomalous instances a component has: 2. One is not a
	// component but itself.
	Least int
}

// Component is one label, or two together, and what is known of its instances.
type Component struct {
	Labels []Label
	// Inside and Outside count instances in the component and not in it, and how
	// many of each are anomalous.
	Inside, InsideAnomalous, Outside, OutsideAnomalous uint64
	P                                                  float64 // Fisher's
	Q                                                  float64 // with how many were tested
	// Ratio is the share of anomalous instances inside over that outside, +Inf where
	// there are none outside; Purity is the share inside, and Coverage how much of
	// all that is anomalous is inside, both by weight.
	Ratio, Purity, Coverage float64

	members []int
	rank    int // by Options.Order
}

// String is as host=a,service=b.
func (c *Component) String() string {
	var b strings.Builder
	for i, l := range c.Labels {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(l.Key + "=" + l.Value)
	}
	return b.String()
}

// Score is how well the component explains what is anomalous, from 0 to 1.
func (c *Component) Score() float64 {
	if c.Purity+c.Coverage == 0 {
		return 0
	}
	return 2 * c.Purity * c.Coverage / (c.Purity + c.Coverage)
}

// Find gives the components that have more anomalous instances than chance would,
// the best first. There are none where all instances are anomalous, or none is.
func Find(all []Instance, o Options) []Component {
	o = o.defaults()
	total, weight := count(all)
	if total == 0 || total == uint64(len(all)) {
		return nil
	}
	groups := group(all, o)
	found := make([]Component, 0, len(groups))
	for _, c := range groups {
		c.measure(all, total, weight)
		if c.Outside > 0 && c.InsideAnomalous >= uint64(o.Least) {
			found = append(found, *c)
		}
	}
	adjust(found, len(groups))
	found = slices.DeleteFunc(found, func(c Component) bool { return c.Q > o.Rate || c.Ratio <= 1 })
	slices.SortFunc(found, better)
	return distinct(found)
}

func (o Options) defaults() Options {
	if o.Rate == 0 {
		o.Rate = 0.01
	}
	if o.Least == 0 {
		o.Least = 2
	}
	return o
}

func (i *Instance) weight() float64 {
	if i.Weight == 0 {
		return 1
	}
	return i.Weight
}

// count gives how many are anomalous, and their weight.
func count(all []Instance) (n uint64, weight float64) {
	for i := range all {
		if all[i].Anomalous {
			n++
			weight += all[i].weight()
		}
	}
	return n, weight
}

// group finds the components' members. The order is that of first appearance, so
// that the same instances give the same answer.
func group(all []Instance, o Options) []*Component {
	known := map[[2]Label]*Component{}
	var out []*Component
	add := func(key [2]Label, at int, labels ...Label) {
		c := known[key]
		if c == nil {
			c = &Component{Labels: labels, rank: o.rank(labels)}
			known[key] = c
			out = append(out, c)
		}
		if n := len(c.members); n == 0 || c.members[n-1] != at { // a label given twice
			c.members = append(c.members, at)
		}
	}
	for at := range all {
		labels := all[at].Labels
		for i, l := range labels {
			add([2]Label{l}, at, l)
			if !o.Pairs {
				continue
			}
			for _, m := range labels[i+1:] {
				a, b := l, m
				if a.Key > b.Key {
					a, b = b, a
				}
				if a.Key != b.Key {
					add([2]Label{a, b}, at, a, b)
				}
			}
		}
	}
	return out
}

// rank is less for what is more specific: one label before two.
func (o *Options) rank(labels []Label) int {
	best := len(o.Order)
	for _, l := range labels {
		if i := slices.Index(o.Order, l.Key); i >= 0 {
			best = min(best, i)
		}
	}
	return best + (len(labels)-1)*(len(o.Order)+1)
}

func (c *Component) measure(all []Instance, total uint64, weight float64) {
	var in, bad float64
	for _, at := range c.members {
		w := all[at].weight()
		in += w
		if all[at].Anomalous {
			c.InsideAnomalous++
			bad += w
		}
	}
	c.Inside = uint64(len(c.members))
	c.Purity, c.Coverage = bad/in, bad/weight
	c.fill(total, uint64(len(all)))
}

// fill computes what follows from the counts.
func (c *Component) fill(total, all uint64) {
	c.Outside, c.OutsideAnomalous = all-c.Inside, total-c.InsideAnomalous
	a, n, b, m := float64(c.InsideAnomalous), float64(c.Inside), float64(c.OutsideAnomalous), float64(c.Outside)
	c.Ratio = (a / n) / (b / m)
	c.P = Fisher(c.InsideAnomalous, c.Inside-c.InsideAnomalous, c.OutsideAnomalous, c.Outside-c.OutsideAnomalous)
}

// twice is what a component of two labels must explain more than one of one: among
// many pairs one is a little better by chance.
const twice = 0.95

func (c *Component) worth() float64 {
	if len(c.Labels) > 1 {
		return c.Score() * twice
	}
	return c.Score()
}

// better puts first what explains more; of equals what is smaller, or more
// specific.
func better(a, b Component) int {
	return cmp.Or(
		cmp.Compare(b.worth(), a.worth()), cmp.Compare(a.P, b.P), cmp.Compare(a.Inside, b.Inside), cmp.Compare(a.rank, b.rank),
		strings.Compare(a.String(), b.String()),
	)
}

// distinct leaves, of components of the same instances, the first.
func distinct(found []Component) []Component {
	out := found[:0]
	for _, c := range found {
		if !slices.ContainsFunc(out, func(o Component) bool { return slices.Equal(o.members, c.members) }) {
			out = append(out, c)
		}
	}
	return out
}
