package burst

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mode is off, auto, a budget, or a percentage. The zero value means "as the
// class".
type Mode struct {
	Set    bool
	Auto   bool
	Budget time.Duration
	// Percent is a budget in parts of the quota of DefaultMinPeriod, so that it
	// grows with the limit; 0 without.
	Percent int
}

// MaxPercent is the greatest Mode.Percent.
const MaxPercent = 10_000

// The modes without a budget.
var (
	ModeAuto = Mode{Set: true, Auto: true}
	ModeOff  = Mode{Set: true}
)

// Off says that no burst is wanted.
func (m Mode) Off() bool { return !m.Auto && m.Budget == 0 && m.Percent == 0 }

// Of gives the budget of a workload with a limit of that many CPUs; 0 where it
// is to be learned.
func (m Mode) Of(limit float64) time.Duration {
	if m.Percent == 0 {
		return m.Budget
	}
	return time.Duration(limit * float64(m.Percent) / 100 * float64(DefaultMinPeriod.Duration()))
}

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
		if m.Percent != 0 {
			return strconv.Itoa(m.Percent) + "%"
		}
		return "off"
	}
	return m.Budget.String()
}

// ParseMode reads "off", "auto", a duration, or a percentage such as "200%".
func ParseMode(s string) (Mode, error) {
	switch s {
	case "off":
		return ModeOff, nil
	case "auto":
		return ModeAuto, nil
	}
	if digits, ok := strings.CutSuffix(s, "%"); ok {
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > MaxPercent {
			return Mode{}, fmt.Errorf("burst %q: want a percentage from 1%% to %d%%", s, MaxPercent)
		}
		return Mode{Set: true, Percent: n}, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 || d > MaxBudget {
		return Mode{}, fmt.Errorf("burst %q: want off, auto, the CPU time to bank such as 300ms, or a percentage of the quota such as 200%%, at most %v", s, MaxBudget)
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
