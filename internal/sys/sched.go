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
	// ResetOnFork has the thread's children start with SCHED_OTHER,
	// SCHED_RESET_ON_FORK in sched(7).
	ResetOnFork bool `json:"reset_on_fork,omitempty"`
}

// From include/uapi/linux/sched.h.
const (
	resetOnFork     = 0x40000000 // in the policy of sched_setscheduler
	flagResetOnFork = 0x01       // SCHED_FLAG_RESET_ON_FORK of sched_getattr
)

// GetSched reads the policy of thread tid (0 is the caller), sched_getattr(2).
func GetSched(tid int) (Sched, error) {
	a, err := unix.SchedGetAttr(tid, 0)
	if err != nil {
		return Sched{}, err
	}
	return Sched{Policy: int(a.Policy), Priority: int(a.Priority), ResetOnFork: a.Flags&flagResetOnFork != 0}, nil
}

// SetSched sets the policy of thread tid (0 is the caller) by
// sched_setscheduler(2), which keeps the nice value.
func SetSched(tid int, s Sched) error {
	param := struct{ priority int32 }{int32(s.Priority)}
	policy := s.Policy
	if s.ResetOnFork {
		policy |= resetOnFork
	}
	_, _, errno := unix.RawSyscall(unix.SYS_SCHED_SETSCHEDULER, uintptr(tid), uintptr(policy), uintptr(unsafe.Pointer(&param)))
	if errno != 0 {
		return errno
	}
	return nil
}

// Pause blocks the calling thread for ns nanoseconds.
func Pause(ns int64) { time.Sleep(time.Duration(ns)) }
