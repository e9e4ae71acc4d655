package shape

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Rate is a speed in bits a second, written as tc does: "10Gbit", "500Mbit".
type Rate uint64

var rateUnits = []struct {
	name string
	size float64
}{{"tbit", 1e12}, {"gbit", 1e9}, {"mbit", 1e6}, {"kbit", 1e3}, {"bit", 1}}

// maxRate is far above what any interface has, and small enough that no
// product with a packet's nanoseconds overflows.
const maxRate = 100e12

// ParseRate reads digits, perhaps a fraction, and a unit: bit, kbit, Mbit, Gbit
// or Tbit, decimal and in any case. At least 1 Mbit.
func ParseRate(s string) (Rate, error) {
	low := strings.ToLower(strings.TrimSpace(s))
	for _, u := range rateUnits {
		num, ok := strings.CutSuffix(low, u.name)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(num, 64)
		if err != nil || strings.Trim(num, "0123456789.") != "" {
			break
		}
		if v *= u.size; v < 1e6 || v > maxRate {
			return 0, fmt.Errorf("the rate %s is not between 1Mbit and 100Tbit", s)
		}
		return Rate(math.Round(v)), nil
	}
	return 0, fmt.Errorf("wants a rate such as \"500Mbit\" or \"10Gbit\", got %q", s)
}

// String writes r exactly, in the largest unit that gives no long fraction.
func (r Rate) String() string {
	for i, name := range []string{"Tbit", "Gbit", "Mbit", "kbit"} {
		if size := rateUnits[i].size; float64(r) >= size && uint64(r)%uint64(size/1000) == 0 {
			return strconv.FormatFloat(float64(r)/size, 'f', -1, 64) + name
		}
	}
	return strconv.FormatUint(uint64(r), 10) + "bit"
}

// MarshalText writes r as String does, and 0, which is no rate, as "".
func (r Rate) MarshalText() ([]byte, error) {
	if r == 0 {
		return nil, nil
	}
	return []byte(r.String()), nil
}

// UnmarshalText is ParseRate; "" is 0.
func (r *Rate) UnmarshalText(b []byte) (err error) {
	*r = 0
	if len(b) > 0 {
		*r, err = ParseRate(string(b))
	}
	return err
}

// bytes gives r as bytes a second.
func (r Rate) bytes() uint64 { return uint64(r) / 8 }

// time is how long bytes take at r, nothing at no rate.
func (r Rate) time(bytes int) time.Duration {
	if r == 0 {
		return 0
	}
	return time.Duration(float64(bytes) * 8 / float64(r) * 1e9)
}

// of gives a share of r.
func (r Rate) of(share float64) Rate { return Rate(math.Round(float64(r) * share)) }
