package qos

import (
	"math"
	"testing"
)

func TestCapOfIdleWorkStands(t *testing.T) {
	for _, c := range []struct {
		name      string
		cap, want float64
		used      float64
		short     bool
		stands    bool
	}{
		{"noise", 3.9, 3.5, 0.2, false, true},
		{"noise upwards", 3.5, 3.9, 0.2, false, true},
		{"more than a quarter of the node", 3.9, 2.5, 0.2, false, false},
		{"it uses more than half", 3.9, 3.5, 1.8, false, false},
		{"it ran out of quota", 3.9, 3.5, 0.2, true, false},
		{"the first cap", math.Inf(1), 3.9, 0.2, false, false},
		{"the end of the cap", 3.9, math.Inf(1), 0.2, false, false},
	} {
		e := &Engine{cpus: 4, cap: c.cap, members: []*group{{used: c.used / 2}, {used: c.used / 2, short: c.short}}}
		if got := e.slack(c.want); got != c.stands {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestConfinedToTheLastOfItsOwnCPUs(t *testing.T) {
	k := &cpusetKnob{allowed: []int{0, 2, 4, 6}}
	for n, want := range map[int]string{0: "6", 1: "6", 2: "4,6", 3: "2,4,6", 4: "0,2,4,6", 9: "0,2,4,6"} {
		if got := k.confined(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
