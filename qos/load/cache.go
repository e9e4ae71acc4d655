package load

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// FileOptions name a part of a file whose pages the kernel caches. Size is in
// bytes and at least 1; Offset is a multiple of the page size.
type FileOptions struct {
	File   string `json:"file"`
	Offset int64  `json:"offset_bytes,omitempty"`
	Size   int64  `json:"size_bytes"`
	// Pause of Touch between two rounds.
	Pause time.Duration `json:"pause_ns,omitempty"`
	// Rate of Stream in bytes a second, 0 for as fast as it goes.
	Rate int64 `json:"rate_bytes,omitempty"`
}

func (o *FileOptions) open() (*os.File, error) {
	if page := int64(os.Getpagesize()); o.Size < 1 || o.Offset < 0 || o.Offset%page != 0 || o.Rate < 0 {
		return nil, fmt.Errorf("read %s: %d bytes from %d at %d a second: want some, from a multiple of %d on", o.File, o.Size, o.Offset, o.Rate, page)
	}
	return os.Open(o.File)
}

// Touch is a service with a working set: it maps the part and reads a byte of
// each page, round after round, until ctx ends. A page that is missing is a
// major fault of its own, see MADV_RANDOM in madvise(2).
func Touch(ctx context.Context, o FileOptions) error {
	f, err := o.open()
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), o.Offset, int(o.Size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", o.File, err)
	}
	defer func() { _ = unix.Munmap(m) }()
	if err := unix.Madvise(m, unix.MADV_RANDOM); err != nil {
		return fmt.Errorf("madvise %s: %w", o.File, err)
	}
	sum := byte(0)
	for ctx.Err() == nil {
		for i := 0; i < len(m); i += os.Getpagesize() {
			sum += m[i]
		}
		runtime.KeepAlive(sum)
		select {
		case <-ctx.Done():
		case <-time.After(o.Pause):
		}
	}
	return nil
}

// Stream is batch work that fills the page cache: it reads the part from begin
// to end, again and again, until ctx ends.
func Stream(ctx context.Context, o FileOptions) error {
	f, err := o.open()
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 1<<20)
	for at := int64(0); ctx.Err() == nil; {
		n, err := f.ReadAt(buf[:min(int64(len(buf)), o.Size-at)], o.Offset+at)
		if n == 0 {
			return fmt.Errorf("read %s at %d: %w", o.File, o.Offset+at, err)
		}
		if at += int64(n); at >= o.Size {
			at = 0
		}
		if o.Rate > 0 {
			time.Sleep(time.Duration(int64(n) * int64(time.Second) / o.Rate))
		}
	}
	return nil
}
