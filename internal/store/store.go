package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
)

const (
	// upkeepEvery is the period of housekeeping.
	upkeepEvery = time.Minute
	// badUpkeeps is how many housekeepings in a row may fail over the files'
	// content before they are given up.
	badUpkeeps = 3
	// closeLimit is the time Close may take in all.
	closeLimit = 2 * time.Second
	// lookback is how old a sample may be to count as the current value.
	lookback = 5 * time.Minute
	// queryLimit is the longest a query may run.
	queryLimit = 30 * time.Second
	// querySlots is how many queries run at the same time; others wait.
	querySlots = 2
)

// Store keeps the history of one Gatherer. Its methods are safe for concurrent
// use. Lock order: mu alone, never held across disk access or a gather.
type Store struct {
	opt     Options
	log     *slog.Logger
	met     *metrics
	engine  *promql.Engine
	parser  parser.Parser
	slots   chan struct{}
	started time.Time

	ctx  context.Context // done when Close is called
	stop context.CancelFunc
	done chan struct{} // closed when the loop has ended

	mu       sync.Mutex
	health   Health
	ses      *session // nil when there is no history
	families map[string]family

	// The rest belongs to the loop's goroutine.
	cache      *cache
	clock      clock
	lastTry    time.Time
	lastUpkeep time.Time
	failures   int    // housekeepings failed in a row
	gatherErr  string // of the last gather
}

// Open starts keeping history in o.Dir. The database is opened, and its log
// replayed, in the store's own goroutine, so Open does not touch the disk. The
// error concerns o or o.Registerer only; trouble with the directory shows in
// Health. Close must be called.
func Open(o Options) (*Store, error) {
	s, err := newStore(o)
	if err != nil {
		return nil, err
	}
	go s.run()
	return s, nil
}

// newStore makes a Store whose loop does not run.
func newStore(o Options) (*Store, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	s := &Store{
		opt: o, log: o.Log,
		parser:  parser.NewParser(parser.Options{}),
		slots:   make(chan struct{}, querySlots),
		started: o.Now(),
		done:    make(chan struct{}),
		clock:   clock{window: oooWindow.Milliseconds(), retention: o.Retention.Milliseconds()},
		health:  Health{State: Starting, Since: o.Now()},
	}
	s.engine = promql.NewEngine(promql.EngineOpts{
		MaxSamples: o.MaxSamples, Timeout: queryLimit, LookbackDelta: lookback,
		EnableAtModifier: true, EnableNegativeOffset: true,
		NoStepSubqueryIntervalFn: func(int64) int64 { return o.Interval.Milliseconds() },
		Parser:                   s.parser,
	})
	s.ctx, s.stop = context.WithCancel(context.Background())
	if s.met, err = newMetrics(s, o.Registerer); err != nil {
		s.stop()
		return nil, fmt.Errorf("open metrics history: %w", err)
	}
	return s, nil
}

// run is the loop. It ends when Close is called.
func (s *Store) run() {
	defer close(s.done)
	// A mapped file that was cut short faults; as a panic it can be recovered.
	debug.SetPanicOnFault(true)
	tick := time.NewTicker(s.opt.Interval)
	defer tick.Stop()
	for {
		s.step()
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// step is one turn of the loop: have a database, append to it, keep it in shape.
func (s *Store) step() {
	ses := s.session()
	if ses == nil {
		if !s.lastTry.IsZero() && time.Since(s.lastTry) < s.opt.Retry {
			return
		}
		if ses = s.reopen(); ses == nil {
			return
		}
	}
	err := roomFor(s.opt.Dir, minFree)
	if err == nil {
		err = s.sample(ses)
	}
	if err == nil && time.Since(s.lastUpkeep) >= upkeepEvery {
		s.lastUpkeep = time.Now()
		err = s.upkeep(ses)
	}
	if err != nil && s.ctx.Err() == nil {
		s.fail(err)
	}
}

// session returns the open session, nil if there is none.
func (s *Store) session() *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ses
}

// upkeep runs housekeeping. Failures over the files' content are tolerated a
// few times, because the database retries around blocks it has marked bad.
func (s *Store) upkeep(ses *session) error {
	err := ses.housekeep()
	s.met.bytes.Store(ses.bytes())
	if err == nil {
		s.failures = 0
		return nil
	}
	s.met.failures.Inc()
	if environment(err) {
		return err
	}
	s.failures++
	// After a panic the database's locks are in an unknown state: no second try.
	if s.failures < badUpkeeps && !errors.Is(err, errPanicked) {
		s.log.Warn("metrics history not compacted", "error", err)
		return nil
	}
	return fmt.Errorf("%w: %w", errCorrupt, err)
}

// fail ends the session. Corrupted data is moved aside and history starts anew
// at once; anything else is tried again after Options.Retry.
func (s *Store) fail(err error) {
	s.met.failures.Inc()
	s.end(closeLimit)
	s.lastTry = time.Now()
	if errors.Is(err, errCorrupt) {
		s.renew(err)
		return
	}
	s.enter(Off, err.Error())
}

// end takes the session away from queries and closes it.
func (s *Store) end(limit time.Duration) {
	s.mu.Lock()
	ses := s.ses
	s.ses = nil
	s.mu.Unlock()
	if ses == nil {
		return
	}
	if err := ses.close(limit); err != nil && !environment(err) {
		s.log.Warn("metrics history not closed cleanly", "error", err)
	}
}

// Close stops gathering and flushes what was appended, within two seconds. The
// handler answers 503 afterwards. It is idempotent. An error means that the
// gatherer or the disk did not return in time; what was appended before is safe
// in the write-ahead log all the same.
func (s *Store) Close() error {
	s.stop()
	var err error
	timer := time.NewTimer(closeLimit / 2)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		err = errors.New("close metrics history: gather still running")
	}
	s.end(closeLimit / 2)
	s.met.unregister()
	s.enter(Closed, "")
	return err
}
