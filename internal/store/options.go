package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Defaults of Options.
const (
	DefaultRetention  = 24 * time.Hour
	DefaultMaxBytes   = 256 << 20
	DefaultInterval   = 5 * time.Second
	DefaultMaxSamples = 1_000_000
	DefaultRetry      = time.Minute
)

const (
	// minRetention keeps a block (a quarter of the retention at most) longer
	// than a handful of chunks.
	minRetention = 10 * time.Minute
	// minMaxBytes leaves room for the write-ahead log, which size retention
	// counts but cannot delete.
	minMaxBytes = 16 << 20
	minInterval = 100 * time.Millisecond
)

// Options configures a Store. Dir and Gatherer must be set; every other zero
// value means the default.
type Options struct {
	// Dir holds the database. It is created, with its parents, when missing.
	// The directory's siblings Dir+".corrupt-<time>" belong to the store too.
	Dir string
	// Retention is how far back history goes, at least 10 minutes. Whole blocks
	// expire, so up to an eighth more may be kept.
	Retention time.Duration
	// MaxBytes caps the size on disk, at least 16 MiB: oldest blocks go first.
	MaxBytes int64
	// Interval is the time between two gathers, at least 100 ms.
	Interval time.Duration
	// MaxSamples bounds what one query may hold in memory, in samples of 16 B.
	MaxSamples int
	// Retry is the time between two attempts to reopen a failed database.
	Retry time.Duration
	// Instance is the value of the instance label. Default: the host name.
	Instance string
	// Gatherer is what history is kept of. It is called from the store's
	// goroutine alone, never concurrently.
	Gatherer prometheus.Gatherer
	// Registerer receives the store's own metrics, anole_store_*. Nil: none.
	Registerer prometheus.Registerer
	// Log receives one line per change of state. Nil: silence.
	Log *slog.Logger
	// Now is the wall clock. Default: time.Now.
	Now func() time.Time
}

// complete validates o and fills in defaults.
func (o Options) complete() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("open metrics history: no directory given")
	}
	if o.Gatherer == nil {
		return o, errors.New("open metrics history: no gatherer given")
	}
	o.Retention = orDefault(o.Retention, DefaultRetention)
	o.MaxBytes = orDefault(o.MaxBytes, DefaultMaxBytes)
	o.Interval = orDefault(o.Interval, DefaultInterval)
	o.MaxSamples = orDefault(o.MaxSamples, DefaultMaxSamples)
	o.Retry = orDefault(o.Retry, DefaultRetry)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Instance == "" {
		o.Instance = hostname()
	}
	return o, o.check()
}

func (o Options) check() error {
	switch {
	case o.Retention < minRetention:
		return fmt.Errorf("open metrics history: retention %s is below %s", o.Retention, minRetention)
	case o.MaxBytes < minMaxBytes:
		return fmt.Errorf("open metrics history: size cap of %d bytes is below %d", o.MaxBytes, minMaxBytes)
	case o.Interval < minInterval:
		return fmt.Errorf("open metrics history: interval %s is below %s", o.Interval, minInterval)
	case o.MaxSamples < 0:
		return fmt.Errorf("open metrics history: negative sample limit %d", o.MaxSamples)
	case o.Retry < 0:
		return fmt.Errorf("open metrics history: negative retry period %s", o.Retry)
	}
	return nil
}

func orDefault[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func hostname() string {
	if name, err := os.Hostname(); err == nil && name != "" {
		return name
	}
	return "localhost"
}
