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
	var s splitter
	return s.share(cap, claims, least)
}

// splitter keeps the memory of share from one call to the next.
type splitter struct {
	want, out []float64
	order     []int
}

// share is Share; the result holds until the next call.
func (s *splitter) share(cap float64, claims []Claim, least float64) []float64 {
	s.want, s.out, s.order = s.want[:0], s.out[:0], s.order[:0]
	for i, c := range claims {
		want := min(c.Limit, c.Used*growth)
		if c.Blocked {
			want = c.Limit
		}
		s.want, s.out, s.order = append(s.want, max(want, least)), append(s.out, 0), append(s.order, i)
	}
	left := s.fill(cap, least)
	if left > 0 {
		for i, c := range claims {
			s.want[i] = max(0, c.Limit-s.out[i])
		}
		s.fill(left, 0)
	}
	return s.out
}

// fill adds to each of out what it wants, the smallest first and nobody more
// than its part of what is left but at least least, and gives the rest.
func (s *splitter) fill(left, least float64) float64 {
	slices.Sort(s.order) // ties go by the order of claims
	slices.SortStableFunc(s.order, func(a, b int) int { return cmp.Compare(s.want[a], s.want[b]) })
	for k, i := range s.order {
		got := max(least, min(s.want[i], left/float64(len(s.order)-k)))
		s.out[i] += got
		left -= got
	}
	return left
}
