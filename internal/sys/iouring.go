package sys

import (
	"errors"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Operations of io_uring, include/uapi/linux/io_uring.h.
const (
	IOURingSend = 26
	IOURingRecv = 27
)

// IOURing is the least of an io_uring: one operation at a time, for one goroutine.
type IOURing struct {
	fd                   int
	rings, entries       []byte
	sqTail, sqMask, sqAt uint32
	cqHead, cqMask, cqes uint32
}

// entry is struct io_uring_sqe.
type entry struct {
	op, flags uint8
	prio      uint16
	fd        int32
	off, addr uint64
	len, rw   uint32
	user      uint64
	_         [3]uint64
}

// NewIOURing makes one; the caller must Close. ENOSYS is a kernel without it, EPERM
// one that is told not to let it (kernel.io_uring_disabled, seccomp).
func NewIOURing() (*IOURing, error) {
	var p struct { // struct io_uring_params
		sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
		_                                                    [3]uint32
		sq                                                   struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
		cq                                                   struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
	}
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		return nil, e
	}
	const offEntries = 0x10000000 // IORING_OFF_SQES
	r := &IOURing{fd: int(fd), sqTail: p.sq.tail, sqMask: p.sq.mask, sqAt: p.sq.array, cqHead: p.cq.head, cqMask: p.cq.mask, cqes: p.cq.cqes}
	var err, err2 error
	r.rings, err = unix.Mmap(r.fd, 0, int(max(p.sq.array+4*p.sqEntries, p.cq.cqes+16*p.cqEntries)), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	r.entries, err2 = unix.Mmap(r.fd, offEntries, int(p.sqEntries)*int(unsafe.Sizeof(entry{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Close frees it.
func (r *IOURing) Close() (err error) {
	for _, b := range [][]byte{r.rings, r.entries} {
		if b != nil {
			err = errors.Join(err, unix.Munmap(b))
		}
	}
	return errors.Join(err, unix.Close(r.fd))
}

func (r *IOURing) word(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[at])) }

// Do runs one operation on b, which must not be empty, to its end, and gives what it
// returned.
func (r *IOURing) Do(op uint8, fd int, b []byte) (int, error) {
	tail := *r.word(r.sqTail)
	at := tail & *r.word(r.sqMask)
	*(*entry)(unsafe.Pointer(&r.entries[uintptr(at)*unsafe.Sizeof(entry{})])) = entry{op: op, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&b[0]))), len: uint32(len(b))}
	*r.word(r.sqAt + 4*at) = at
	atomic.StoreUint32(r.word(r.sqTail), tail+1)
	const getEvents = 1 // IORING_ENTER_GETEVENTS
	for done := false; !done; {
		switch _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, getEvents, 0, 0); e {
		case 0:
			done = true
		case unix.EINTR:
		default:
			return 0, e
		}
	}
	head := *r.word(r.cqHead)
	got := *(*int32)(unsafe.Pointer(&r.rings[r.cqes+16*(head&*r.word(r.cqMask))+8]))
	atomic.StoreUint32(r.word(r.cqHead), head+1)
	if got < 0 {
		return 0, unix.Errno(-got)
	}
	return int(got), nil
}
