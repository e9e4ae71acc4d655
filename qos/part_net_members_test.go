package qos

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/qos/shape"
)

// What fails all the time is one warning, whatever the order in which a map
// gives the workloads.
func TestNetMembersTellTheSame(t *testing.T) {
	now := time.Unix(1000, 0)
	m := &netMembers{groups: map[*group]*netGroup{}}
	for i := range 5 {
		err := fmt.Errorf("workload %d: no", i)
		if i == 0 {
			err = nil
		}
		m.groups[new(group)] = &netGroup{class: shape.LS, next: now.Add(time.Second), err: err}
	}
	first := m.step(now)
	for i := range 4 {
		if first == nil || strings.Count(first.Error(), fmt.Sprintf("workload %d: no", i+1)) != 1 {
			t.Fatalf("it lacks workload %d: %v", i+1, first)
		}
	}
	for range 100 {
		if again := m.step(now); again.Error() != first.Error() {
			t.Fatalf("%q, and then %q", first, again)
		}
	}
}
