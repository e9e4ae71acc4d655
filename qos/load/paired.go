package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// PairedOptions tune Paired.
type PairedOptions struct {
	Confidence float64 `json:"confidence,omitempty"` // 0.95 when zero
	Resamples  int     `json:"resamples,omitempty"`  // 4000 when zero
	Seed       uint64  `json:"seed"`
}

// Comparison is the outcome of rounds in which both sides were measured one
// right after the other.
type Comparison struct {
	Rounds int `json:"rounds"`
	// Ratios are ours/peer of each round, in order.
	Ratios []float64 `json:"ratios"`
	// Ratio is their median, Min and Max their spread.
	Ratio float64 `json:"ratio"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
	// Low and High bound the median by bootstrap (percentile method, Efron
	// 1979). With few rounds they are hardly narrower than Min and Max.
	Low        float64 `json:"ci_low"`
	High       float64 `json:"ci_high"`
	Confidence float64 `json:"confidence"`
	// Ours and Peer are the medians of each side alone.
	Ours float64 `json:"ours"`
	Peer float64 `json:"peer"`
}

// Paired compares interleaved rounds: ours[i] and peer[i] come from the same
// round, so that a drift of the node cancels out in their ratio. All values
// must be finite and above zero.
func Paired(ours, peer []float64, o PairedOptions) (Comparison, error) {
	if len(ours) == 0 || len(ours) != len(peer) {
		return Comparison{}, fmt.Errorf("compare: %d rounds of ours, %d of the peer", len(ours), len(peer))
	}
	if o.Confidence == 0 {
		o.Confidence = 0.95
	}
	if o.Resamples == 0 {
		o.Resamples = 4000
	}
	if !(o.Confidence > 0 && o.Confidence < 1) || o.Resamples < 1 {
		return Comparison{}, fmt.Errorf("compare: confidence %v or %d resamples is out of range", o.Confidence, o.Resamples)
	}
	c := Comparison{Rounds: len(ours), Confidence: o.Confidence, Ours: Median(ours), Peer: Median(peer)}
	for i := range ours {
		r := ours[i] / peer[i]
		if !(ours[i] > 0 && peer[i] > 0) || math.IsInf(ours[i], 0) || math.IsInf(peer[i], 0) {
			return Comparison{}, fmt.Errorf("compare: round %d has %v and %v", i, ours[i], peer[i])
		}
		c.Ratios = append(c.Ratios, r)
	}
	c.Ratio, c.Min, c.Max = Median(c.Ratios), slices.Min(c.Ratios), slices.Max(c.Ratios)
	c.Low, c.High = bootstrap(c.Ratios, o)
	return c, nil
}

func bootstrap(v []float64, o PairedOptions) (low, high float64) {
	rng := rand.New(rand.NewPCG(o.Seed, 0x626f6f74))
	medians, pick := make([]float64, o.Resamples), make([]float64, len(v))
	for i := range medians {
		for j := range pick {
			pick[j] = v[rng.IntN(len(v))]
		}
		medians[i] = Median(pick)
	}
	slices.Sort(medians)
	tail := (1 - o.Confidence) / 2
	at := func(q float64) float64 { return medians[int(math.Round(q*float64(len(medians)-1)))] }
	return at(tail), at(1 - tail)
}

// Median of v, which is left as it is; NaN when v is empty.
func Median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	if n == 0 {
		return math.NaN()
	}
	return s[(n-1)/2]/2 + s[n/2]/2
}

// Interleave returns the order of n variants in each of the rounds: a seeded
// shuffle per round, so that no variant always runs first or after the same
// other.
func Interleave(rounds, n int, seed uint64) [][]int {
	rng := rand.New(rand.NewPCG(seed, 0x726f756e64))
	order := make([][]int, max(rounds, 0))
	for i := range order {
		order[i] = rng.Perm(max(n, 0))
	}
	return order
}
