package control

import "slices"

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
// than it can use while another is short, and what is left over is spread
// evenly so that a group that wakes up need not wait for the next interval.
// Each share is at least least. The result has the order of claims; the shares
// sum to cap unless the minimum forces more.
func Share(cap float64, claims []Claim, least float64) []float64 {
	out := make([]float64, len(claims))
	order := make([]int, len(claims))
	want := make([]float64, len(claims))
	for i, c := range claims {
		order[i] = i
		want[i] = min(c.Limit, max(c.Used*growth, least))
		if c.Blocked {
			want[i] = c.Limit
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case want[a] < want[b]:
			return -1
		case want[a] > want[b]:
			return 1
		}
		return 0
	})
	left := cap
	for k, i := range order {
		fair := left / float64(len(order)-k)
		out[i] = max(least, min(want[i], fair))
		left -= out[i]
	}
	if left > 0 && len(out) > 0 {
		spare := left / float64(len(out))
		for i := range out {
			out[i] += spare
		}
	}
	return out
}
