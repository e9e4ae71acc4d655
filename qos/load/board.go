package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Layout of a stats file, in native byte order as it never leaves the node:
// a line with magic, thread count, pid, start and kind, then a line per
// thread with units and CPU nanoseconds. A line of their own keeps threads
// from sharing cache lines.
const (
	boardMagic = uint64(0x31_4e52_4242_4c4e_41) // "ANLBBRN1"
	boardLine  = 64

	maxBurnThreads = 4096
)

var kindCodes = []Kind{Spin, Memory, Mixed}

// slot is one thread's counters; one writer, any number of readers.
type slot struct{ units, cpu *atomic.Uint64 }

// board holds the counters of a burner, in a mapped file or in plain memory.
type board struct {
	mem    []byte
	mapped bool
	slots  []slot
}

// openBoard makes the counters. The file appears under its name only when it
// is complete, and a file that was there before is not written to, as another
// burner may still map it.
func openBoard(o BurnOptions) (*board, error) {
	size := boardLine * (1 + o.Threads)
	b := &board{}
	var publish func() error
	if o.StatsFile == "" {
		words := make([]uint64, size/8) // words, for the alignment
		b.mem = unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), size)
	} else {
		var err error
		if b.mem, publish, err = mapFile(o.StatsFile, size); err != nil {
			return nil, fmt.Errorf("create stats file %s: %w", o.StatsFile, err)
		}
		b.mapped = true
	}
	for i := range o.Threads {
		at := boardLine * (1 + i)
		b.slots = append(b.slots, slot{word(b.mem, at), word(b.mem, at+8)})
	}
	start, err := monotonic()
	if err != nil {
		return nil, errors.Join(err, b.close())
	}
	code := 0
	for i, k := range kindCodes {
		if k == o.Kind {
			code = i
		}
	}
	for i, v := range []uint64{boardMagic, uint64(o.Threads), uint64(os.Getpid()), uint64(start), uint64(code)} {
		word(b.mem, 8*i).Store(v)
	}
	if publish != nil {
		if err := publish(); err != nil {
			return nil, errors.Join(fmt.Errorf("publish stats file %s: %w", o.StatsFile, err), b.close())
		}
	}
	return b, nil
}

// word is the atomic view of 8 aligned bytes.
func word(mem []byte, at int) *atomic.Uint64 { return (*atomic.Uint64)(unsafe.Pointer(&mem[at])) }

// mapFile maps a new file next to path; publish gives it its name.
func mapFile(path string, size int) (mem []byte, publish func() error, err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return nil, nil, err
	}
	if err = f.Truncate(int64(size)); err == nil {
		mem, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, errors.Join(err, os.Remove(f.Name()))
	}
	publish = func() error {
		if err := os.Rename(f.Name(), path); err != nil {
			return errors.Join(err, os.Remove(f.Name()))
		}
		return nil
	}
	return mem, publish, nil
}

func (b *board) stats() BurnStats {
	s := BurnStats{
		Threads: len(b.slots), PID: int(word(b.mem, 16).Load()),
		StartMono: time.Duration(word(b.mem, 24).Load()), Kind: kindCodes[word(b.mem, 32).Load()],
	}
	for _, t := range b.slots {
		s.add(t.units.Load(), t.cpu.Load())
	}
	return s
}

func (s *BurnStats) add(units, cpu uint64) {
	s.Units += units
	s.PerThread = append(s.PerThread, units)
	s.CPU += time.Duration(cpu)
}

// close unmaps; the file stays for its readers. No thread may count any more.
func (b *board) close() error {
	if !b.mapped {
		return nil
	}
	b.mapped, b.slots = false, nil
	if err := unix.Munmap(b.mem); err != nil {
		return fmt.Errorf("unmap stats: %w", err)
	}
	return nil
}

// ErrNotStats means that a file was not written by Burn.
var ErrNotStats = errors.New("not a burner's stats file")

// ReadBurnStats reads the counters of a running, ended or killed burner. It
// returns fs.ErrNotExist until the burner has started.
func ReadBurnStats(path string) (BurnStats, error) {
	f, err := os.Open(path)
	if err != nil {
		return BurnStats{}, fmt.Errorf("open stats: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, boardLine*(2+maxBurnThreads)))
	if err != nil {
		return BurnStats{}, fmt.Errorf("read stats %s: %w", path, err)
	}
	s, err := parseStats(b)
	if err != nil {
		return BurnStats{}, fmt.Errorf("parse stats %s: %w", path, err)
	}
	return s, nil
}

func parseStats(b []byte) (BurnStats, error) {
	if len(b) < boardLine {
		return BurnStats{}, ErrNotStats
	}
	at := func(i int) uint64 { return binary.NativeEndian.Uint64(b[i:]) }
	threads, kind := at(8), at(32)
	if at(0) != boardMagic || threads < 1 || threads > maxBurnThreads || kind >= uint64(len(kindCodes)) ||
		len(b) != boardLine*(1+int(threads)) {
		return BurnStats{}, ErrNotStats
	}
	s := BurnStats{Threads: int(threads), PID: int(at(16)), StartMono: time.Duration(at(24)), Kind: kindCodes[kind]}
	for i := range int(threads) {
		s.add(at(boardLine*(1+i)), at(boardLine*(1+i)+8))
	}
	return s, nil
}
