package tcprt

import (
	"errors"
	"os"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/internal/testkit"
)

// uring is the least of an io_uring: one operation at a time.
// See include/uapi/linux/io_uring.h.
type uring struct {
	fd                   int
	rings, entries       []byte
	sqTail, sqMask, sqAt uint32
	cqHead, cqMask, cqes uint32
}

func newURing(t *testing.T) *uring {
	t.Helper()
	var p struct {
		sqEntries, cqEntries, flags, cpu, idle, features, wq uint32
		_                                                    [3]uint32
		sq                                                   struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
		cq                                                   struct{ head, tail, mask, entries, overflow, cqes, flags, _, _, _ uint32 }
	}
	fd, _, e := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&p)), 0)
	if e != 0 {
		testkit.Need(t, &feature.UnsupportedError{Feature: "io_uring", Reason: feature.NoKernel, Need: "a kernel with it, kernel.io_uring_disabled=0 and a seccomp filter that lets it", Err: e})
	}
	r := &uring{fd: int(fd), sqTail: p.sq.tail, sqMask: p.sq.mask, sqAt: p.sq.array, cqHead: p.cq.head, cqMask: p.cq.mask, cqes: p.cq.cqes}
	var err, err2 error
	size := max(p.sq.array+4*p.sqEntries, p.cq.cqes+16*p.cqEntries)
	r.rings, err = unix.Mmap(r.fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	r.entries, err2 = unix.Mmap(r.fd, 0x10000000, int(64*p.sqEntries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(unix.Munmap(r.rings), unix.Munmap(r.entries), unix.Close(r.fd)) })
	return r
}

func (r *uring) word(at uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.rings[at])) }

// do runs one operation to its end.
func (r *uring) do(t *testing.T, op uint8, fd int, b []byte) int {
	t.Helper()
	tail := *r.word(r.sqTail)
	at := tail & *r.word(r.sqMask)
	e := (*struct {
		op, flags uint8
		prio      uint16
		fd        int32
		off, addr uint64
		len, rw   uint32
		user      uint64
		_         [3]uint64
	})(unsafe.Pointer(&r.entries[64*at]))
	*e = struct {
		op, flags uint8
		prio      uint16
		fd        int32
		off, addr uint64
		len, rw   uint32
		user      uint64
		_         [3]uint64
	}{op: op, fd: int32(fd), addr: uint64(uintptr(unsafe.Pointer(&b[0]))), len: uint32(len(b))}
	*r.word(r.sqAt + 4*at) = at
	atomic.StoreUint32(r.word(r.sqTail), tail+1)
	if _, _, e := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, 1, 0, 0); e != 0 { // IORING_ENTER_GETEVENTS
		t.Fatal(e)
	}
	head := *r.word(r.cqHead)
	got := *(*int32)(unsafe.Pointer(&r.rings[r.cqes+16*(head & *r.word(r.cqMask))+8]))
	atomic.StoreUint32(r.word(r.cqHead), head+1)
	if got < 0 {
		t.Fatal(unix.Errno(-got))
	}
	return int(got)
}

// A server that reads and writes by io_uring is one like any other.
func TestKernelIOURing(t *testing.T) {
	const opSend, opRecv = 26, 27
	eachTier(t, func(t *testing.T, tier Tier) {
		ring := newURing(t)
		s := stage(t, tier)
		client, server := s.connect()
		file, err := server.File() // which does not wait in the runtime's poller
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		fd := int(file.Fd())
		const turns = 20
		for i := range turns {
			send(t, client, 30)
			if n := ring.do(t, opRecv, fd, make([]byte, 100)); n != 30 {
				t.Fatal(n)
			}
			if n := ring.do(t, opSend, fd, make([]byte, 100+i)); n != 100+i {
				t.Fatal(n)
			}
			read(t, client, 100+i)
		}
		_ = client.Close()
		_ = file.Close()
		_ = server.Close()
		for _, role := range []Role{Server, Client} {
			for i, r := range s.of(role, turns) {
				if !r.Complete() || r.RequestBytes != 30 || r.AnswerBytes != uint32(100+i) {
					t.Errorf("%s %d: %+v", role, i, r)
				}
				if tier == Full && role == Server && (r.Read == 0 || r.PID != uint32(os.Getpid())) {
					t.Errorf("who read it is not known: %+v", r)
				}
			}
		}
	})
}
