package load

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// noArrival lies after every run.
const noArrival = int64(1) << 62

const (
	reconnectAfter = int64(50 * time.Millisecond)
	timerSlot      = -1

	// yieldEvery stays below the 10 ms after which the runtime's monitor
	// thread preempts a goroutine and takes the processor of a blocked one.
	// Each such act also sends that thread back to polling every 20 us, which
	// at a few hundred requests a second costs more than the loop itself.
	yieldEvery = int64(8 * time.Millisecond)
)

// loop is one run. Everything in it belongs to one goroutine.
type loop struct {
	ctx   context.Context
	o     GenOptions
	to    target
	sched *Schedule
	rec   *recorder
	rep   *reporter

	base        time.Time // start of the run
	mono        int64     // CLOCK_MONOTONIC at base
	epoll, tick int       // epoll and timer descriptors
	conns       []*conn
	idle        []*conn // stack: the connection used last is the warmest
	busy        int
	queue       queue // arrivals that wait for a connection
	req         request
	buf         []byte
	events      []unix.EpollEvent
	connErr     error // latest, for the error of a failed start

	next     pending // the next arrival; at is noArrival after the last
	nextTick int64
	// nextYield is when to enter the Go scheduler by choice, see yieldEvery.
	nextYield int64
	last      int64 // the arrival before next
	armed     int64 // what the timer is set to, zero after it fired
	from      int64 // counted part: from..end; end is noArrival while unknown
	end       int64
	issued    int64 // counted arrivals so far
	stopped   bool  // the context ended the run
}

// now is nanoseconds since the start of the run, without a system call.
func (l *loop) now() int64 { return int64(time.Since(l.base)) }

func generate(ctx context.Context, o GenOptions, to target, sched *Schedule) (Result, error) {
	l := &loop{
		ctx: ctx, o: o, to: to, sched: sched, rec: newRecorder(len(o.Steps)), req: newRequest(to),
		buf: make([]byte, 64<<10), events: make([]unix.EpollEvent, 128), base: time.Now(), epoll: -1, tick: -1,
	}
	defer l.shut()
	if err := l.setup(); err != nil {
		return Result{}, fmt.Errorf("set up generator: %w", err)
	}
	if err := l.establish(); err != nil {
		return Result{}, fmt.Errorf("connect to %s: %w", to.addr, err)
	}
	l.rep = newReporter(o.Progress)
	defer l.rep.stop()
	return l.measure()
}

func (l *loop) setup() (err error) {
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return fmt.Errorf("create epoll: %w", err)
	}
	// A timerfd has the precision of an hrtimer; epoll's own timeout only
	// milliseconds.
	if l.tick, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC); err != nil {
		return fmt.Errorf("create timerfd: %w", err)
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: timerSlot}
	if err = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.tick, &ev); err != nil {
		return fmt.Errorf("watch timer: %w", err)
	}
	for i := range l.o.Connections {
		l.conns = append(l.conns, &conn{slot: int32(i), fd: -1})
	}
	return nil
}

func (l *loop) shut() {
	for _, c := range l.conns {
		c.shut()
	}
	for _, fd := range []int{l.epoll, l.tick} {
		if fd >= 0 {
			_ = unix.Close(fd) // nothing buffered
		}
	}
}

// establish opens all connections before the run, waiting for a service that
// still starts, so that no measured request pays for a handshake. One
// connection is enough to go on.
func (l *loop) establish() error {
	for {
		now := l.now()
		if len(l.idle) == len(l.conns) {
			return nil
		}
		if now > int64(l.o.ConnectTimeout) {
			if len(l.idle) > 0 {
				return nil
			}
			return errors.Join(errNoConnection, l.connErr)
		}
		if err := l.ctx.Err(); err != nil {
			return err
		}
		l.reconnect(now)
		if err := l.wait(10); err != nil {
			return err
		}
	}
}

var errNoConnection = errors.New("no connection accepted in time")

