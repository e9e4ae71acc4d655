package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// EpollWaitHeld is epoll_wait(2) without telling Go's scheduler, for a locked
// thread that waits often and shortly: the scheduler's monitor thread would
// take its P away and poll every 20 µs for a while at each wait, which costs
// more than the work. The P is held meanwhile, so keep msec under 10, after
// which the monitor interrupts the wait (EINTR), and have more than one P.
func EpollWaitHeld(epfd int, events []unix.EpollEvent, msec int) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(msec), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
