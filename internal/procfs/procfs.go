// Package procfs reads the few files of /proc that the agent needs, without
// allocating where it reads them often.
package procfs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// StartTime gives the time process or thread pid started, in clock ticks since
// boot: field 22 of /proc/pid/stat, proc_pid_stat(5).
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	return parseStartTime(b)
}

// parseStartTime counts fields from the last ')': the command's name before it
// may hold spaces and brackets.
func parseStartTime(b []byte) (uint64, error) {
	i := bytes.LastIndexByte(b, ')')
	f := bytes.Fields(b[i+1:])
	if i < 0 || len(f) < 20 {
		return 0, fmt.Errorf("parse /proc stat: too few fields")
	}
	return strconv.ParseUint(string(f[19]), 10, 64)
}

// Exe gives the path of the program that process pid runs, without the mark
// of a deleted file.
func Exe(root string, pid int) (string, error) {
	s, err := os.Readlink(root + "/proc/" + strconv.Itoa(pid) + "/exe")
	return strings.TrimSuffix(s, " (deleted)"), err
}

// Comm gives the command name of process pid.
func Comm(root string, pid int) string {
	b, _ := os.ReadFile(root + "/proc/" + strconv.Itoa(pid) + "/comm")
	return string(bytes.TrimSpace(b))
}

// UnifiedCgroup gives the path of process pid in the cgroup2 hierarchy: the
// line "0::" of /proc/pid/cgroup, cgroups(7).
func UnifiedCgroup(root string, pid int) (string, error) {
	b, err := os.ReadFile(root + "/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", err
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(bytes.TrimRight(line, "\n"), []byte("0::")); ok {
			return string(rest), nil
		}
	}
	return "", fmt.Errorf("find cgroup2 path of process %d: no line \"0::\"", pid)
}
