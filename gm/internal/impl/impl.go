// Package impl chooses among the implementations of an algorithm, the best that the
// processor has first. GM_CPU in the environment, avx512, gfni, avx2 or generic, on other
// processors assembly or generic, bounds what is taken: to find out whether an implementation is at fault, and to test the others.
package impl

import (
	"fmt"
	"os"
	"slices"
)

// Level is of instructions that go together.
type Level int

// The levels, each with those before it: those of amd64, or what there is of another
// processor.
const (
	Generic Level = iota
	AVX2          // with BMI2, AES and PCLMULQDQ
	GFNI          // with VPCLMULQDQ
	AVX512        // F, BW, DQ, VL, IFMA

	Assembly = AVX2
)

// String is its name in GM_CPU.
func (l Level) String() string { return names[l] }

// Available lists the processor's levels, the best first.
func Available() (all []Level) {
	for l := has; l >= Generic; l-- {
		all = append(all, l)
	}
	return all
}

// Limit is the level that GM_CPU allows. The error is of a value that is none, for which
// all is allowed.
func Limit() (Level, error) {
	v := os.Getenv("GM_CPU")
	if v == "" {
		return Level(len(names) - 1), nil
	}
	if l := slices.Index(names, v); l >= 0 {
		return Level(l), nil
	}
	return Level(len(names) - 1), fmt.Errorf("GM_CPU is %q, want one of %v; it is ignored", v, names)
}

// Choose gives the best of the implementations, by level, that the processor and
// GM_CPU allow. There must be one of Generic.
func Choose[T any](of map[Level]T) (T, Level) {
	limit, _ := Limit()
	for _, l := range Available() {
		if t, ok := of[l]; ok && l <= limit {
			return t, l
		}
	}
	return of[Generic], Generic
}
