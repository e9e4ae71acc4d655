package node

import (
	"bytes"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// userHZ is the unit of times in /proc/PID/stat, 100 on every Linux that Go
// runs on (asm-generic/param.h).
const userHZ = 100

// sinceExec is the age of this process, which includes what the runtime and
// package initialisation took; fallback counts from a later moment.
func sinceExec(fallback time.Time) time.Duration {
	since := time.Since(fallback)
	var now unix.Timespec
	b, err := os.ReadFile("/proc/self/stat")
	if err != nil || unix.ClockGettime(unix.CLOCK_BOOTTIME, &now) != nil {
		return since
	}
	start, ok := startTicks(b)
	age := time.Duration(now.Nano()) - time.Duration(start)*(time.Second/userHZ)
	if !ok || age < since {
		return since
	}
	return age
}

// startTicks reads starttime, field 22 of /proc/PID/stat; comm, field 2, may
// hold spaces and parentheses.
func startTicks(stat []byte) (uint64, bool) {
	i := bytes.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, false
	}
	f := bytes.Fields(stat[i+1:])
	if len(f) < 20 {
		return 0, false
	}
	n, err := strconv.ParseUint(string(f[19]), 10, 64)
	return n, err == nil
}
