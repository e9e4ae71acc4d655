package impl

import "github.com/klauspost/cpuid/v2"

var names = []string{"generic", "avx2", "gfni", "avx512"}

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
