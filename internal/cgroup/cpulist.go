package cgroup

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxCPU is more than any kernel's NR_CPUS; it bounds what a list may unfold to.
const maxCPU = 1 << 16

// ParseCPUList reads the kernel's list format, "0-2,7" (cpuset(7)), into
// ascending numbers without repetition. The empty list is nil.
func ParseCPUList(s string) ([]int, error) {
	var out []int
	if s = strings.TrimSpace(s); s == "" {
		return nil, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(strings.TrimSpace(part), "-")
		if !isRange {
			last = first
		}
		lo, err1 := strconv.ParseUint(first, 10, 31)
		hi, err2 := strconv.ParseUint(last, 10, 31)
		if err1 != nil || err2 != nil || lo > hi || hi >= maxCPU {
			return nil, fmt.Errorf("parse CPU list %q: %q is neither a CPU nor a range of them", s, part)
		}
		for c := lo; c <= hi; c++ {
			out = append(out, int(c))
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// FormatCPUList writes ascending numbers as the kernel shows them.
func FormatCPUList(cpus []int) string {
	var b strings.Builder
	for i := 0; i < len(cpus); {
		j := i
		for j+1 < len(cpus) && cpus[j+1] == cpus[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(cpus[i]))
		if j > i {
			b.WriteString("-" + strconv.Itoa(cpus[j]))
		}
		i = j + 1
	}
	return b.String()
}
