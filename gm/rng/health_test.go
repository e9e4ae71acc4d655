package rng

import (
	"errors"
	"math/rand/v2"
	"testing"
)

func TestCutoffs(t *testing.T) {
	for _, c := range []struct {
		entropy, alarm         float64
		repetition, proportion int
	}{
		{0.5, -20, 41, 410}, // as in FIPS 140-3 entropy sources of one half bit
		{1, -20, 21, 0}, {8, -20, 4, 0}, {4, -20, 6, 0},
		{1, -30, 31, 325}, {1. / 2, -30, 61, 422}, {1. / 4, -30, 121, 477}, {1. / 6, -30, 181, 494}, // jitterentropy's table
	} {
		r, p := cutoffs(c.entropy, c.alarm)
		if r != c.repetition || c.proportion != 0 && p != c.proportion {
			t.Errorf("%v bits, 2^%v: %d, %d, want %d, %d", c.entropy, c.alarm, r, p, c.repetition, c.proportion)
		}
	}
}

func TestHealth(t *testing.T) {
	h := newHealth(1)
	if err := h.test(some(seeded(3), 1<<20)); err != nil {
		t.Errorf("sound samples: %v", err)
	}
	for _, c := range []struct {
		name string
		make func(i int, r *rand.Rand) byte
		test string
	}{
		{"stuck", func(int, *rand.Rand) byte { return 7 }, repetitionTest},
		{"stuck at last", func(i int, r *rand.Rand) byte {
			if i > 3000 {
				return 0
			}
			return byte(r.Uint32())
		}, repetitionTest},
		{"biased", func(_ int, r *rand.Rand) byte {
			if r.IntN(100) < 70 {
				return 9
			}
			return byte(r.Uint32())
		}, proportionTest},
		{"two in turn, one of them more often", func(i int, _ *rand.Rand) byte { return byte(i % 4 / 3) }, proportionTest},
	} {
		// In pieces of any size.
		h, r := newHealth(1), rand.New(seeded(4))
		var err error
		for i := 0; i < 8192 && err == nil; {
			b := make([]byte, 1+r.IntN(300))
			for j := range b {
				b[j] = c.make(i, r)
				i++
			}
			err = h.test(b)
		}
		var e *HealthError
		if !errors.As(err, &e) || e.Test != c.test || e.Seen != e.Most {
			t.Errorf("%s: %v, want the %s test to fail", c.name, err, c.test)
		}
	}
}
