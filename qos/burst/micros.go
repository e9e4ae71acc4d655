package burst

import (
	"math/bits"
	"strconv"
	"time"
)

// Micros is a length of wall or CPU time in microseconds, the unit of cpu.cfs_quota_us and its siblings. It encodes as a JSON number.
type Micros int64

// Unlimited is the quota of a group without a bandwidth limit (-1 in cpu.cfs_quota_us, "max" in cpu.max).
const Unlimited Micros = -1

// MicrosOf converts d, dropping any part below one microsecond.
func MicrosOf(d time.Duration) Micros { return Micros(d / time.Microsecond) }

// Duration converts m, saturating beyond about 292 years.
func (m Micros) Duration() time.Duration {
	const most = Micros(1<<63-1) / 1000
	return time.Duration(max(-most, min(m, most))) * time.Microsecond
}

// String prints m as milliseconds, e.g. "333ms" or "0.25ms".
func (m Micros) String() string {
	return strconv.FormatFloat(float64(m)/1000, 'f', -1, 64) + "ms"
}

// mulDiv returns a*b/c rounded down, through a 128-bit product, saturating at the largest Micros. Arguments must not be negative and c not zero.
func mulDiv(a, b, c Micros) Micros {
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return Micros(min(q, 1<<63-1))
}
