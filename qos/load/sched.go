package load

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxPasses bounds the walks over /proc/self/task: one more is needed only
// when a thread was born during the last.
const maxPasses = 16

// fifo puts every thread of the process under SCHED_FIFO and returns what
// puts them back. One thread is not enough: the Go scheduler preempts each
// goroutine after 10 ms and may resume it through another thread, which, being
// of the normal class, would wait behind the load that is measured. Threads
// born later inherit the policy.
//
// EPERM means no CAP_SYS_NICE and RLIMIT_RTPRIO 0 or, under RT_GROUP_SCHED, a
// cpu cgroup whose cpu.rt_runtime_us is 0.
func fifo(priority uint32) (restore func() error, err error) {
	want := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: priority}
	before := make(map[int]unix.SchedAttr)
	restore = func() error { return unfifo(before) }
	err = eachThread(func(tid int) error {
		old, err := unix.SchedGetAttr(tid, 0)
		if err != nil {
			return fmt.Errorf("get policy of thread %d: %w", tid, err)
		}
		if err := unix.SchedSetAttr(tid, &want, 0); err != nil {
			return fmt.Errorf("set SCHED_FIFO priority %d: %w", priority, err)
		}
		before[tid] = *old
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, restore())
	}
	return restore, nil
}

// unfifo gives all threads their policy back, and those born under FIFO the
// normal one.
func unfifo(before map[int]unix.SchedAttr) error {
	return eachThread(func(tid int) error {
		old, ok := before[tid]
		if !ok {
			now, err := unix.SchedGetAttr(tid, 0)
			if err != nil || now.Policy != unix.SCHED_FIFO {
				return err
			}
			old = unix.SchedAttr{Policy: unix.SCHED_NORMAL}
		}
		old.Size = unix.SizeofSchedAttr
		if err := unix.SchedSetAttr(tid, &old, 0); err != nil {
			return fmt.Errorf("restore policy of thread %d: %w", tid, err)
		}
		return nil
	})
}

// eachThread calls f once for each thread of the process, until a walk meets
// no new one. Threads that end meanwhile are no error.
func eachThread(f func(tid int) error) error {
	seen := make(map[int]bool)
	for range maxPasses {
		entries, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return fmt.Errorf("list threads: %w", err)
		}
		fresh := false
		for _, e := range entries {
			tid, err := strconv.Atoi(e.Name())
			if err != nil || seen[tid] {
				continue
			}
			seen[tid], fresh = true, true
			if err := f(tid); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
		}
		if !fresh {
			return nil
		}
	}
	return errors.New("list threads: new ones keep coming")
}
