package rng

import (
	"fmt"
	"math"
)

const (
	// window is how many samples the adaptive proportion test looks at: SP 800-90B has
	// 512 for samples of more than a bit.
	window = 512
	// falseAlarm is, as a power of 2, how often a source that has just the entropy it is
	// taken to have fails.
	falseAlarm = -20
	// startup is how many samples are tested before the first is used: GM/T 0105, 5.5.
	startup = 1024
)

// The names of the tests.
const (
	repetitionTest = "repetition count"
	proportionTest = "adaptive proportion"
)

// HealthError says which test of the source failed.
type HealthError struct {
	Test string // "repetition count" or "adaptive proportion"
	Seen int    // equal samples, in a row or in a window
	Most int    // from which on it fails
}

func (e *HealthError) Error() string {
	return fmt.Sprintf("health of the entropy source: %s test: %d equal samples, %d are too many", e.Test, e.Seen, e.Most)
}

// Cutoffs are the numbers of equal samples from which on a source is not taken to be
// sound, of one that has so many bits of entropy, more than 0 and 8 at most, in each byte.
func Cutoffs(entropy float64) (repetition, proportion int) { return cutoffs(entropy, falseAlarm) }

func cutoffs(entropy, alarm float64) (repetition, proportion int) {
	repetition = 1 + int(math.Ceil(-alarm/entropy))
	// One more than the least number that a binomial variable exceeds less often than
	// alarm.
	p := math.Exp2(-entropy)
	over := 0.0
	for k := window; k >= 0; k-- {
		a, _ := math.Lgamma(window + 1)
		b, _ := math.Lgamma(float64(k + 1))
		c, _ := math.Lgamma(float64(window - k + 1))
		over += math.Exp(a - b - c + float64(k)*math.Log(p) + float64(window-k)*math.Log1p(-p))
		if over > math.Exp2(alarm) {
			return repetition, min(k+1, window)
		}
	}
	return repetition, 1
}

// health tests a sequence of samples, a byte each.
type health struct {
	repetition, proportion int // cutoffs

	last    byte
	run     int // of last
	first   byte
	seen    int // of first in this window
	samples int // in this window
}

func newHealth(entropy float64) health {
	r, p := Cutoffs(entropy)
	return health{repetition: r, proportion: p}
}

// test takes the next samples.
func (h *health) test(samples []byte) error {
	for _, s := range samples {
		if s != h.last || h.run == 0 {
			h.last, h.run = s, 0
		}
		if h.run++; h.run >= h.repetition {
			return &HealthError{repetitionTest, h.run, h.repetition}
		}
		if h.samples == 0 {
			h.first, h.seen = s, 0
		}
		if s == h.first {
			if h.seen++; h.seen >= h.proportion {
				return &HealthError{proportionTest, h.seen, h.proportion}
			}
		}
		if h.samples++; h.samples == window {
			h.samples = 0
		}
	}
	return nil
}
