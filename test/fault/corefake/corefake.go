// Package corefake is a stand-in for the kernel's core scheduling, for tests on
// machines without it. It implements coresched.Kernel.
package corefake

import (
	"sync"

	"golang.org/x/sys/unix"
)

// Kernel keeps cookies as kernel/sched/core_sched.c does, by real threads: the
// calling one is the calling one. A thread inherits only what the test says it
// does.
type Kernel struct {
	mu     sync.Mutex
	of     map[int]uint64 // cookie by thread
	alive  map[int]bool   // threads that exist though the system has none of the id
	denied map[int]bool
	next   uint64
	// Absent is what a kernel or a machine without it answers.
	Absent unix.Errno
}

// New makes a kernel in which nobody has a cookie; threads with the ids exist
// beside those of the system.
func New(alive ...int) *Kernel {
	f := &Kernel{of: map[int]uint64{}, alive: map[int]bool{}, denied: map[int]bool{}}
	for _, tid := range alive {
		f.alive[tid] = true
	}
	return f
}

// at finds a thread, whoever asks: 0 is the caller.
func (f *Kernel) at(tid int) (int, error) {
	if f.Absent != 0 {
		return 0, f.Absent
	}
	self := tid == 0
	if self {
		tid = unix.Gettid()
	}
	switch {
	case f.denied[tid]:
		return 0, unix.EPERM
	case !self && !f.alive[tid] && unix.Kill(tid, 0) == unix.ESRCH:
		return 0, unix.ESRCH
	}
	return tid, nil
}

// Cookie implements coresched.Kernel.
func (f *Kernel) Cookie(tid int) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tid, err := f.at(tid)
	return f.of[tid], err
}

// Create implements coresched.Kernel.
func (f *Kernel) Create(tid int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	tid, err := f.at(tid)
	if err == nil {
		f.next++
		f.of[tid] = 0xc0ffee00 + f.next
	}
	return err
}

// ShareTo implements coresched.Kernel.
func (f *Kernel) ShareTo(tid int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	to, err := f.at(tid)
	if err == nil {
		f.set(to, f.of[unix.Gettid()])
	}
	return err
}

// ShareFrom implements coresched.Kernel.
func (f *Kernel) ShareFrom(tid int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	from, err := f.at(tid)
	if err == nil {
		f.set(unix.Gettid(), f.of[from])
	}
	return err
}

func (f *Kernel) set(tid int, cookie uint64) {
	if f.of[tid] = cookie; cookie == 0 {
		delete(f.of, tid)
	}
}

// Ours counts the threads of this process that have a cookie.
func (f *Kernel) Ours() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for tid := range f.of {
		if unix.Tgkill(unix.Getpid(), tid, 0) == nil {
			n++
		}
	}
	return n
}

// Of gives a thread's cookie, 0 if it has none.
func (f *Kernel) Of(tid int) uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.of[tid]
}

// Set gives a thread a cookie, as somebody else or a fork does.
func (f *Kernel) Set(tid int, cookie uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.set(tid, cookie)
}

// End ends a thread that only exists here.
func (f *Kernel) End(tid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.alive, tid)
	delete(f.of, tid)
}

// Deny makes a thread one that the caller may not touch.
func (f *Kernel) Deny(tid int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.denied[tid] = true
}
