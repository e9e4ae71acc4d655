package qos

import "testing"

func TestConfinedToTheLastOfItsOwnCPUs(t *testing.T) {
	k := &cpusetKnob{allowed: []int{0, 2, 4, 6}}
	for n, want := range map[int]string{0: "6", 1: "6", 2: "4,6", 3: "2,4,6", 4: "0,2,4,6", 9: "0,2,4,6"} {
		if got := k.confined(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
