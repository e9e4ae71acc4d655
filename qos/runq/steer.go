package runq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/cilium/ebpf/ringbuf"
	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/qos/runq/bpf"
)

// Steerer moves waking tasks that the scheduler queued behind another one
// although a CPU runs nothing but best-effort work. On a node that such work
// fills, the scheduler does not look for a CPU (SIS_UTIL, Linux 6.0), and a
// task that is queued behind its own kind stays there until a tick. A thread
// of the Steerer's own, of the lowest real-time priority, is told of each such
// wakeup and moves the task by setting its affinity to that one CPU and back.
type Steerer struct {
	t       *Tracer
	rd      *ringbuf.Reader
	slip    *slip
	done    chan struct{}
	told    atomic.Uint64
	moved   atomic.Uint64
	failed  atomic.Uint64
	slowSet atomic.Bool
}

// SteerStats counts what a Steerer did.
type SteerStats struct {
	Told   uint64 // misplaced wakeups
	Moved  uint64 // tasks moved; the rest ran before it came to it, or may not run there
	Failed uint64 // moves that the kernel refused
	Fair   bool   // the thread could not be made a real-time one, and is slower
}

// Steer starts moving. slipPath is a small file that says which task is being
// moved, so that Recover can free it if this process is killed between the two
// halves of a move. Close the Steerer before the Tracer.
func (t *Tracer) Steer(slipPath string) (*Steerer, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.isClosed {
		return nil, fmt.Errorf("steer: %w", os.ErrClosed)
	}
	s := &Steerer{t: t, done: make(chan struct{})}
	var err error
	if s.slip, err = openSlip(slipPath); err != nil {
		return nil, err
	}
	if s.rd, err = ringbuf.NewReader(t.coll.Maps["misplacements"]); err != nil {
		return nil, errors.Join(fmt.Errorf("read misplacements: %w", err), s.slip.close())
	}
	waiting, err := t.coll.Maps["waiting"].Memory()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("map waiting tasks: %w", err), s.rd.Close(), s.slip.close())
	}
	go s.run(waiting)
	return s, nil
}

// Stats gives the counters.
func (s *Steerer) Stats() SteerStats {
	return SteerStats{Told: s.told.Load(), Moved: s.moved.Load(), Failed: s.failed.Load(), Fair: s.slowSet.Load()}
}

// Close ends the thread.
func (s *Steerer) Close() error {
	err := s.rd.Close()
	<-s.done
	return errors.Join(err, s.slip.close())
}

// words is memory that the kernel side writes.
type words interface {
	ReadAt(b []byte, off int64) (int, error)
}

func (s *Steerer) run(waiting words) {
	defer close(s.done)
	// The thread ends with this goroutine: its priority must not be inherited
	// by anything else.
	runtime.LockOSThread()
	if err := sys.SetSched(0, sys.Sched{Policy: sys.SCHED_FIFO, Priority: 1}); err != nil {
		s.slowSet.Store(true)
	}
	var rec ringbuf.Record
	for {
		if err := s.rd.ReadInto(&rec); err != nil {
			if errors.Is(err, ringbuf.ErrClosed) {
				return
			}
			continue
		}
		if len(rec.RawSample) < 8 {
			continue
		}
		s.told.Add(1)
		s.move(waiting, int(word32(rec.RawSample, 0)), int(word32(rec.RawSample, 1)))
	}
}

// move puts a task that still waits onto cpu.
func (s *Steerer) move(waiting words, tid, cpu int) {
	var slot [4]byte
	off := int64(tid&(int(bpf.RunqShapeSTEER_SLOTS)-1)) * 8 // an array map rounds its values up to 8 bytes
	if _, err := waiting.ReadAt(slot[:], off); err != nil || int(word32(slot[:], 0)) != tid {
		return // it runs already
	}
	var own, one unix.CPUSet
	if unix.SchedGetaffinity(tid, &own) != nil || !own.IsSet(cpu) {
		return
	}
	one.Set(cpu)
	s.slip.write(tid, &own)
	err := unix.SchedSetaffinity(tid, &one)
	if err == nil {
		err = unix.SchedSetaffinity(tid, &own)
		s.moved.Add(1)
	}
	s.slip.clear()
	if err != nil && !errors.Is(err, unix.ESRCH) {
		s.failed.Add(1)
	}
}

func word32(b []byte, i int) uint32 { return binary.NativeEndian.Uint32(b[4*i:]) }
