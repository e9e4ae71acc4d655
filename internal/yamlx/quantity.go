package yamlx

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Duration is a time.Duration written with its unit, such as "100ms" or
// "1h30m". A bare number other than 0 is refused, a negative one too unless
// the struct field is tagged `negative:"allow"`.
type Duration time.Duration

// Std gives d as the standard library's type.
func (d Duration) Std() time.Duration { return time.Duration(d) }

// String writes d so that ParseDuration gives it back, without trailing zero
// units: "1h", not "1h0m0s".
func (d Duration) String() string {
	s := time.Duration(d).String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// ParseDuration reads a duration with its unit; negative ones are accepted.
func ParseDuration(s string) (Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("wants a duration with its unit, such as \"100ms\", \"5s\" or \"24h\", got %q", s)
	}
	return Duration(d), nil
}

func errNegative(d Duration) error {
	return fmt.Errorf("%v: a negative duration is not allowed here", d)
}

func scalarDuration(n *yaml.Node) (Duration, error) {
	if n.Kind != yaml.ScalarNode {
		return 0, errors.New("wants a duration such as \"100ms\", got " + kindName(n))
	}
	return ParseDuration(n.Value)
}

// MarshalText writes d as String does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads a duration that is not negative.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := ParseDuration(string(b))
	if err == nil && v < 0 {
		err = errNegative(v)
	}
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalYAML reads a duration that is not negative.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return errors.New("wants a duration such as \"100ms\", got " + kindName(n))
	}
	return d.UnmarshalText([]byte(n.Value))
}

// MarshalYAML writes d as String does.
func (d Duration) MarshalYAML() (any, error) { return d.String(), nil }

// Bytes is a number of bytes, written with a binary unit ("256MiB", "64Ki"), a
// decimal one ("1GB", "500k"), or none. It is never negative.
type Bytes int64

var byteUnits = []struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"TB", 1e12}, {"GiB", 1 << 30}, {"GB", 1e9},
	{"MiB", 1 << 20}, {"MB", 1e6}, {"KiB", 1 << 10}, {"kB", 1e3}, {"B", 1},
}

// String writes b exactly, in the largest unit that divides it.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b > 0 && int64(b)%u.size == 0 && u.size > 1 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(b), 10)
}

func byteUnit(s string) (int64, bool) {
	s = strings.ToLower(s)
	if s == "" {
		return 1, true
	}
	for _, u := range byteUnits {
		name := strings.ToLower(u.name)
		// The short forms are Kubernetes' own: Ki, Mi, k, M.
		if s == name || s == strings.TrimSuffix(name, "b") && u.size > 1 {
			return u.size, true
		}
	}
	return 0, false
}

// ParseBytes reads a size: digits, perhaps a fraction, perhaps a unit. What is
// negative, not finite, in exponent form or above 2^63-1 is an error.
func ParseBytes(s string) (Bytes, error) {
	bad := fmt.Errorf("wants a size such as \"256MiB\" or \"1GB\", got %q", s)
	num := strings.TrimRight(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ ")
	size, ok := byteUnit(strings.TrimSpace(s[len(num):]))
	if !ok || len(num) > 40 || strings.Trim(num, "0123456789.") != "" || strings.HasPrefix(num, ".") || strings.HasSuffix(num, ".") {
		return 0, bad
	}
	r, ok := new(big.Rat).SetString(num)
	if !ok {
		return 0, bad
	}
	r.Mul(r, new(big.Rat).SetInt64(size))
	n := new(big.Int).Quo(r.Num(), r.Denom())
	if !n.IsInt64() {
		return 0, fmt.Errorf("the size %s is out of range", s)
	}
	return Bytes(n.Int64()), nil
}

// MarshalText writes b as String does.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText reads a size as ParseBytes does.
func (b *Bytes) UnmarshalText(text []byte) error {
	v, err := ParseBytes(string(text))
	if err != nil {
		return err
	}
	*b = v
	return nil
}

// UnmarshalJSON reads a size from a string or a whole number.
func (b *Bytes) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) != nil {
		s = string(text)
	}
	return b.UnmarshalText([]byte(s))
}

// UnmarshalYAML reads a size from a scalar.
func (b *Bytes) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return errors.New("wants a size such as \"256MiB\", got " + kindName(n))
	}
	return b.UnmarshalText([]byte(n.Value))
}

// MarshalYAML writes b as String does.
func (b Bytes) MarshalYAML() (any, error) { return b.String(), nil }
