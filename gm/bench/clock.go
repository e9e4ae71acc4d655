package bench

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/procfs"
)

// timed says what f took this process: all its threads, so that goroutines and the
// garbage that f makes count. The garbage of what ran before does not.
func timed(f func() error) (took, error) {
	runtime.GC()
	start, cpu := time.Now(), cpuTime()
	err := f()
	return took{cpuTime() - cpu, time.Since(start)}, err
}

// cpuTime is what this process used so far.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts) != nil {
		return 0 // every kernel has it; turns refuses a sample that took nothing
	}
	return time.Duration(ts.Nano())
}

// practice is how often an operation is done before n times are measured. The driver
// does the same.
func practice(n int) int { return n/8 + 1 }

// inProcess is a subject in this process. open begins anew and gives the operation; end,
// if not nil, is where it puts what it computes.
func inProcess(name string, work float64, end []byte, open func() (func() error, error)) *subject {
	return &subject{name: name, work: work, run: func(n int) (took, string, error) {
		op, err := open()
		if err != nil {
			return took{}, "", err
		}
		times := func(n int) func() error {
			return func() error {
				for range n {
					if err := op(); err != nil {
						return err
					}
				}
				return nil
			}
		}
		if err := times(practice(n))(); err != nil {
			return took{}, "", err
		}
		t, err := timed(times(n))
		return t, fmt.Sprintf("%x", end), err
	}}
}

// stopwatch is of the whole node.
type stopwatch struct {
	file *procfs.StatFile
	was  procfs.CPU
	at   time.Time
}

func watch() (*stopwatch, error) {
	f, err := procfs.OpenStat("")
	if err != nil {
		return nil, err
	}
	was, err := f.Read()
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &stopwatch{f, was, time.Now()}, nil
}

// since gives the node's busy time, its time over all CPUs, and the time that passed.
func (w *stopwatch) since() (busy, total, wall time.Duration, err error) {
	now, err := w.file.Read()
	if err != nil {
		return 0, 0, 0, err
	}
	now = now.Sub(w.was)
	return now.Busy(), now.Total(), time.Since(w.at), nil
}

func (w *stopwatch) close() { _ = w.file.Close() }

// pin holds the process, and all that it starts, on the last CPU that it may use.
func pin() (unpin func(), err error) {
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		return nil, fmt.Errorf("ask for the CPUs of this process: %w", err)
	}
	last := len(all)*strconv.IntSize - 1
	for ; last > 0 && !all.IsSet(last); last-- {
	}
	one.Set(last)
	if err := setThreads(&one); err != nil {
		return nil, fmt.Errorf("hold this process on one CPU: %w", err)
	}
	return func() { _ = setThreads(&all) }, nil
}

// setThreads looks again until no thread is new: they inherit from who started them.
func setThreads(set *unix.CPUSet) error {
	done := map[string]bool{}
	for found := true; found; {
		found = false
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], found = true, true
			tid, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, set); err != nil && err != unix.ESRCH {
				return err
			}
		}
	}
	return nil
}
