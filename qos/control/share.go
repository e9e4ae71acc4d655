package control

import (
	"cmp"
	"slices"
)

// Claim is one group of best-effort work that shares a cap.
type Claim struct {
	Used    float64 // cores over the last interval
	Limit   float64 // its own limit in cores, +Inf if it has none
	Blocked bool    // it ran into its share in the last interval
}

// growth is how much more than it uses a group that was not blocked is taken to
// want: room to speed up before its share is looked at again.
const growth = 1.5

// Share splits cap cores among claims by max-min fairness: nobody gets more
// than it wants while another is short, and what is left over is spread evenly,
// up to the claims' limits, so that a group that wakes up need not wait for the
// next interval. Each share is at least least. The result has the order of
// claims; the shares sum to cap unless the minimum forces more or all limits
// allow less.
func Share(cap float64, claims []Claim, least float64) []float64 {
	want := make([]float64, len(claims))
	for i, c := range claims {
		want[i] = min(c.Limit, c.Used*growth)
		if c.Blocked {
			want[i] = c.Limit
		}
		want[i] = max(want[i], least)
	}
	out := make([]float64, len(claims))
	left := fill(cap, want, out, least)
	if left > 0 {
		for i, c := range claims {
			want[i] = max(0, c.Limit-out[i])
		}
		fill(left, want, out, 0)
	}
	return out
}

// fill adds to each of out what it wants, the smallest first and nobody more
// than its part of what is left but at least least, and gives the rest.
func fill(left float64, want, out []float64, least float64) float64 {
	order := make([]int, len(want))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(want[a], want[b]) })
	for k, i := range order {
		got := max(least, min(want[i], left/float64(len(order)-k)))
		out[i] += got
		left -= got
	}
	return left
}
