package burst

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ErrInvalid is wrapped by every [FieldError].
var ErrInvalid = errors.New("invalid burst setting")

// FieldError says which input is unusable and why.
type FieldError struct {
	Field  string // name as in JSON and YAML, e.g. "limit"
	Value  string // as given
	Reason string
}

// Error implements error.
func (e *FieldError) Error() string { return fmt.Sprintf("%s: %q: %s", e.Field, e.Value, e.Reason) }

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *FieldError) Unwrap() error { return ErrInvalid }

func field(name string, value any, reason string) error {
	return &FieldError{Field: name, Value: fmt.Sprint(value), Reason: reason}
}

const (
	// MaxLimit is the largest limit the planner accepts, in CPUs: the largest CONFIG_NR_CPUS of any Linux architecture.
	MaxLimit = 8192
	// MaxBudget is the largest burst budget and stall the planner accepts.
	MaxBudget = 24 * time.Hour
)

// Spec asks for a plan.
type Spec struct {
	Limit     float64       // r: long-run limit in CPUs, resolved to one nano-CPU
	Burst     time.Duration // b: CPU time wanted in the bucket when it is full; 0 asks for the plain quota
	MaxStall  time.Duration // s: longest acceptable wait of an exhausted group; 0 = no demand
	CPUs      int           // N: CPUs the group can use at once; 0 = unknown, which gives the bounds for any number
	MinPeriod Micros        // shortest period to start from; 0 = 100 ms, the kernel's default
	Limits    Limits        // zero = Mainline
	Parent    *Bandwidth    // the group above, if it has a quota
}

// Validate reports the first unusable field as a *FieldError.
func (s Spec) Validate() error {
	if err := checkLimit(s.Limit); err != nil {
		return err
	}
	if err := checkBudget("burst", s.Burst); err != nil {
		return err
	}
	if err := checkBudget("max_stall", s.MaxStall); err != nil {
		return err
	}
	if s.CPUs < 0 || s.CPUs > MaxLimit {
		return field("cpus", s.CPUs, fmt.Sprintf("must be between 0 and %d", MaxLimit))
	}
	l := s.Limits.orMainline()
	if s.MinPeriod != 0 && (s.MinPeriod < l.MinPeriod || s.MinPeriod > l.MaxPeriod) {
		return field("min_period", s.MinPeriod, fmt.Sprintf("must be between %v and %v", l.MinPeriod, l.MaxPeriod))
	}
	if l.MinPeriod <= 0 || l.MaxPeriod < l.MinPeriod || l.MinQuota <= 0 || l.MaxRuntime < l.MinQuota {
		return field("limits", fmt.Sprintf("%+v", l), "kernel limits must be positive and ordered")
	}
	if s.Parent == nil {
		return nil
	}
	anyBurst := l
	anyBurst.HasBurst, anyBurst.BurstMayExceedQuota = true, true
	if err := anyBurst.Check(*s.Parent); err != nil {
		return fmt.Errorf("parent %w", err)
	}
	return nil
}

func checkLimit(r float64) error {
	switch {
	case math.IsNaN(r) || math.IsInf(r, 0):
		return field("limit", r, "must be a number of CPUs")
	case r <= 0:
		return field("limit", r, "must be above zero CPUs")
	case r > MaxLimit:
		return field("limit", r, fmt.Sprintf("must be at most %d CPUs", MaxLimit))
	}
	return nil
}

func checkBudget(name string, d time.Duration) error {
	if d < 0 {
		return field(name, d, "must not be negative")
	}
	if d > MaxBudget {
		return field(name, d, fmt.Sprintf("must be at most %v", MaxBudget))
	}
	return nil
}

// ParseCPUs reads a limit as an operator writes it: "0.3", "2" or Kubernetes' "300m". The error is a *FieldError for field "limit".
func ParseCPUs(s string) (float64, error) {
	number, scale := strings.TrimSpace(s), 1.0
	if rest, ok := strings.CutSuffix(number, "m"); ok {
		number, scale = rest, 1000
	}
	v, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return 0, field("limit", s, "must be a number of CPUs such as 0.3 or 300m")
	}
	if err := checkLimit(v / scale); err != nil {
		return 0, err
	}
	return v / scale, nil
}

// ParseBudget reads a time such as "150ms" for the named field. A bare number is refused, because its unit would be a guess.
func ParseBudget(name, s string) (time.Duration, error) {
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil {
		return 0, field(name, s, "must be a time with a unit such as 150ms")
	}
	if err := checkBudget(name, d); err != nil {
		return 0, err
	}
	return d, nil
}
