package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// scopeThread is PR_SCHED_CORE_SCOPE_THREAD, include/uapi/linux/prctl.h.
const scopeThread = 0

// CoreCookie gives what stands for the core-scheduling cookie of thread tid (0
// is the caller), 0 for none, prctl(2) PR_SCHED_CORE_GET. The kernel gives a
// hash of it that stays the same until the next boot. ENODEV is a machine
// without SMT, EINVAL a kernel without CONFIG_SCHED_CORE (Linux 5.14).
func CoreCookie(tid int) (uint64, error) {
	var id uint64
	err := unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_GET, uintptr(tid), scopeThread, uintptr(unsafe.Pointer(&id)))
	return id, err
}

// CoreCreate gives thread tid (0 is the caller) a cookie that nobody else has,
// PR_SCHED_CORE_CREATE.
func CoreCreate(tid int) error {
	return unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_CREATE, uintptr(tid), scopeThread, 0)
}

// CoreShareTo gives thread tid the calling thread's cookie, or none if it has
// none, PR_SCHED_CORE_SHARE_TO.
func CoreShareTo(tid int) error {
	return unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_SHARE_TO, uintptr(tid), scopeThread, 0)
}

// CoreShareFrom gives the calling thread the cookie of thread tid,
// PR_SCHED_CORE_SHARE_FROM.
func CoreShareFrom(tid int) error {
	return unix.Prctl(unix.PR_SCHED_CORE, unix.PR_SCHED_CORE_SHARE_FROM, uintptr(tid), scopeThread, 0)
}
