package runq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// slip is one page of a file, mapped shared: what is written to it survives a
// kill of this process at any instruction, without a system call. A crash of
// the node loses it, and the tasks with it.
type slip struct{ mem []byte }

const slipBytes = 8 + int(unsafe.Sizeof(unix.CPUSet{}))

func openSlip(path string) (*slip, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open slip of moved tasks: %w", err)
	}
	defer f.Close()
	if err := f.Truncate(int64(slipBytes)); err != nil {
		return nil, fmt.Errorf("size slip of moved tasks: %w", err)
	}
	mem, err := unix.Mmap(int(f.Fd()), 0, slipBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map slip of moved tasks: %w", err)
	}
	return &slip{mem}, nil
}

// write notes that the task is about to be confined, and its affinity. The id
// comes last: without it the rest does not count.
func (s *slip) write(tid int, own *unix.CPUSet) {
	copy(s.mem[8:], unsafe.Slice((*byte)(unsafe.Pointer(own)), unsafe.Sizeof(*own)))
	binary.NativeEndian.PutUint64(s.mem, uint64(tid))
}

func (s *slip) clear() { binary.NativeEndian.PutUint64(s.mem, 0) }

func (s *slip) close() error { return unix.Munmap(s.mem) }

// parseSlip reads what a slip says: the task that was being moved, 0 for none,
// and its own affinity.
func parseSlip(b []byte) (tid int, own unix.CPUSet) {
	if len(b) < slipBytes {
		return 0, own
	}
	n := binary.NativeEndian.Uint64(b)
	if n > 1<<22 { // PID_MAX_LIMIT, include/linux/threads.h
		return 0, own
	}
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&own)), unsafe.Sizeof(own)), b[8:])
	return int(n), own
}

// Recover frees the task that a killed Steerer had confined to one CPU. A
// missing or empty slip is no error, nor is a task that is gone or whose
// affinity is not that of a move.
func Recover(slipPath string) error {
	b, err := os.ReadFile(slipPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read slip of moved tasks: %w", err)
	}
	var now unix.CPUSet
	tid, own := parseSlip(b)
	if tid != 0 && own.Count() > 1 && unix.SchedGetaffinity(tid, &now) == nil && now.Count() == 1 {
		if err := setFree(tid, &own); err != nil {
			return fmt.Errorf("free task %d: %w", tid, err)
		}
	}
	return os.Remove(slipPath)
}
