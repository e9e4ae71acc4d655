package benchfmt

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Target is a condition on a number.
type Target struct {
	Op    string // <, <=, =, >= or >
	Value float64
}

// ParseTarget reads an operator and a number, such as "<=1.25", ">= 0.90" or
// "=0"; ≤ and ≥ are read too.
func ParseTarget(s string) (Target, error) {
	text := strings.NewReplacer("≤", "<=", "≥", ">=").Replace(strings.TrimSpace(s))
	for _, op := range []string{"<=", ">=", "<", ">", "="} {
		rest, ok := strings.CutPrefix(text, op)
		if !ok {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64)
		if err != nil || math.IsNaN(v) || math.IsInf(v, 0) {
			return Target{}, fmt.Errorf("target %q: %q is not a number", s, rest)
		}
		return Target{op, v}, nil
	}
	return Target{}, fmt.Errorf("target %q: want <, <=, =, >= or > and a number", s)
}

// Met says whether v meets the target. NaN meets none.
func (t Target) Met(v float64) bool {
	switch t.Op {
	case "<":
		return v < t.Value
	case "<=":
		return v <= t.Value
	case "=":
		return v == t.Value
	case ">=":
		return v >= t.Value
	case ">":
		return v > t.Value
	}
	return false
}

// String is the form for people.
func (t Target) String() string {
	op := strings.NewReplacer("<=", "≤", ">=", "≥").Replace(t.Op)
	return op + " " + strconv.FormatFloat(t.Value, 'g', -1, 64)
}
