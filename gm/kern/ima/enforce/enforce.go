package enforce

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/feature"
	"github.com/anole-os/anole/gm/kern/ima"
)

// Enforcer answers the kernel's questions.
type Enforcer struct {
	o     Options
	f     *os.File // the fanotify group
	self  int
	exe   [2]uint64 // device and inode of this program
	cache cache
	slots chan struct{} // of those who hash
	count counters
	tell  teller

	mu      sync.Mutex // after it the one of pending
	flights map[flightKey]*flight
	busy    sync.WaitGroup
	pending pending
}

// pending are those who wait for an answer, by descriptor, and since when.
type pending struct {
	mu    sync.Mutex
	since map[int]time.Time
}

func (p *pending) add(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.since[fd] = time.Now()
}

func (p *pending) done(fd int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.since, fd)
}

// longest is how long one waits already.
func (p *pending) longest() (d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.since {
		d = max(d, time.Since(t))
	}
	return d
}

type counters struct {
	events, own, hits, verified, rejected, denied, told, excepted, timeouts, uncached, errors atomic.Int64
}

// Open begins to be asked: from here on programs wait for Run. A *feature.UnsupportedError
// says that this kernel or process cannot.
func Open(o Options) (*Enforcer, error) {
	o.defaults()
	if o.Place == ima.Files {
		return nil, errors.New("labels in files cannot be enforced: what is executed has no name that could be relied on")
	}
	// Without a limit of the queue: what does not fit into one that has one goes on unasked.
	fd, err := unix.FanotifyInit(unix.FAN_CLASS_CONTENT|unix.FAN_CLOEXEC|unix.FAN_NONBLOCK|unix.FAN_UNLIMITED_QUEUE|unix.FAN_UNLIMITED_MARKS,
		unix.O_RDONLY|unix.O_LARGEFILE|unix.O_CLOEXEC|unix.O_NOATIME)
	if err != nil {
		return nil, fmt.Errorf("open fanotify: %w", unsupported(err))
	}
	e := &Enforcer{
		o: o, f: os.NewFile(uintptr(fd), "fanotify"), self: os.Getpid(), slots: make(chan struct{}, o.Workers),
		cache: cache{most: o.Cache, of: map[key]verdict{}}, flights: map[flightKey]*flight{}, pending: pending{since: map[int]time.Time{}},
	}
	e.tell.to = o.Tell
	var st unix.Stat_t
	if unix.Stat("/proc/self/exe", &st) == nil {
		e.exe = [2]uint64{st.Dev, st.Ino}
	}
	for _, p := range o.Paths {
		if err := e.mark(p); err != nil {
			_ = e.f.Close()
			return nil, fmt.Errorf("watch %s: %w", p, unsupported(err))
		}
	}
	return e, nil
}

func (e *Enforcer) mark(path string) error {
	mask, flags := uint64(unix.FAN_OPEN_EXEC_PERM), uint(unix.FAN_MARK_ADD)
	if e.o.Opens {
		mask |= unix.FAN_OPEN_PERM
	}
	switch e.o.Scope {
	case Mount:
		flags |= unix.FAN_MARK_MOUNT
	case Filesystem:
		flags |= unix.FAN_MARK_FILESYSTEM
	case Path:
		st, err := os.Stat(path)
		if err != nil {
			return err
		}
		if st.IsDir() {
			mask |= unix.FAN_EVENT_ON_CHILD
		}
	}
	raw, err := e.f.SyscallConn()
	if err != nil {
		return err
	}
	if cerr := raw.Control(func(fd uintptr) { err = unix.FanotifyMark(int(fd), flags, mask, unix.AT_FDCWD, path) }); cerr != nil {
		return cerr
	}
	return err
}

func unsupported(err error) error {
	u := &feature.UnsupportedError{Feature: "gm.ima.enforce", Err: err}
	switch {
	case errors.Is(err, unix.EPERM):
		u.Reason, u.Need, u.Fix = feature.NoPrivilege, "CAP_SYS_ADMIN", "run it as root"
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		u.Reason, u.Need = feature.NoKernel, "Linux 5.0 or later with CONFIG_FANOTIFY_ACCESS_PERMISSIONS"
	default:
		return err
	}
	return u
}

