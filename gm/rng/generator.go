package rng

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrState is of a generator in its error state. It says no more: Err does.
var ErrState = errors.New("rng: the generator is in its error state")

// Reader is the generator of this process. It starts with the first Read.
var Reader = &Generator{}

// Read fills b from Reader.
func Read(b []byte) (int, error) { return Reader.Read(b) }

// Options of a generator. The zero value is fit for use.
type Options struct {
	Source  io.Reader     // of entropy; Kernel if nil
	Entropy float64       // bits of it that each of the source's bytes is taken to have, 1 to 8; 1 if 0
	Blocks  uint64        // of 32 bytes, after which it is seeded anew; 1,024 if 0
	Age     time.Duration // of a seed, after which it is seeded anew; 60 s if 0
	Shards  int           // generators in it, each with a lock; as many as GOMAXPROCS if 0
}

// mostShards bounds them on large machines.
const mostShards = 64

func (o Options) withDefaults() (Options, error) {
	if o.Source == nil {
		o.Source = Kernel
	}
	if o.Entropy == 0 {
		o.Entropy = 1
	}
	if !(o.Entropy >= 1 && o.Entropy <= 8) {
		return o, fmt.Errorf("entropy of %v bits a byte: want 1 to 8", o.Entropy)
	}
	if o.Blocks == 0 {
		o.Blocks = 1 << 10
	}
	if o.Age == 0 {
		o.Age = time.Minute
	}
	if o.Age < 0 || o.Shards < 0 {
		return o, errors.New("age and shards of a generator: want none that is negative")
	}
	if o.Shards == 0 {
		o.Shards = runtime.GOMAXPROCS(0)
	}
	o.Shards = min(o.Shards, mostShards)
	return o, nil
}

// Generator gives random bytes. The zero value starts, with default Options, with the
// first Read. It is safe for concurrent use.
type Generator struct {
	mu     sync.Mutex // is taken before any shard's, and held to change state
	opt    Options
	shards atomic.Pointer[[]*shard] // nil before the start and in the error state
	cause  atomic.Pointer[error]    // of the error state
	stats  counters
}

type counters struct{ bytes, reseeds, repetition, proportion, source atomic.Uint64 }

// Stats count since the process started.
type Stats struct {
	Bytes      uint64 // given
	Reseeds    uint64 // after the first seed
	Repetition uint64 // failures of the repetition count test
	Proportion uint64 // failures of the adaptive proportion test
	Source     uint64 // errors of the source
}

// Open starts a generator: it tests itself and its source, and seeds.
func Open(o Options) (*Generator, error) {
	g := &Generator{opt: o}
	return g, g.Restart()
}

// Restart starts a generator anew, with the tests that it starts with: only thereby it
// leaves its error state, and only if they pass.
func (g *Generator) Restart() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.start()
}

// start is called with mu held.
func (g *Generator) start() error {
	o, err := g.opt.withDefaults()
	if err != nil {
		return err
	}
	shards := make([]*shard, o.Shards)
	if err = SelfTest(); err == nil {
		for i := range shards {
			shards[i] = &shard{of: g, opt: o}
			if err = shards[i].open(); err != nil {
				break
			}
		}
	}
	if err != nil {
		g.enterError(err)
		return fmt.Errorf("start the random bit generator: %w", err)
	}
	g.retire(g.shards.Swap(&shards))
	g.cause.Store(nil)
	return nil
}

// running gives the shards, starting them where that was not done.
func (g *Generator) running() ([]*shard, error) {
	if s := g.shards.Load(); s != nil {
		return *s, nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if s := g.shards.Load(); s != nil {
		return *s, nil
	}
	if g.cause.Load() != nil {
		return nil, ErrState
	}
	if err := g.start(); err != nil {
		return nil, ErrState
	}
	return *g.shards.Load(), nil
}

// Read fills b. The error is ErrState, with nothing in b.
func (g *Generator) Read(b []byte) (int, error) {
	if len(b) == 0 {
		return 0, nil
	}
	for {
		shards, err := g.running()
		if err != nil {
			return 0, err
		}
		s := free(shards)
		err = s.fill(b)
		s.mu.Unlock()
		switch {
		case err == nil:
			return len(b), nil
		case errors.Is(err, errRetired): // a restart or a failure came between
			continue
		}
		clear(b)
		g.mu.Lock()
		g.enterError(err)
		g.mu.Unlock()
		return 0, ErrState
	}
}

// free locks one that nobody holds, or waits for one.
func free(shards []*shard) *shard {
	n := len(shards)
	first := int(rand.Uint32N(uint32(n))) // nothing secret: who waits for whom
	for i := range n {
		if s := shards[(first+i)%n]; s.mu.TryLock() {
			return s
		}
	}
	s := shards[first]
	s.mu.Lock()
	return s
}

// enterError enters the error state. mu is held.
func (g *Generator) enterError(err error) {
	g.cause.CompareAndSwap(nil, &err) // the first tells most
	var h *HealthError
	switch {
	case errors.As(err, &h) && h.Test == repetitionTest:
		g.stats.repetition.Add(1)
	case errors.As(err, &h):
		g.stats.proportion.Add(1)
	default:
		g.stats.source.Add(1)
	}
	g.retire(g.shards.Swap(nil))
}

// retire wipes shards that nobody is to use any more.
func (g *Generator) retire(shards *[]*shard) {
	if shards == nil {
		return
	}
	for _, s := range *shards {
		s.mu.Lock()
		s.wipe()
		s.mu.Unlock()
		g.stats.bytes.Add(s.given.Swap(0))
	}
}

// Err is why the generator is in its error state, or nil.
func (g *Generator) Err() error {
	if c := g.cause.Load(); c != nil {
		return *c
	}
	return nil
}

// Stats gives the counts.
func (g *Generator) Stats() Stats {
	given := g.stats.bytes.Load()
	if shards := g.shards.Load(); shards != nil {
		for _, s := range *shards {
			given += s.given.Load()
		}
	}
	return Stats{given, g.stats.reseeds.Load(), g.stats.repetition.Load(), g.stats.proportion.Load(), g.stats.source.Load()}
}
