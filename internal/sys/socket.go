package sys

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// Disconnect ends a socket's connection and keeps the socket, for another one:
// connect(2) to an address of AF_UNSPEC.
func Disconnect(fd int) error {
	var none [16]byte // a sockaddr of the family 0
	if _, _, e := unix.Syscall(unix.SYS_CONNECT, uintptr(fd), uintptr(unsafe.Pointer(&none)), uintptr(len(none))); e != 0 {
		return e
	}
	return nil
}
