package runq

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"time"

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
	ring    *ring
	waiting words // kernel side's list of tasks that still wait
	slip    *slip
	epoll   int
	wake    int // eventfd that ends the thread
	done    chan struct{}
	told    atomic.Uint64
	moved   atomic.Uint64
	failed  atomic.Uint64
	fair    atomic.Bool
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
	if runtime.GOMAXPROCS(0) < 2 {
		return nil, errors.New("steer: one CPU leaves nowhere to move a task to")
	}
	s := &Steerer{t: t, epoll: -1, wake: -1, done: make(chan struct{})}
	if err := s.open(slipPath); err != nil {
		return nil, errors.Join(fmt.Errorf("steer: %w", err), s.release())
	}
	go s.run()
	return s, nil
}

func (s *Steerer) open(slipPath string) (err error) {
	if s.slip, err = openSlip(slipPath); err != nil {
		return err
	}
	m := s.t.coll.Maps["misplacements"]
	if s.ring, err = openRing(m.FD(), m.MaxEntries()); err != nil {
		return err
	}
	if s.waiting, err = s.t.coll.Maps["waiting"].Memory(); err != nil {
		return fmt.Errorf("map waiting tasks: %w", err)
	}
	if s.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("make epoll: %w", err)
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("make eventfd: %w", err)
	}
	for _, fd := range []int{m.FD(), s.wake} {
		if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return fmt.Errorf("add to epoll: %w", err)
		}
	}
	return nil
}

func (s *Steerer) release() error {
	var errs []error
	if s.ring != nil {
		errs = append(errs, s.ring.close())
	}
	for _, fd := range []int{s.epoll, s.wake} {
		if fd >= 0 {
			errs = append(errs, unix.Close(fd))
		}
	}
	if s.slip != nil {
		errs = append(errs, s.slip.close())
	}
	return errors.Join(errs...)
}

// Stats gives the counters.
func (s *Steerer) Stats() SteerStats {
	return SteerStats{Told: s.told.Load(), Moved: s.moved.Load(), Failed: s.failed.Load(), Fair: s.fair.Load()}
}

// Close ends the thread.
func (s *Steerer) Close() error {
	_, err := unix.Write(s.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-s.done
	return errors.Join(err, s.release())
}

// everywhere is the affinity of a task that never set one.
var everywhere = func() (all unix.CPUSet) {
	for i := range all {
		all[i] = ^all[i]
	}
	return all
}()

// setFree gives a task its own affinity back. It is asked for all CPUs first,
// which its cpuset bounds: a task that had no affinity of its own must not get
// one, or it would not follow its cpuset when that becomes wider (Linux 6.2
// keeps what a task asked for). A task that is gone is no error.
func setFree(tid int, own *unix.CPUSet) error {
	var now unix.CPUSet
	err := unix.SchedSetaffinity(tid, &everywhere)
	if err == nil {
		err = unix.SchedGetaffinity(tid, &now)
	}
	if err == nil && now != *own {
		err = unix.SchedSetaffinity(tid, own)
		if errors.Is(err, unix.EINVAL) {
			err = nil // its cpuset has moved away from what it had: the whole cpuset is left
		}
	}
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	return err
}

// words is memory that the kernel side writes.
type words interface {
	ReadAt(b []byte, off int64) (int, error)
}

// While tasks are misplaced often, the thread waits without giving up its P,
// see sys.EpollWaitHeld, heldWait at a time; after coldAfter such waits in a
// row without one it waits as any goroutine does.
const (
	heldWait  = 8 // ms
	coldAfter = 12
)

func (s *Steerer) run() {
	defer close(s.done)
	// The thread ends with this goroutine: its priority must not be inherited
	// by anything else.
	runtime.LockOSThread()
	if err := sys.SetSched(0, sys.Sched{Policy: sys.SCHED_FIFO, Priority: 1}); err != nil {
		s.fair.Store(true)
	}
	var events [2]unix.EpollEvent
	act := func(record []byte) {
		if len(record) >= 8 {
			s.told.Add(1)
			s.move(int(word32(record, 0)), int(word32(record, 1)))
		}
	}
	for idle, empty := 0, 0; ; {
		n, err := s.await(events[:], idle < coldAfter)
		if err != nil && !errors.Is(err, unix.EINTR) {
			n = 1 // cannot be; wait as after a wakeup for nothing
		}
		for _, e := range events[:n] {
			if int(e.Fd) == s.wake {
				return
			}
		}
		switch {
		case s.ring.next(act) > 0:
			idle, empty = 0, 0
		case n > 0:
			// A thread of this priority must not spin, whatever goes wrong.
			if empty++; empty > 10 {
				time.Sleep(time.Millisecond)
			}
		default:
			idle++
		}
	}
}

func (s *Steerer) await(events []unix.EpollEvent, held bool) (int, error) {
	if held {
		n, err := sys.EpollWaitHeld(s.epoll, events, heldWait)
		if n == 0 {
			// What else is to run on this P has its turn. Between events that
			// follow each other closely the runtime's monitor sees to that.
			runtime.Gosched()
		}
		return n, err
	}
	n, err := unix.EpollWait(s.epoll, events, -1)
	return max(n, 0), err
}

// move puts a task that still waits onto cpu.
func (s *Steerer) move(tid, cpu int) {
	var slot [4]byte
	off := int64(tid&(int(bpf.RunqShapeSTEER_SLOTS)-1)) * 8 // an array map rounds its values up to 8 bytes
	if _, err := s.waiting.ReadAt(slot[:], off); err != nil || int(word32(slot[:], 0)) != tid {
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
		s.moved.Add(1)
	}
	// Also after an error: the first half may have been done by a moment ago.
	if rerr := setFree(tid, &own); rerr == nil {
		s.slip.clear()
	} else if err == nil {
		err = rerr
	}
	if err != nil && !errors.Is(err, unix.ESRCH) {
		s.failed.Add(1)
	}
}
