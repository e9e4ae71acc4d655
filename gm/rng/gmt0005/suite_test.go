package gmt0005

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// source gives bits one at a time.
type source func(i int) int

func (f source) bits(n int) *Bits {
	b := make([]byte, (n+7)/8)
	for i := range n {
		b[i/8] |= byte(f(i)&1) << (7 - i%8)
	}
	return NewBits(b, n)
}

// seeded is a generator of the test's own, the same in each run.
func seeded(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// shiftRegister is x^n + x^k + 1.
func shiftRegister(n, k int) source {
	s := make([]int, n)
	s[0], s[n/2] = 1, 1
	return func(int) int {
		out := s[0]
		s = append(s[1:], s[0]^s[n-k])
		return out
	}
}

// failed lists the tests that refuse a sample.
func failed(t *testing.T, s *Bits) (names []string) {
	t.Helper()
	tests, err := Tests(s.Len())
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		for _, v := range test.Run(s) {
			if !(v.P >= 0 && v.P <= 1 && v.Q >= 0 && v.Q <= 1) {
				t.Errorf("%s %s: P %v, Q %v", test.Name, test.Param, v.P, v.Q)
			}
			if v.P < 1e-6 {
				names = append(names, strings.TrimSpace(test.Name+" "+test.Param))
			}
		}
	}
	return names
}