// measure runs the schedule and the drain.
func (l *loop) measure() (res Result, err error) {
	restore, schedErr := l.policy()
	defer func() { err = errors.Join(err, restore()) }()
	before, err := processCPU()
	if err != nil {
		return Result{}, err
	}
	if err := l.begin(); err != nil {
		return Result{}, err
	}
	planned := l.end
	if err := l.run(); err != nil {
		return Result{}, err
	}
	ran := l.now()
	after, err := processCPU()
	if err != nil {
		return Result{}, err
	}
	res, err = l.rec.result(l.o, time.Duration(max(0, l.end-l.from)))
	res.Start, res.StartMono = l.base, time.Duration(l.mono)
	res.Interrupted = l.o.Duration > 0 && l.stopped && l.end < planned
	res.CPU = after - before
	res.CPUPercent = 100 * float64(res.CPU) / float64(max(1, ran))
	if res.Scheduler = "other"; schedErr != nil {
		res.SchedulerError = schedErr.Error()
	} else if l.o.SchedFIFO {
		res.Scheduler = "fifo"
	}
	return res, err
}

// begin sets the clock of the run to zero.
func (l *loop) begin() error {
	mono, err := monotonic()
	if err != nil {
		return err
	}
	l.base, l.mono = time.Now(), int64(mono)
	for _, c := range l.conns {
		c.retryAt = 0
	}
	l.rec.connErrors = 0 // refused while the service started
	l.from, l.end = int64(l.o.Warmup), noArrival
	if l.o.Duration > 0 {
		l.end = l.from + int64(l.o.Duration)
	}
	l.advance()
	return nil
}

// policy raises the process if asked for; restore is never nil.
func (l *loop) policy() (restore func() error, err error) {
	nothing := func() error { return nil }
	if !l.o.SchedFIFO {
		return nothing, nil
	}
	if restore, err = fifo(fifoPriority); err != nil {
		return nothing, err
	}
	return restore, nil
}

// run sends until the schedule, the duration or the context ends, and drains.
func (l *loop) run() error {
	drained := noArrival
	for {
		l.dispatch()
		now := l.now()
		if now >= l.nextTick {
			l.housekeep(now)
			l.nextTick = now + int64(progressEvery)
			if l.ctx.Err() != nil {
				l.stop(now)
				return nil
			}
		}
		if l.next.at == noArrival && now >= l.end {
			if drained == noArrival {
				drained = now + int64(l.o.Drain)
			}
			if l.busy+l.queue.len() == 0 || now >= drained {
				l.giveUp(now)
				return nil
			}
		}
		if now >= l.nextYield {
			runtime.Gosched()
			l.nextYield = l.now() + yieldEvery
		}
		wake := min(l.next.at, l.nextTick, l.nextYield, drained)
		if now < l.end {
			wake = min(wake, l.end)
		}
		if err := l.sleep(wake); err != nil {
			return err
		}
	}
}

// sleep waits for an event, or until wake less the spin.
func (l *loop) sleep(wake int64) error {
	gap := wake - int64(l.o.Spin) - l.now()
	if gap <= 0 {
		return l.wait(0)
	}
	if l.armed != wake {
		spec := unix.ItimerSpec{Value: unix.NsecToTimespec(gap)}
		if err := unix.TimerfdSettime(l.tick, 0, &spec, nil); err != nil {
			return fmt.Errorf("set timer: %w", err)
		}
		l.armed = wake
	}
	return l.wait(-1)
}

// wait takes events for at most the given milliseconds, -1 for ever.
func (l *loop) wait(ms int) error {
	n, err := unix.EpollWait(l.epoll, l.events, ms)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("wait for events: %w", err)
	}
	for _, ev := range l.events[:max(n, 0)] {
		if ev.Fd == timerSlot {
			l.armed = 0 // setting it anew clears the event
			continue
		}
		if c := l.conns[ev.Fd]; c.state != connClosed && c.generation == ev.Pad {
			l.handle(c, ev.Events)
		}
	}
	return nil
}
