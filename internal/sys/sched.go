// Package sys holds the raw system calls that golang.org/x/sys lacks, and
// nothing else.
package sys

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Scheduling policies, include/uapi/linux/sched.h.
const (
	SCHED_OTHER = 0
	SCHED_FIFO  = 1
	SCHED_RR    = 2
	SCHED_BATCH = 3
	SCHED_IDLE  = 5
)

// Sched is a thread's scheduling policy and, for the real-time ones, priority.
type Sched struct {
	Policy   int `json:"policy"`
	Priority int `json:"priority,omitempty"`
}

// GetSched reads the policy of thread tid (0 is the caller), sched_getattr(2).
func GetSched(tid int) (Sched, error) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return Sched{}, err
	}
	return Sched{Policy: int(a.Policy), Priority: int(a.Priority)}, nil
}

// SetSched sets the policy of thread tid (0 is the caller) by
// sched_setscheduler(2), which keeps the nice value.
func SetSched(tid int, s Sched) error {
	param := struct{ priority int32 }{int32(s.Priority)}
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(tid), uintptr(s.Policy), uintptr(unsafe.Pointer(&param)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Pause blocks the calling thread for ns nanoseconds.
func Pause(ns int64) { time.Sleep(time.Duration(ns)) }
