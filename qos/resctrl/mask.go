package resctrl

import (
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// Mask is a capacity bitmask: one bit for each portion of a cache, which is one
// or more of its ways. The kernel's are 32 bits wide.
type Mask uint32

// ParseMask reads a mask as the kernel prints it, hexadecimal without prefix.
func ParseMask(s string) (Mask, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 16, 32)
	if err != nil {
		return 0, fmt.Errorf("parse cache mask %q: want up to eight hexadecimal digits", clip(s))
	}
	return Mask(n), nil
}

// String gives the form that ParseMask reads.
func (m Mask) String() string { return strconv.FormatUint(uint64(m), 16) }

// Ways counts the bits that are set.
func (m Mask) Ways() int { return bits.OnesCount32(uint32(m)) }

// Contiguous says whether all bits that are set are neighbours, as most caches
// want it.
func (m Mask) Contiguous() bool {
	run := uint64(m) >> bits.TrailingZeros32(uint32(m))
	return m != 0 && run&(run+1) == 0
}

// Run gives the n lowest neighbouring bits of m; where it has no such run the
// longest it has, the lowest of equals.
func (m Mask) Run(n int) Mask {
	var best Mask
	for rest := m; rest != 0; {
		low := bits.TrailingZeros32(uint32(rest))
		size := bits.TrailingZeros32(^(uint32(rest) >> low))
		if size >= n {
			return ones(n) << low
		}
		run := ones(size) << low
		if size > best.Ways() {
			best = run
		}
		rest &^= run
	}
	return best
}

// ones is the mask of the n lowest bits.
func ones(n int) Mask {
	if n >= 32 {
		return ^Mask(0)
	}
	return 1<<max(n, 0) - 1
}

func clip(s string) string { return s[:min(len(s), 40)] }
