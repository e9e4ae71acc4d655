package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/compression"
)

const (
	// oooWindow is how far behind the newest sample one may be written: a clock
	// step back of this size costs nothing.
	oooWindow = 10 * time.Minute
	// maxBlock bounds the head: the head spans one and a half blocks, so this
	// decides the length of the log that a start must replay.
	maxBlock = time.Hour
	// never is longer than any process lives: the database's own timer, which
	// m-maps and reloads in a goroutine that panics on a full disk, is not used.
	never = 100 * 365 * 24 * time.Hour

	walSegmentBytes   = 4 << 20
	chunkSegmentBytes = 32 << 20
	// stripes of the series map: 16,384 by default, sized for millions of series.
	stripes = 512
	// compactGC is the garbage collector's percentage while a block is written.
	compactGC = 25
)

// session is one life of the open database, from open to failure or Close.
type session struct {
	db  *tsdb.DB
	reg *prometheus.Registry // the database's own metrics, not exported
	// block is the length of the shortest block.
	block time.Duration

	ctx    context.Context // done when the session ends; queries run under it
	cancel context.CancelFunc
	users  sync.WaitGroup // running queries
}

// tsdbOptions sizes the database for some thousand series in a few MiB.
func tsdbOptions(o Options) *tsdb.Options {
	block := blockOf(o)
	t := tsdb.DefaultOptions()
	t.WALSegmentSize = walSegmentBytes
	t.MaxBlockChunkSegmentSize = chunkSegmentBytes
	t.RetentionDuration = o.Retention.Milliseconds()
	t.MaxBytes = o.MaxBytes
	t.MinBlockDuration = block.Milliseconds()
	t.MaxBlockDuration = min(3*block, o.Retention/8+block).Milliseconds()
	t.WALCompression = compression.Snappy
	t.WALReplayConcurrency = 1
	t.StripeSize = stripes
	t.HeadChunksWriteBufferSize = chunks.MinWriteBufferSize
	t.HeadChunksWriteQueueSize = 0 // write in the caller, where a panic can be caught
	t.IsolationDisabled = true
	t.OutOfOrderTimeWindow = oooWindow.Milliseconds()
	t.BlockReloadInterval = never
	return t
}

func blockOf(o Options) time.Duration { return min(maxBlock, o.Retention/4) }

// openSession opens the database in o.Dir. A panic of the database on garbage
// becomes an error.
func openSession(o Options, log *slog.Logger) (ses *session, err error) {
	defer recovered("open database", &err)
	reg := prometheus.NewRegistry()
	db, err := tsdb.Open(o.Dir, slog.New(newQuiet(log.Handler())), reg, tsdbOptions(o), nil)
	if err != nil {
		return nil, err
	}
	db.DisableCompactions()
	ses = &session{db: db, reg: reg, block: blockOf(o)}
	ses.ctx, ses.cancel = context.WithCancel(context.Background())
	return ses, nil
}

// close ends the session: queries are cancelled, buffered chunks written. It
// waits at most limit; a database that is stuck in the kernel is left behind.
func (ses *session) close(limit time.Duration) error {
	ses.cancel()
	done := make(chan error, 1)
	go func() {
		var err error
		defer func() { done <- err }()
		defer recovered("close database", &err)
		ses.users.Wait()
		err = ses.db.Close()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("close database: not done after %s", limit)
	}
}

// housekeep m-maps full chunks, cuts blocks, merges them and applies retention.
func (ses *session) housekeep() (err error) {
	defer recovered("compact database", &err)
	ses.db.ForceHeadMMap()
	if ses.due() {
		// Writing a block takes three 4 MiB buffers (tsdb/index: NewFileWriter)
		// besides the data. Collecting eagerly meanwhile, and giving the memory
		// back after, trades CPU once per block for a lower peak. The setting is
		// the process's: nothing else in the agent may change it.
		defer debug.FreeOSMemory()
		defer debug.SetGCPercent(debug.SetGCPercent(compactGC))
	}
	if err := ses.db.Compact(ses.ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("compact database: %w", err)
	}
	return nil
}

// due reports whether the head is long enough for a block to be cut, by the
// database's own rule (tsdb/head.go: compactable).
func (ses *session) due() bool {
	head := ses.db.Head()
	return head.NumSeries() > 0 && head.MaxTime()-head.MinTime() > ses.block.Milliseconds()/2*3
}

// bytes is the size on disk: blocks, head chunks and write-ahead log.
func (ses *session) bytes() int64 {
	n := ses.db.Head().Size()
	for _, b := range ses.db.Blocks() {
		n += b.Size()
	}
	return n
}

// value reads one metric of the database without labels, 0 if there is none.
func (ses *session) value(name string) float64 {
	families, err := ses.reg.Gather()
	if err != nil {
		return 0
	}
	for _, f := range families {
		if f.GetName() != name || len(f.GetMetric()) == 0 {
			continue
		}
		m := f.GetMetric()[0]
		return m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return 0
}

// errPanicked wraps a panic of the database. Its locks may be held for ever
// after, so the session it came from must be given up.
var errPanicked = errors.New("database panicked")

// recovered turns a panic in the calling function into *err. If the value is an
// error it stays visible to errors.Is, which tells a full disk from garbage.
func recovered(doing string, err *error) {
	switch v := recover().(type) {
	case nil:
	case error:
		*err = fmt.Errorf("%s: %w: %w", doing, errPanicked, v)
	default:
		*err = fmt.Errorf("%s: %w: %v", doing, errPanicked, v)
	}
}
