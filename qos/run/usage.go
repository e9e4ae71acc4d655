package run

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/anole-os/anole/internal/cgroup"
)

// usage reads what the workload used, before its cgroups go. What cannot be
// read stays 0.
func (s *site) usage() Usage {
	var u Usage
	var st cgroup.CPUStat
	if b, err := os.ReadFile(filepath.Join(s.dir("cpu"), "cpu.stat")); err == nil && cgroup.ParseCPUStat(b, &st) == nil {
		u.CPU, u.Throttled = st.Usage, st.ThrottledTime
	}
	if n, ok := number(s.dir("cpuacct"), "cpuacct.usage"); ok {
		u.CPU = time.Duration(min(n, math.MaxInt64))
	}
	events := "memory.oom_control"
	n, ok := number(s.dir("memory"), "memory.max_usage_in_bytes")
	if v, _ := s.tree.Version("memory"); v == cgroup.V2 {
		n, ok = number(s.dir("memory"), "memory.peak") // Linux 5.19
		events = "memory.events"
	}
	if ok {
		u.MaxMemory = int64(min(n, math.MaxInt64))
	}
	if b, err := os.ReadFile(filepath.Join(s.dir("memory"), events)); err == nil {
		u.OOMKills = keyed(b, "oom_kill")
	}
	return u
}

func number(dir, file string) (uint64, bool) {
	if dir == "" {
		return 0, false
	}
	b, err := os.ReadFile(filepath.Join(dir, file))
	if err != nil {
		return 0, false
	}
	n, err := cgroup.Uint(b)
	return n, err == nil
}

// keyed finds the number after a key in a file of "key number" lines.
func keyed(b []byte, key string) uint64 {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 2 && string(f[0]) == key {
			n, _ := strconv.ParseUint(string(f[1]), 10, 64)
			return n
		}
	}
	return 0
}
