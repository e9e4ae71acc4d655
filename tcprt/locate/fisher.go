package locate

import (
	"cmp"
	"math"
	"slices"
)

// Fisher gives the chance of a or more in the first field of a 2×2 table with the
// margins of
//
//	a  b
//	c  d
//
// by the hypergeometric distribution: the one-sided exact test.
func Fisher(a, b, c, d uint64) float64 {
	t := table{inside: a + b, hits: a + c, all: a + b + c + d}
	switch {
	case a == 0 || a <= t.bottom():
		return 1
	case float64(a) <= float64(t.inside)*float64(t.hits)/float64(t.all):
		return max(0, 1-t.sum(a-1, false))
	}
	return min(1, t.sum(a, true))
}

// table is a 2×2 table's margins.
type table struct{ inside, hits, all uint64 }

// bottom and top are the least and the most that the first field can be.
func (t table) bottom() uint64 { return t.inside + t.hits - min(t.inside+t.hits, t.all) }
func (t table) top() uint64    { return min(t.inside, t.hits) }

// sum adds the chances of k and all over it, or under it, where they only fall.
func (t table) sum(k uint64, up bool) (sum float64) {
	term := math.Exp(choose(t.hits, k) + choose(t.all-t.hits, t.inside-k) - choose(t.all, t.inside))
	for term > sum*1e-15 {
		sum += term
		// The other fields when the first one is k.
		b, c, d := float64(t.inside-k), float64(t.hits-k), float64(t.all-t.hits-t.inside+k)
		switch {
		case up && k < t.top():
			term *= b / float64(k+1) * c / (d + 1)
			k++
		case !up && k > t.bottom():
			term *= float64(k) / (b + 1) * d / (c + 1)
			k--
		default:
			return sum
		}
	}
	return sum
}

// choose is the logarithm of a binomial coefficient.
func choose(n, k uint64) float64 { return factorial(n) - factorial(k) - factorial(n-k) }

func factorial(n uint64) float64 {
	v, _ := math.Lgamma(float64(n) + 1)
	return v
}

// adjust replaces chances by the least rate of false discoveries at which each
// still counts as one.
func adjust(found []Component, tested int) {
	order := make([]*Component, len(found))
	for i := range found {
		order[i] = &found[i]
	}
	slices.SortFunc(order, func(a, b *Component) int { return cmp.Compare(b.P, a.P) })
	least := 1.0
	for i, c := range order {
		rank := len(order) - i
		least = min(least, c.P*float64(tested)/float64(rank))
		c.Q = least
	}
}