// Stats gives the counts.
func (e *Enforcer) Stats() Stats {
	c := &e.count
	return Stats{
		Events: c.events.Load(), Own: c.own.Load(), CacheHits: c.hits.Load(), Verified: c.verified.Load(), Rejected: c.rejected.Load(),
		Denied: c.denied.Load(), Told: c.told.Load(), Excepted: c.excepted.Load(), Timeouts: c.timeouts.Load(), Uncached: c.uncached.Load(),
		Errors: c.errors.Load(), Cached: int64(e.cache.len()),
	}
}

// Close ends it: what waits for an answer goes on, and nobody is asked any more.
func (e *Enforcer) Close() error { return e.f.Close() }

// troubles is how many errors of the kernel in a row end Run.
const troubles = 1000

// ErrStuck is of an Enforcer that could not answer for more than twice its timeout, and
// has therefore ended: everything goes on, unasked.
var ErrStuck = errors.New("an answer could not be given in time: programs run unasked from now on")

// watch ends the Enforcer where it is stuck.
func (e *Enforcer) watch(ctx context.Context, stuck context.CancelCauseFunc) {
	tick := time.NewTicker(max(10*time.Millisecond, min(time.Second, e.o.Timeout/4)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if e.pending.longest() > 2*e.o.Timeout {
				stuck(ErrStuck)
				_ = e.Close()
				return
			}
		}
	}
}

// Run answers until ctx is done, which closes the Enforcer; or until it is stuck, of which
// ErrStuck tells.
func (e *Enforcer) Run(ctx context.Context) error {
	ctx, cancelCause := context.WithCancelCause(ctx)
	cancel := func() { cancelCause(nil) }
	go e.watch(ctx, cancelCause)
	stop := context.AfterFunc(ctx, func() { _ = e.Close() })
	defer func() {
		stop()
		cancel()
		_ = e.Close()
		e.busy.Wait()
	}()
	b := make([]byte, 4096)
	failed := 0
	for {
		n, err := e.f.Read(b)
		if err != nil {
			if errors.Is(context.Cause(ctx), ErrStuck) {
				return ErrStuck
			}
			if ctx.Err() != nil || errors.Is(err, os.ErrClosed) {
				return nil
			}
			// The kernel denies by itself what it cannot open for this process, as
			// without descriptors that are free.
			e.count.errors.Add(1)
			if failed++; failed == troubles {
				return fmt.Errorf("read events: %w", err)
			}
			time.Sleep(time.Millisecond)
			continue
		}
		failed = 0
		events, err := parse(b[:n])
		for _, ev := range events {
			e.take(ctx, ev)
		}
		if err != nil {
			return err
		}
	}
}

// take answers an event at once, or has another goroutine do so. It opens nothing.
func (e *Enforcer) take(ctx context.Context, ev event) {
	e.count.events.Add(1)
	if ev.pid == e.self { // who waits for itself waits for ever
		e.count.own.Add(1)
		e.answer(ev, true)
		return
	}
	var st unix.Stat_t
	if err := unix.Fstat(ev.fd, &st); err != nil {
		e.pending.add(ev.fd)
		go e.judge(ev, trouble(err), true)
		return
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG { // a folder that is opened
		e.answer(ev, true)
		return
	}
	k := keyOf(&st)
	v, known := e.cache.get(k, ev.exec)
	switch {
	case !known:
		e.pending.add(ev.fd)
		e.join(ctx, flightKey{k, ev.exec}, ev)
	case v.good(ev.exec):
		e.count.hits.Add(1)
		e.answer(ev, true)
	default:
		e.count.hits.Add(1)
		e.pending.add(ev.fd)
		go e.judge(ev, v, true)
	}
}

// answer tells the kernel, and is done with the event's file.
func (e *Enforcer) answer(ev event, allow bool) {
	e.respond(ev, allow)
	_ = unix.Close(ev.fd)
}

func (e *Enforcer) respond(ev event, allow bool) {
	e.pending.done(ev.fd)
	if _, err := e.f.Write(response(ev.fd, allow)); err != nil && !errors.Is(err, os.ErrClosed) {
		e.count.errors.Add(1)
	}
}
