package gmt0005

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"sync"
)

// The levels of significance of clause 6: of a sample, and of the spread over samples.
const (
	Alpha  = 0.01
	AlphaT = 0.0001
)

// bins are the intervals of Q-values that are counted.
const bins = 10

// Need is how many of s samples have to pass (6.2): s (1 - α - 3 √(α (1-α) / s)) or more.
func Need(s int) int {
	n := float64(s)
	return max(0, int(math.Ceil(n*(1-Alpha-3*math.Sqrt(Alpha*(1-Alpha)/n)))))
}

// Uniformity is how probable it is that Q-values of a perfect source are spread as
// unevenly or more so (6.3). It says little of fewer than 55, and nothing of one.
func Uniformity(q []float64) float64 {
	var count [bins]int
	for _, v := range q {
		count[min(max(int(v*bins), 0), bins-1)]++
	}
	each := make([]float64, bins)
	for i := range each {
		each[i] = 1.0 / bins
	}
	if len(q) == 0 {
		return 1
	}
	return chi(fit(count[:], each), bins-1).P
}

// Line is one value of one test over all samples.
type Line struct {
	Test       string    `json:"test"`
	Param      string    `json:"param,omitempty"`
	Part       string    `json:"part,omitempty"`
	P          []float64 `json:"p"` // by sample
	Q          []float64 `json:"q"`
	Passed     int       `json:"passed"`     // samples
	Uniformity float64   `json:"uniformity"` // of Q
	OK         bool      `json:"ok"`
}

// Report is what the tests say of a source.
type Report struct {
	Bits    int    `json:"bits"` // of a sample
	Samples int    `json:"samples"`
	Need    int    `json:"need"` // samples that must pass each line
	Lines   []Line `json:"lines"`
	OK      bool   `json:"ok"`
	// Chance is, at the most, how probable it is that a perfect source is refused.
	Chance float64 `json:"chance"`
}

// Options of Run; Samples must be given.
type Options struct {
	Samples  int
	Bits     int            // of a sample; Medium if 0
	Workers  int            // as many as GOMAXPROCS if 0, but one for Long, of which each takes 850 MB
	Progress func(done int) // if not nil, called when samples are done, by one goroutine at a time
}

// Run takes samples from a source one after the other, tests them side by side and
// judges. It holds Workers samples at a time. The error is of the source, which must not
// end before, or of the context.
func Run(ctx context.Context, source io.Reader, o Options) (*Report, error) {
	if o.Bits == 0 {
		o.Bits = Medium
	}
	tests, err := Tests(o.Bits)
	if err != nil {
		return nil, err
	}
	if o.Samples < 1 {
		return nil, fmt.Errorf("%d samples: want 1 or more", o.Samples)
	}
	values := make([][]Value, o.Samples)
	if err := each(ctx, source, o, func(i int, s *Bits) { values[i] = all(tests, s) }); err != nil {
		return nil, err
	}
	return judge(tests, values, o.Bits), nil
}

func all(tests []Test, s *Bits) (v []Value) {
	for _, t := range tests {
		v = append(v, t.run(s)...)
	}
	return v
}

// each calls f for each sample.
func each(ctx context.Context, source io.Reader, o Options, f func(int, *Bits)) error {
	workers := o.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
		if o.Bits >= Long {
			workers = 1
		}
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	free := make(chan []byte, workers)
	for range min(workers, o.Samples) {
		free <- make([]byte, o.Bits/8)
	}
	defer wg.Wait()
	for i := range o.Samples {
		var b []byte
		select {
		case <-ctx.Done():
			return ctx.Err()
		case b = <-free:
		}
		if _, err := io.ReadFull(source, b); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("read sample %d of %d: the source ends; a sample takes %d bytes", i+1, o.Samples, len(b))
			}
			return fmt.Errorf("read sample %d of %d: %w", i+1, o.Samples, err)
		}
		wg.Go(func() {
			f(i, NewBits(b, o.Bits))
			free <- b
			mu.Lock()
			defer mu.Unlock()
			done++
			if o.Progress != nil {
				o.Progress(done)
			}
		})
	}
	return nil
}

// judge is clause 6.
func judge(tests []Test, values [][]Value, bits int) *Report {
	r := &Report{Bits: bits, Samples: len(values), Need: Need(len(values)), OK: true}
	at := 0
	for _, t := range tests {
		for part := range t.lines() {
			l := Line{Test: t.Name, Param: t.Param}
			if t.Parts != nil {
				l.Part = t.Parts[part]
			}
			for _, v := range values {
				l.P, l.Q = append(l.P, v[at].P), append(l.Q, v[at].Q)
				if v[at].P >= Alpha {
					l.Passed++
				}
			}
			at++
			l.Uniformity = Uniformity(l.Q)
			l.OK = l.Passed >= r.Need && l.Uniformity >= AlphaT
			r.OK = r.OK && l.OK
			r.Lines = append(r.Lines, l)
		}
	}
	r.Chance = chance(r.Samples, r.Need, len(r.Lines))
	return r
}

// chance is how probable it is that one of so many lines, if they were independent, has
// fewer than need of s samples pass though the source is perfect, or is not even.
func chance(s, need, lines int) float64 {
	fine := 0.0
	for failed := range s - need + 1 {
		fine += math.Exp(choose(s, failed) + float64(failed)*math.Log(Alpha) + float64(s-failed)*math.Log1p(-Alpha))
	}
	return 1 - math.Pow(min(1, fine)*(1-AlphaT), float64(lines))
}

// choose is the logarithm of the number of ways to take k of n.
func choose(n, k int) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return a - b - c
}
