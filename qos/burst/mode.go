package burst

import (
	"fmt"
	"time"
)

// Mode is off, auto, or a budget. The zero value means "as the class".
type Mode struct {
	Set    bool
	Auto   bool
	Budget time.Duration
}

// The modes without a budget.
var (
	ModeAuto = Mode{Set: true, Auto: true}
	ModeOff  = Mode{Set: true}
)

// Off says that no burst is wanted.
func (m Mode) Off() bool { return !m.Auto && m.Budget == 0 }

// IsZero says that nothing was set.
func (m Mode) IsZero() bool { return !m.Set }

// String gives the form that ParseMode reads.
func (m Mode) String() string {
	switch {
	case !m.Set:
		return ""
	case m.Auto:
		return "auto"
	case m.Budget == 0:
		return "off"
	}
	return m.Budget.String()
}

// ParseMode reads "off", "auto" or a duration.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "off":
		return ModeOff, nil
	case "auto":
		return ModeAuto, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > MaxBudget {
		return Mode{}, fmt.Errorf("burst %q: want off, auto, or the CPU time to bank such as 300ms, at most %v", s, MaxBudget)
	}
	return Mode{Set: true, Budget: d}, nil
}

// MarshalText gives String.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText is ParseMode.
func (m *Mode) UnmarshalText(b []byte) (err error) {
	*m, err = ParseMode(string(b))
	return err
}
