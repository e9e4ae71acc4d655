package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"
)

// Kind names what a burner does.
type Kind string

// The kinds of burners.
const (
	Spin   Kind = "spin"   // arithmetic in registers; the default
	Memory Kind = "memory" // read-modify-write stream over a buffer
	Mixed  Kind = "mixed"  // one unit of each in turn
)

// DefaultBuffer is the buffer of each memory thread: larger than the caches.
const DefaultBuffer = 64 << 20

const (
	maxBuffer       = 4 << 30
	defaultInterval = time.Second
)

// BurnOptions describes BE load.
type BurnOptions struct {
	// Threads is the number of operating system threads, one per CPU when
	// zero.
	Threads int `json:"threads,omitempty"`
	// Kind of work, Spin when empty.
	Kind Kind `json:"kind,omitempty"`
	// Buffer is the size of each thread's memory stream in bytes,
	// DefaultBuffer when zero.
	Buffer int64 `json:"buffer_bytes,omitempty"`
	// Calibration from Calibrate; zero calibrates first, which on a busy node
	// gives another unit than on an idle one.
	Calibration Calibration `json:"calibration"`
	// StatsFile, when not empty, is replaced by a file whose mapped counters
	// are exact at any time, also after the burner was killed: see
	// ReadBurnStats.
	StatsFile string `json:"stats_file,omitempty"`
	// Interval of the lines on Report, a second when zero.
	Interval time.Duration `json:"interval_ns,omitempty"`
	// Report receives one line of JSON (BurnStats) each interval and one at
	// the end. A write error ends the burn.
	Report io.Writer `json:"-"`
}

// BurnStats is the work done so far.
type BurnStats struct {
	PID     int  `json:"pid"`
	Kind    Kind `json:"kind"`
	Threads int  `json:"threads"`
	// Units of work done by all threads: one is what an idle CPU does in a
	// millisecond.
	Units     uint64   `json:"units"`
	PerThread []uint64 `json:"per_thread"`
	// CPU time of all threads as of their last unit.
	CPU time.Duration `json:"cpu_ns"`
	// StartMono is the start on CLOCK_MONOTONIC.
	StartMono time.Duration `json:"start_mono_ns"`
}

func (o *BurnOptions) resolve() error {
	if o.Threads == 0 {
		o.Threads = runtime.NumCPU()
	}
	if o.Threads < 1 || o.Threads > maxBurnThreads {
		return fmt.Errorf("burn: %d threads is not in 1..%d", o.Threads, maxBurnThreads)
	}
	switch o.Kind {
	case "":
		o.Kind = Spin
	case Spin, Memory, Mixed:
	default:
		return fmt.Errorf("burn: kind %q is not %s, %s or %s", o.Kind, Spin, Memory, Mixed)
	}
	if o.Buffer == 0 {
		o.Buffer = DefaultBuffer
	}
	if o.Buffer < 4096 || o.Buffer > maxBuffer {
		return fmt.Errorf("burn: buffer of %d bytes is not in 4096..%d", o.Buffer, int64(maxBuffer))
	}
	if o.Interval <= 0 {
		o.Interval = defaultInterval
	}
	var err error
	o.Calibration, err = o.Calibration.complete(o.Kind != Spin)
	return err
}

// Burn uses all CPU time that the kernel gives to its threads until ctx ends,
// and returns the work done. Its threads are its own: they end with it, and
// nothing that is done to them (policy, affinity) outlives it. They look for
// the end of ctx once per unit, so a starved burner stops late; kill it then
// and read the StatsFile.
func Burn(ctx context.Context, o BurnOptions) (BurnStats, error) {
	if err := o.resolve(); err != nil {
		return BurnStats{}, err
	}
	board, err := openBoard(o)
	if err != nil {
		return BurnStats{}, err
	}
	// Each thread needs a processor of the Go scheduler to itself, or the
	// runtime and not the kernel would share the CPUs out among them.
	if procs := runtime.GOMAXPROCS(0); procs < o.Threads+1 {
		runtime.GOMAXPROCS(o.Threads + 1)
		defer runtime.GOMAXPROCS(procs)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var threads sync.WaitGroup
	failures := make([]error, o.Threads)
	for i := range o.Threads {
		threads.Go(func() {
			defer cancel() // a thread that cannot count ends all
			runtime.LockOSThread()
			failures[i] = burnThread(ctx, o, board.slots[i])
		})
	}
	reportErr := board.report(ctx, o)
	cancel()
	threads.Wait()
	stats := board.stats()
	if o.Report != nil && reportErr == nil {
		reportErr = writeLine(o.Report, stats)
	}
	return stats, errors.Join(append(failures, reportErr, board.close())...)
}

// burnThread works on the calling thread, which is locked and stays so.
func burnThread(ctx context.Context, o BurnOptions, s slot) error {
	var buf []uint64
	if o.Kind != Spin {
		buf = make([]uint64, o.Buffer/64*wordsPerLine)
	}
	at := uint64(0)
	for unit := uint64(0); ctx.Err() == nil; unit++ {
		if o.Kind == Spin || (o.Kind == Mixed && unit%2 == 0) {
			spin(o.Calibration.SpinPerMS)
		} else {
			at = stream(buf, at, o.Calibration.LinesPerMS)
		}
		s.units.Add(1)
		cpu, err := threadCPU()
		if err != nil {
			return err
		}
		s.cpu.Store(uint64(cpu))
	}
	return nil
}

// report writes lines until ctx ends.
func (b *board) report(ctx context.Context, o BurnOptions) error {
	if o.Report == nil {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(o.Interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if err := writeLine(o.Report, b.stats()); err != nil {
				return err
			}
		}
	}
}

func writeLine(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("marshal report: %w", err)
	}
	if _, err = w.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
