package load

import (
	"fmt"
	"math"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Calibration says how much work this node does in one millisecond of CPU
// time when idle. Take it once per bench and hand it to every service and
// burner: then all rounds measure in the same unit. The zero value makes each
// part calibrate for itself.
type Calibration struct {
	// SpinPerMS is the number of spin iterations per CPU millisecond.
	SpinPerMS uint64 `json:"spin_per_ms"`
	// LinesPerMS is the number of 64-byte lines per CPU millisecond that a
	// read-modify-write stream over DefaultBuffer bytes covers. Zero when the
	// memory stream was not calibrated.
	LinesPerMS uint64 `json:"lines_per_ms,omitempty"`
}

const (
	calibrationChunks = 24
	wordsPerLine      = 8 // 64-byte cache line of uint64 words
)

// spin is the unit of CPU work: n dependent xorshift64 steps (Marsaglia 2003),
// which touch no memory, so that its speed depends on the core alone.
//
//go:noinline
func spin(n uint64) {
	x := uint64(0x9e3779b97f4a7c15)
	for ; n > 0; n-- {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	runtime.KeepAlive(x)
}

// stream updates n lines of buf, beginning at line from, wrapping at the end,
// and returns the line to go on from. len(buf) must be a multiple of
// wordsPerLine and not zero.
//
//go:noinline
func stream(buf []uint64, from, n uint64) uint64 {
	lines := uint64(len(buf) / wordsPerLine)
	at := from % lines
	for ; n > 0; n-- {
		line := buf[at*wordsPerLine : at*wordsPerLine+wordsPerLine]
		for i := range line {
			line[i] += at
		}
		if at++; at == lines {
			at = 0
		}
	}
	return at
}

// Calibrate measures the spin rate on the calling thread against
// CLOCK_THREAD_CPUTIME_ID; it blocks for about 30 ms of CPU time. With memory
// it measures the stream over DefaultBuffer bytes too, for about 100 ms more.
// The fastest of many short chunks counts: preemption, cold caches and SMT
// neighbours only ever slow a chunk down.
func Calibrate(memory bool) (Calibration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var c Calibration
	var err error
	if c.SpinPerMS, err = perMillisecond(spin); err != nil {
		return Calibration{}, fmt.Errorf("calibrate spin: %w", err)
	}
	if !memory {
		return c, nil
	}
	buf := make([]uint64, DefaultBuffer/8)
	lines := uint64(len(buf) / wordsPerLine)
	at := stream(buf, 0, lines) // fault the pages in
	if c.LinesPerMS, err = perMillisecond(func(n uint64) { at = stream(buf, at, n) }); err != nil {
		return Calibration{}, fmt.Errorf("calibrate memory stream: %w", err)
	}
	return c, nil
}

// perMillisecond finds how many units of f fit into a millisecond of CPU time
// of the calling thread, which must be locked.
func perMillisecond(f func(uint64)) (uint64, error) {
	n, took := uint64(1000), time.Duration(0)
	for took < time.Millisecond {
		n *= 2
		var err error
		if took, err = threadTime(f, n); err != nil {
			return 0, err
		}
	}
	best := math.MaxFloat64
	for range calibrationChunks {
		took, err := threadTime(f, n)
		if err != nil {
			return 0, err
		}
		best = min(best, float64(took)/float64(n))
	}
	return max(1, uint64(float64(time.Millisecond)/best)), nil
}

func threadTime(f func(uint64), n uint64) (time.Duration, error) {
	before, err := threadCPU()
	if err != nil {
		return 0, err
	}
	f(n)
	after, err := threadCPU()
	return after - before, err
}

// spins converts d of CPU time into spin iterations.
func (c Calibration) spins(d time.Duration) uint64 {
	return uint64(float64(c.SpinPerMS) * float64(d) / float64(time.Millisecond))
}

// complete fills what the caller did not calibrate.
func (c Calibration) complete(memory bool) (Calibration, error) {
	if c.SpinPerMS > 0 && (c.LinesPerMS > 0 || !memory) {
		return c, nil
	}
	own, err := Calibrate(memory)
	if c.SpinPerMS > 0 {
		own.SpinPerMS = c.SpinPerMS
	}
	return own, err
}

// threadCPU returns the CPU time of the calling thread.
func threadCPU() (time.Duration, error) { return clockRead(unix.CLOCK_THREAD_CPUTIME_ID) }

// processCPU returns the CPU time of all threads of the process.
func processCPU() (time.Duration, error) { return clockRead(unix.CLOCK_PROCESS_CPUTIME_ID) }

// monotonic returns CLOCK_MONOTONIC, which all processes of a node (and time
// namespace) share.
func monotonic() (time.Duration, error) { return clockRead(unix.CLOCK_MONOTONIC) }

func clockRead(id int32) (time.Duration, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0, fmt.Errorf("read clock %d: %w", id, err)
	}
	return time.Duration(ts.Nano()), nil
}
