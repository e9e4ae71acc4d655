package cgroup

import (
	"slices"
	"testing"
)

func TestCPUList(t *testing.T) {
	for s, want := range map[string][]int{
		"": nil, "0": {0}, "0-1": {0, 1}, "0,2,4,6": {0, 2, 4, 6}, "0-2,7": {0, 1, 2, 7}, "7,0-2,1": {0, 1, 2, 7}, "3\n": {3},
	} {
		got, err := ParseCPUList(s)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"a", "-1", "1-", "3-1", "0,,1", "0-4294967295", "1.5"} {
		if got, err := ParseCPUList(s); err == nil {
			t.Errorf("%q: %v", s, got)
		}
	}
	for want, cpus := range map[string][]int{"": nil, "1": {1}, "0-1": {0, 1}, "0,2,4": {0, 2, 4}, "0-2,7-8": {0, 1, 2, 7, 8}} {
		if got := FormatCPUList(cpus); got != want {
			t.Errorf("%v: %q", cpus, got)
		}
	}
}

func FuzzCPUList(f *testing.F) {
	f.Add("0-2,7")
	f.Fuzz(func(t *testing.T, s string) {
		cpus, err := ParseCPUList(s)
		if err != nil {
			return
		}
		again, err := ParseCPUList(FormatCPUList(cpus))
		if err != nil || !slices.Equal(again, cpus) {
			t.Errorf("%q: %v, then %v, %v", s, cpus, again, err)
		}
	})
}
