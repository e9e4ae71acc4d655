package runq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring reads a BPF ring buffer (kernel/bpf/ringbuf.c): one page with the
// consumer's position, one with the producer's, and the data, mapped twice in
// a row so that a record never wraps. It does no waiting: see Steerer.
type ring struct {
	consumer, producer []byte
	data               []byte
	mask               uint64
}

const (
	ringBusy    = 1 << 31
	ringDiscard = 1 << 30
	ringHeader  = 8
)

func openRing(fd int, size uint32) (*ring, error) {
	page := os.Getpagesize()
	consumer, err := unix.Mmap(fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map ring buffer: %w", err)
	}
	rest, err := unix.Mmap(fd, int64(page), page+2*int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map ring buffer: %w", err), unix.Munmap(consumer))
	}
	return &ring{consumer, rest, rest[page:], uint64(size - 1)}, nil
}

func (r *ring) close() error {
	return errors.Join(unix.Munmap(r.consumer), unix.Munmap(r.producer))
}

func position(page []byte) *uint64 { return (*uint64)(unsafe.Pointer(&page[0])) }

// next hands the records that are there to f, each valid during the call, and
// says how many there were.
func (r *ring) next(f func(record []byte)) (n int) {
	pos := atomic.LoadUint64(position(r.consumer))
	for pos < atomic.LoadUint64(position(r.producer)) {
		at := pos & r.mask
		head := atomic.LoadUint32((*uint32)(unsafe.Pointer(&r.data[at])))
		if head&ringBusy != 0 {
			break // still being written; its end wakes the reader again
		}
		size := uint64(head &^ (ringBusy | ringDiscard))
		if head&ringDiscard == 0 {
			f(r.data[at+ringHeader : at+ringHeader+size])
			n++
		}
		pos += (ringHeader + size + 7) &^ 7
		atomic.StoreUint64(position(r.consumer), pos)
	}
	return n
}

func word32(b []byte, i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
