package benchfmt

import "slices"

// Single makes a result without a peer: the median of its rounds.
func Single(id, what, unit, target string, values []float64) Result {
	return Result{
		ID: id, What: what, Unit: unit, Ours: Median(values), Target: target, Rounds: len(values),
		Spread: Spread{Min: slices.Min(values), Max: slices.Max(values)},
	}
}

// Worst makes one that is judged by its highest round.
func Worst(id, what, unit, target string, values []float64) Result {
	r := Single(id, what, unit, target, values)
	r.Ours = slices.Max(values)
	return r
}

// Pairs makes a result of rounds in each of which ours and the peer's were measured,
// one after the other: the ratio is the median of the rounds' ratios.
func Pairs(id, what, unit, peer, target string, ours, theirs []float64) Result {
	ratios := make([]float64, len(ours))
	for i := range ours {
		ratios[i] = ours[i] / theirs[i]
	}
	return Result{
		ID: id, What: what, Unit: unit, Ours: Median(ours), Peer: Median(theirs), PeerName: peer, Ratio: Median(ratios), Target: target, Rounds: len(ours),
		Spread: Spread{Min: slices.Min(ratios), Max: slices.Max(ratios)},
	}
}

// Median is 0 of none.
func Median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}
