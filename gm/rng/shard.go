package rng

import (
	"errors"
	"fmt"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// strength is what a seed has to have, in bits of entropy; a nonce has half.
	strength = 256
	// fresh is how many bytes of the source go into each request.
	fresh = 32
	// stride is how much is given before fresh bytes are mixed in once more.
	stride = 4096
)

var errRetired = errors.New("rng: this generator was retired")

// shard is one generator with its source's health.
type shard struct {
	mu     sync.Mutex
	of     *Generator
	opt    Options
	drbg   drbg
	health health
	since  time.Time // of the seed; zero before the first and after the last
	raw    [startup]byte
	given  atomic.Uint64
	_      [64]byte // the next one's lock is on another cache line
}

// draw gets n bytes of the source into raw, and tests them.
func (s *shard) draw(n int) ([]byte, error) {
	b := s.raw[:n]
	if _, err := io.ReadFull(s.opt.Source, b); err != nil {
		return nil, fmt.Errorf("read the entropy source: %w", err)
	}
	if err := s.health.test(b); err != nil {
		return nil, err
	}
	return b, nil
}

// bytesFor is how many bytes of the source have so many bits of entropy.
func (s *shard) bytesFor(entropy float64) int { return int(math.Ceil(entropy / s.opt.Entropy)) }

// open tests the source and seeds.
func (s *shard) open() error {
	s.health = newHealth(s.opt.Entropy)
	if _, err := s.draw(startup); err != nil {
		return err
	}
	n := s.bytesFor(strength)
	b, err := s.draw(n + s.bytesFor(strength/2))
	if err != nil {
		return err
	}
	s.drbg.instantiate(b[:n], b[n:])
	clear(s.raw[:])
	s.since = time.Now()
	return nil
}

// fill fills b, or gives an error. mu is held.
func (s *shard) fill(b []byte) error {
	if s.since.IsZero() {
		return errRetired
	}
	n := len(b)
	for len(b) > 0 {
		piece := b[:min(len(b), stride)]
		b = b[len(piece):]
		if time.Since(s.since) >= s.opt.Age {
			if err := s.reseed(); err != nil {
				return err
			}
		}
		additional, err := s.draw(fresh)
		if err != nil {
			return err
		}
		for len(piece) > 0 {
			if s.drbg.count > s.opt.Blocks {
				// The seed is fresher than what was drawn, and takes its place in raw.
				if err := s.reseed(); err != nil {
					return err
				}
				additional = nil
			}
			block := piece[:min(len(piece), Block)]
			s.drbg.generate(block, additional)
			additional = nil
			piece = piece[len(block):]
		}
		clear(s.raw[:fresh])
	}
	s.given.Add(uint64(n))
	return nil
}

// reseed seeds anew.
func (s *shard) reseed() error {
	b, err := s.draw(s.bytesFor(strength))
	if err != nil {
		return err
	}
	s.drbg.reseed(b, nil)
	clear(b)
	s.since = time.Now()
	s.of.stats.reseeds.Add(1)
	return nil
}

// wipe forgets the state; nothing comes from it any more.
func (s *shard) wipe() {
	s.drbg.wipe()
	clear(s.raw[:])
	s.since = time.Time{}
}
