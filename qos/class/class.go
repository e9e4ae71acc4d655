// Package class names the QoS classes of workloads. They are Koordinator's,
// so that labels in use today keep their meaning.
package class

import (
	"fmt"
	"strings"
)

// Class is a workload's QoS class. The zero value is None.
type Class uint8

// Classes, from the one that others yield to, to the one that yields.
const (
	None   Class = iota // not classed: left alone, its use counted
	LSE                 // latency-sensitive, exclusive CPUs
	LSR                 // latency-sensitive, reserved CPUs
	LS                  // latency-sensitive
	BE                  // best effort: gets what the others leave
	System              // the node's own services
	Count               // how many there are
)

var names = [Count]string{"NONE", "LSE", "LSR", "LS", "BE", "SYSTEM"}

// String gives the class's name in capitals.
func (c Class) String() string {
	if c < Count {
		return names[c]
	}
	return fmt.Sprintf("Class(%d)", uint8(c))
}

// Sensitive says whether the class is one of those that best-effort work must
// not disturb.
func (c Class) Sensitive() bool { return c == LSE || c == LSR || c == LS }

// Parse reads a class's name in any case.
func Parse(s string) (Class, error) {
	for c, n := range names {
		if strings.EqualFold(s, n) {
			return Class(c), nil
		}
	}
	return None, fmt.Errorf("class %q: want one of LSE, LSR, LS, BE, SYSTEM, NONE", s)
}

// MarshalText gives the name.
func (c Class) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// UnmarshalText is Parse.
func (c *Class) UnmarshalText(b []byte) (err error) {
	*c, err = Parse(string(b))
	return err
}

// All lists the classes, in the order in which they are shown.
func All() []Class { return []Class{LSE, LSR, LS, None, BE, System} }
