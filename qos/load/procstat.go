package load

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

var errMalformed = errors.New("malformed")

// nodeTimes are the counters of /proc/stat in USER_HZ ticks.
type nodeTimes struct {
	busy, idle, iowait, steal uint64
	irq                       uint64 // of busy: hard and soft interrupts
	cpus                      int
}

// parseNodeStat reads /proc/stat (proc(5)). Guest time is part of user time
// already and not added again.
func parseNodeStat(b []byte) (nodeTimes, error) {
	var n nodeTimes
	found := false
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) < 5 || !bytes.HasPrefix(f[0], []byte("cpu")) {
			continue
		}
		if len(f[0]) > 3 {
			n.cpus++
			continue
		}
		var v [8]uint64 // user nice system idle iowait irq softirq steal
		for i := range min(len(v), len(f)-1) {
			x, err := strconv.ParseUint(string(f[i+1]), 10, 62)
			if err != nil {
				return nodeTimes{}, errMalformed
			}
			v[i] = x
		}
		n.busy, n.idle, n.iowait, n.steal = v[0]+v[1]+v[2]+v[5]+v[6], v[3], v[4], v[7]
		n.irq = v[5] + v[6]
		found = true
	}
	if !found || n.cpus == 0 {
		return nodeTimes{}, errMalformed
	}
	return n, nil
}

// processTimes is what is read of a process.
type processTimes struct {
	cpu    time.Duration
	kernel bool // a kernel thread
}

// flagKernelThread is PF_KTHREAD of the kernel's include/linux/sched.h.
const flagKernelThread = 0x00200000

// parseProcessStat reads flags, utime and stime, fields 9, 14 and 15 of
// /proc/<pid>/stat. The command in field 2 may hold anything, also brackets:
// fields count from its last one.
func parseProcessStat(b []byte) (processTimes, error) {
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(f) < 13 || bytes.IndexByte(b, ')') < 0 {
		return processTimes{}, errMalformed
	}
	flags, err := strconv.ParseUint(string(f[6]), 10, 64)
	user, err1 := strconv.ParseUint(string(f[11]), 10, 62)
	system, err2 := strconv.ParseUint(string(f[12]), 10, 62)
	const tick = uint64(time.Second / userHZ)
	if err != nil || err1 != nil || err2 != nil || user+system > math.MaxInt64/tick {
		return processTimes{}, errMalformed
	}
	return processTimes{cpu: time.Duration((user + system) * tick), kernel: flags&flagKernelThread != 0}, nil
}

// parseNanoseconds reads cpuacct.usage.
func parseNanoseconds(b []byte) (time.Duration, error) {
	v, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil || v < 0 {
		return 0, errMalformed
	}
	return time.Duration(v), nil
}

// parseCPUStat reads usage_usec of a cgroup v2 cpu.stat.
func parseCPUStat(b []byte) (time.Duration, error) {
	for line := range bytes.Lines(b) {
		f := bytes.Fields(line)
		if len(f) == 2 && string(f[0]) == "usage_usec" {
			v, err := strconv.ParseInt(string(f[1]), 10, 64)
			if err != nil || v < 0 || v > math.MaxInt64/int64(time.Microsecond) {
				return 0, errMalformed
			}
			return time.Duration(v) * time.Microsecond, nil
		}
	}
	return 0, errMalformed
}

// isGone reports the errors of reading files of a dead process (ESRCH) or a
// removed cgroup (ENODEV) that was open at the time.
func isGone(err error) bool { return errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENODEV) }
