// Package procfs reads the few files of /proc that the agent needs, without
// allocating where it reads them often.
package procfs

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
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

// UnifiedCgroup gives the path of process pid in the cgroup2 hierarchy: the
// line "0::" of /proc/pid/cgroup, cgroups(7).
func UnifiedCgroup(root string, pid int) (string, error) {
	path, ok, err := cgroupOf(root, pid, func(id, _ string) bool { return id == "0" })
	if err == nil && !ok {
		err = fmt.Errorf("find cgroup2 path of process %d: no line \"0::\"", pid)
	}
	return path, err
}

// ControllerCgroup gives the path of process pid in the cgroup v1 hierarchy of a
// controller: of the line "5:net_cls,net_prio:/path", cgroups(7).
func ControllerCgroup(root string, pid int, controller string) (string, error) {
	path, ok, err := cgroupOf(root, pid, func(_, controllers string) bool {
		return slices.Contains(strings.Split(controllers, ","), controller)
	})
	if err == nil && !ok {
		err = fmt.Errorf("find %s cgroup of process %d: no such hierarchy", controller, pid)
	}
	return path, err
}

func cgroupOf(root string, pid int, in func(id, controllers string) bool) (string, bool, error) {
	b, err := os.ReadFile(root + "/proc/" + strconv.Itoa(pid) + "/cgroup")
	if err != nil {
		return "", false, err
	}
	path, ok := cgroupPath(b, in)
	return path, ok, nil
}

// cgroupPath gives the path of the first hierarchy that is meant. A path may have
// colons.
func cgroupPath(b []byte, in func(id, controllers string) bool) (string, bool) {
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(f) == 3 && in(f[0], f[1]) {
			return f[2], true
		}
	}
	return "", false
}

// CPUTime gives the CPU time that all threads of process pid used, ended ones
// included: utime and stime of /proc/pid/stat, in steps of 10 ms.
func CPUTime(pid int) (time.Duration, error) {
	return cpuTime("/proc/" + strconv.Itoa(pid) + "/stat")
}

// ThreadTime is CPUTime for the one thread tid.
func ThreadTime(tid int) (time.Duration, error) {
	id := strconv.Itoa(tid) // /proc/tid/stat would count its whole process
	return cpuTime("/proc/" + id + "/task/" + id + "/stat")
}

func cpuTime(path string) (time.Duration, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 {
		return 0, fmt.Errorf("parse /proc stat: too few fields")
	}
	user, err := strconv.ParseUint(string(f[11]), 10, 48)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseUint(string(f[12]), 10, 48)
	return time.Duration(user+system) * tick, err
}

// RSS gives the resident memory of process pid in bytes: the second field of
// /proc/pid/statm.
func RSS(pid int) (int64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/statm")
	if err != nil {
		return 0, err
	}
	f := bytes.Fields(b)
	if len(f) < 2 {
		return 0, fmt.Errorf("parse /proc statm: too few fields")
	}
	pages, err := strconv.ParseInt(string(f[1]), 10, 40)
	return pages * int64(os.Getpagesize()), err
}

// AllThreads lists the ids of all threads of the node. What ends meanwhile is
// left out.
func AllThreads(root string) ([]int, error) {
	procs, err := ids(root + "/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var out []int
	for _, pid := range procs {
		tids, err := ids(root + "/proc/" + strconv.Itoa(pid) + "/task")
		if err == nil {
			out = append(out, tids...)
		}
	}
	return out, nil
}

// ids lists the entries of a directory that are numbers.
func ids(dir string) ([]int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var out []int
	for _, n := range names {
		if id, err := strconv.Atoi(n); err == nil {
			out = append(out, id)
		}
	}
	return out, nil
}