// Each test refuses what it is there for; those that the defect does not concern do not.
func TestDefects(t *testing.T) {
	for _, c := range []struct {
		name   string
		make   func() source
		refuse []string
		not    []string // that must not
	}{
		{"biased by 0.3 %", func() source { r := seeded(1); return func(int) int { return b2i(r.Float64() < 0.503) } },
			[]string{"frequency", "serial m=3", "cumulative sums"}, []string{"matrix rank", "linear complexity m=500"}},
		{"blocks all ones and zeroes in turn, a bit", func() source {
			r := seeded(2)
			return func(i int) int { return b2i(r.Float64() < 0.5+0.02*float64(1-i/10_000%2*2)) }
		}, []string{"block frequency m=10000"}, []string{"frequency"}},
		{"sticky bits", func() source {
			r, last := seeded(3), 0
			return func(int) int { last ^= b2i(r.Float64() < 0.49); return last }
		}, []string{"runs", "runs distribution", "serial m=3", "approximate entropy m=2", "autocorrelation d=1", "poker m=8"}, []string{"frequency", "matrix rank"}},
		{"no run longer than 12", func() source {
			r, last, run := seeded(4), 0, 0
			return func(int) int {
				b := r.IntN(2)
				if b == last {
					run++
				} else {
					run = 1
				}
				if run > 12 {
					b, run = 1-b, 1
				}
				last = b
				return b
			}
		}, []string{"longest run m=10000"}, []string{"frequency", "poker m=4"}},
		{"each byte's last bit is the one eight before, now and then", func() source {
			r, past := seeded(5), make([]int, 8)
			return func(i int) int {
				b := r.IntN(2)
				if r.Float64() < 0.02 {
					b = past[i%8]
				}
				past[i%8] = b
				return b
			}
		}, []string{"autocorrelation d=8"}, []string{"frequency", "autocorrelation d=1", "runs"}},
		{"a bit is more often than not the sum of those one and three before", func() source {
			r, past := seeded(6), 0
			return func(int) int {
				b := r.IntN(2)
				if r.Float64() < 0.02 {
					b = (past ^ past>>1 ^ past>>2) & 1 // with itself, all are the third derivation
				}
				past = past<<1 | b
				return b
			}
		}, []string{"binary derivation k=3"}, []string{"frequency", "runs", "autocorrelation d=1"}},
		{"shift register of degree 89", func() source { return shiftRegister(89, 38) },
			[]string{"linear complexity m=500", "linear complexity m=1000"}, []string{"frequency", "runs", "poker m=8"}},
		{"shift register of degree 31", func() source { return shiftRegister(31, 3) }, []string{"matrix rank", "linear complexity m=500"}, []string{"frequency"}},
		{"period of 1,000 bits", func() source {
			r := seeded(9)
			b := make([]int, 1000)
			for i := range b {
				b[i] = r.IntN(2)
			}
			return func(i int) int { return b[i%1000] }
		}, []string{"fourier", "universal", "linear complexity m=1000"}, nil},
		{"a sine on the bits", func() source {
			r := seeded(10)
			return func(i int) int { return b2i(r.Float64() < 0.5+0.4*math.Sin(float64(i)*2*math.Pi/97.3)) }
		}, []string{"runs distribution", "poker m=8"}, []string{"frequency", "linear complexity m=500"}},
		{"pieces of seven bits come again too soon", func() source {
			r, piece := seeded(11), 0
			var last [16]int
			return func(i int) int {
				if i%7 == 0 {
					k := i / 7
					piece = r.IntN(128)
					if r.Float64() < 0.02 {
						piece = last[(k+15)%16]
					}
					last[k%16] = piece
				}
				return piece >> (6 - i%7)
			}
		}, []string{"universal"}, []string{"frequency", "runs", "poker m=8"}},
		{"all zeroes", func() source { return func(int) int { return 0 } },
			[]string{"frequency", "block frequency m=10000", "poker m=4", "poker m=8", "serial m=3", "serial m=5", "runs", "runs distribution", "longest run m=10000",
				"binary derivation k=3", "binary derivation k=7", "autocorrelation d=1", "autocorrelation d=16", "matrix rank", "cumulative sums",
				"approximate entropy m=2", "approximate entropy m=5", "linear complexity m=500", "universal"}, nil},
		{"0101…", func() source { return func(i int) int { return i } },
			[]string{"poker m=4", "serial m=3", "runs", "runs distribution", "longest run m=10000", "binary derivation k=3", "autocorrelation d=1", "matrix rank",
				"approximate entropy m=2", "linear complexity m=500", "universal", "fourier"}, []string{"frequency", "cumulative sums"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := failed(t, c.make().bits(Medium))
			for _, want := range c.refuse {
				if !slices.Contains(got, want) {
					t.Errorf("%s does not refuse it; these do: %q", want, got)
				}
			}
			for _, want := range c.not {
				if slices.Contains(got, want) {
					t.Errorf("%s refuses it", want)
				}
			}
		})
	}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// What is good is accepted, at each length, and the values are spread as they should be.
func TestGood(t *testing.T) {
	for _, c := range []struct{ bits, samples, lines int }{{Short, 200, 22}, {Medium, 20, 27}} {
		r, err := Run(t.Context(), rand.NewChaCha8([32]byte{9}), Options{Samples: c.samples, Bits: c.bits})
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Lines) != c.lines {
			t.Errorf("%d values of %d bits, want %d", len(r.Lines), c.bits, c.lines)
		}
		for _, l := range r.Lines {
			if len(l.P) != c.samples || !l.OK {
				t.Errorf("%d bits: %s %s %s: %d of %d, need %d; spread %v", c.bits, l.Test, l.Param, l.Part, l.Passed, c.samples, r.Need, l.Uniformity)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	// Every sample is by itself fine; all are the same.
	one := make([]byte, Short/8)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(one)
	done := 0
	r, err := Run(t.Context(), bytes.NewReader(bytes.Repeat(one, 50)), Options{Samples: 50, Bits: Short, Progress: func(n int) { done = n }})
	if err != nil {
		t.Fatal(err)
	}
	if r.OK || done != 50 || r.Lines[0].Passed != 50 || r.Lines[0].OK || r.Lines[0].Uniformity > 1e-9 {
		t.Errorf("50 samples that are one: OK %v, %d done, %+v", r.OK, done, r.Lines[0])
	}
	r, err = Run(t.Context(), bytes.NewReader(make([]byte, Short/8)), Options{Samples: 1, Bits: Short})
	if err != nil || r.OK {
		t.Errorf("zeroes: %+v, %v", r, err)
	}
}

func TestRunErrors(t *testing.T) {
	over, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("broken")
	for _, c := range []struct {
		name string
		ctx  context.Context
		in   io.Reader
		o    Options
		want string
	}{
		{"length", t.Context(), nil, Options{Samples: 1, Bits: 12_345}, "samples of 12345 bits: GM/T 0005 has parameters for 20000, 1000000 and 100000000"},
		{"none", t.Context(), nil, Options{}, "0 samples: want 1 or more"},
		{"ends", t.Context(), bytes.NewReader(make([]byte, 2499)), Options{Samples: 1, Bits: Short}, "read sample 1 of 1: the source ends; a sample takes 2500 bytes"},
		{"ends between", t.Context(), bytes.NewReader(make([]byte, 2500)), Options{Samples: 2, Bits: Short}, "read sample 2 of 2: the source ends; a sample takes 2500 bytes"},
		{"fails", t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 9)), readError{broken}), Options{Samples: 1, Bits: Short}, "read sample 1 of 1: broken"},
		{"stopped", over, rand.NewChaCha8([32]byte{}), Options{Samples: 1 << 20, Bits: Short}, "context canceled"},
	} {
		if _, err := Run(c.ctx, c.in, c.o); err == nil || err.Error() != c.want {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

type readError struct{ err error }

func (r readError) Read([]byte) (int, error) { return 0, r.err }

func TestJudgement(t *testing.T) {
	for s, want := range map[int]int{1: 1, 20: 19, 50: 48, 100: 97, 1000: 981} {
		if got := Need(s); got != want {
			t.Errorf("%d samples: %d must pass, want %d", s, got, want)
		}
	}
	// 6.3, by hand: 12 in the first interval, 8 in the last, 10 in each other: V = 0.8.
	var q []float64
	for i := range 100 {
		q = append(q, float64(i/10)/10+0.05)
	}
	q[95], q[96] = 0.01, 0.02
	if got, want := Uniformity(q), igamc(4.5, 0.4); math.Abs(got-want) > 1e-12 {
		t.Errorf("spread %v, want %v", got, want)
	}
	if got := Uniformity([]float64{0, 1}); math.IsNaN(got) || got < AlphaT {
		t.Errorf("spread of the ends: %v", got)
	}
	// One line of 20 samples fails when two samples or more do.
	if got, want := chance(20, 19, 1), 1-(math.Pow(0.99, 20)+20*0.01*math.Pow(0.99, 19))*(1-AlphaT); math.Abs(got-want) > 1e-12 {
		t.Errorf("chance %v, want %v", got, want)
	}
}

func TestPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("9 bits of one byte")
		}
	}()
	NewBits([]byte{1}, 9)
}

func BenchmarkSample(b *testing.B) {
	s := random(1, Medium)
	tests, err := Tests(Medium)
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range tests {
		b.Run(strings.ReplaceAll(fmt.Sprint(t.Name, " ", t.Param), " ", "_"), func(b *testing.B) {
			for b.Loop() {
				t.Run(s)
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		for b.Loop() {
			all(tests, s)
		}
	})
}
