// Package impl chooses among the implementations of an algorithm, the best that the
// processor has first. GM_CPU in the environment, avx512, gfni, avx2 or generic, bounds what
// is taken: to find out whether an implementation is at fault, and to test the others.
package impl

import (
	"fmt"
	"os"
	"slices"

	"github.com/klauspost/cpuid/v2"
)

// Level is of instructions that go together.
type Level int

// The levels, each with those before it.
const (
	Generic Level = iota
	AVX2          // with BMI2, AES and PCLMULQDQ
	GFNI          // with VPCLMULQDQ
	AVX512        // F, BW, DQ, VL, IFMA
)

var names = []string{"generic", "avx2", "gfni", "avx512"}

// String is its name in GM_CPU.
func (l Level) String() string { return names[l] }

// has is the processor's level, as far as the operating system keeps its registers.
var has = func() Level {
	l := Generic
	for _, need := range [][]cpuid.FeatureID{
		AVX2:   {cpuid.AVX2, cpuid.BMI2, cpuid.AESNI, cpuid.CLMUL},
		GFNI:   {cpuid.GFNI, cpuid.VPCLMULQDQ},
		AVX512: {cpuid.AVX512F, cpuid.AVX512BW, cpuid.AVX512DQ, cpuid.AVX512VL, cpuid.AVX512IFMA},
	}[AVX2:] {
		if !cpuid.CPU.Supports(need...) {
			break
		}
		l++
	}
	return l
}()

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
		return AVX512, nil
	}
	if l := slices.Index(names, v); l >= 0 {
		return Level(l), nil
	}
	return AVX512, fmt.Errorf("GM_CPU is %q, want one of %v; it is ignored", v, names)
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
