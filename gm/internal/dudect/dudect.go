// Package dudect looks for secrets in execution times, in the manner of Reparaz, Balasch
// and Verbauwhede, "Dude, is my code constant time?" (2017): a function's times of two
// classes of inputs, one of a fixed secret and one of random ones, are put to Welch's
// t-test. It is for tests.
//
// What it takes against the noise of a machine that others use: the classes are
// interleaved at random; a sample is the least of several runs of one input, which has the
// caches and the branch predictor warm and what interrupts a run out; and the test is made
// of all samples and of those below several percentiles, as the paper's is. A function is
// said to leak where the two means differ by more than Share with a |t| over Bound at the
// same percentile, in each of Attempts attempts: a t that is large for a difference which
// is tiny comes of a place in memory or of a clock too, and does not come three times. So
// what it cannot find is a leak of less than 1 % of a call's time.
package dudect

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

// What the verdict goes by.
const (
	Bound    = 10.0
	Share    = 0.01
	Attempts = 3
)

// Inputs is how many inputs a class has. Of the fixed class they are equal, and as many, so
// that they take as much memory as the others.
const Inputs = 64

// The classes.
const (
	Fixed = iota
	Random
)

// Case is a function under test.
type Case struct {
	Name string
	// Load puts an input of a class where Run takes it from.
	Load func(class, input int)
	Run  func()
}

// Constant fails the test if the function leaks.
func Constant(t *testing.T, c Case) {
	t.Helper()
	if all, leaks := c.verdict(); leaks {
		t.Errorf("%s: its time tells the classes apart: %v", c.Name, all)
	} else {
		t.Logf("%s: %v", c.Name, all)
	}
}

// Leaky fails the test if the function does not leak: that the test can fail is tested too.
func Leaky(t *testing.T, c Case) {
	t.Helper()
	if all, leaks := c.verdict(); !leaks {
		t.Errorf("%s: the leak is not found: %v", c.Name, all)
	} else {
		t.Logf("%s: %v", c.Name, all)
	}
}

// verdict makes attempts until one finds nothing.
func (c *Case) verdict() (all []finding, leaks bool) {
	for range Attempts {
		f := c.attempt()
		all = append(all, f)
		if !f.leaks() {
			return all, false
		}
	}
	return all, true
}

// finding is of the percentile that says most.
type finding struct {
	t       float64
	share   float64 // by how much the mean of the random class is more
	samples int
}

func (f finding) leaks() bool { return math.Abs(f.t) > Bound && math.Abs(f.share) > Share }

func (f finding) String() string {
	if math.IsInf(f.t, 0) {
		return fmt.Sprintf("%d samples that have no time in common", f.samples)
	}
	return fmt.Sprintf("t %.1f at %+.2f %% of %d samples", f.t, 100*f.share, f.samples)
}

// An attempt takes so long, and longer until each class has so many samples: a machine that
// is busy gives few. A sample is the least of so many runs.
const (
	attempt = 200 * time.Millisecond
	longest = 2 * time.Second
	enough  = 500
	runs    = 5
)

func (c *Case) attempt() finding {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	calls := c.calls()
	var samples [2][]float64
	for from := time.Now(); ; {
		took := time.Since(from)
		if took > longest || took > attempt && len(samples[Fixed]) >= enough {
			break
		}
		first := rand.IntN(2)
		for _, class := range [...]int{first, 1 - first} {
			samples[class] = append(samples[class], c.sample(class, rand.IntN(Inputs), calls))
		}
	}
	return most(samples[Fixed], samples[Random])
}

// calls is how many calls are timed together: so many that the clock's own time is small.
func (c *Case) calls() int {
	const clock = 2000 // ns
	n := 1
	for n < 1000 && c.sample(Random, 0, n) < clock {
		n *= 2
	}
	return n
}

// sample is in nanoseconds.
func (c *Case) sample(class, input, calls int) float64 {
	c.Load(class, input)
	least := time.Duration(math.MaxInt64)
	for range runs {
		from := time.Now()
		for range calls {
			c.Run()
		}
		least = min(least, time.Since(from))
	}
	return float64(least)
}

// percentiles of all samples above which none is looked at.
var percentiles = []float64{1, 0.99, 0.95, 0.9, 0.75, 0.5}

// most is the finding that leaks, or else the one with the largest t.
func most(fixed, random []float64) (worst finding) {
	pool := slices.Sorted(slices.Values(slices.Concat(fixed, random)))
	for _, p := range percentiles {
		limit := pool[int(p*float64(len(pool)-1))]
		below := func(s []float64) []float64 {
			return slices.DeleteFunc(slices.Clone(s), func(v float64) bool { return v > limit })
		}
		f := welch(below(fixed), below(random))
		if f.leaks() != worst.leaks() {
			if f.leaks() {
				worst = f
			}
		} else if math.Abs(f.t) > math.Abs(worst.t) {
			worst = f
		}
	}
	return worst
}

// welch is the t of two samples.
func welch(a, b []float64) finding {
	ma, va := moments(a)
	mb, vb := moments(b)
	if len(a) < 2 || len(b) < 2 {
		// All that is below is of one class: they have nothing in common.
		return finding{math.Inf(len(b) - len(a)), math.Inf(len(b) - len(a)), len(a) + len(b)}
	}
	share := (mb - ma) / ma
	spread := math.Sqrt(va/float64(len(a)) + vb/float64(len(b)))
	if spread == 0 { // of a clock that is coarse
		spread = math.SmallestNonzeroFloat64
	}
	return finding{(mb - ma) / spread, share, len(a) + len(b)}
}

// moments are the mean and the variance.
func moments(s []float64) (mean, variance float64) {
	for i, v := range s {
		d := v - mean
		mean += d / float64(i+1)
		variance += d * (v - mean)
	}
	return mean, variance / float64(max(len(s)-1, 1))
}
