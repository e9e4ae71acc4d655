package rng

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anole-os/anole/gm/internal/kat"
)

// flaky is a source that can be broken.
type flaky struct {
	mu    sync.Mutex
	r     *rand.ChaCha8
	drawn int
	fault func(b []byte) error
}

func (f *flaky) Read(b []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = f.r.Read(b)
	f.drawn += len(b)
	if f.fault != nil {
		if err := f.fault(b); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}

func (f *flaky) breakIt(fault func([]byte) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

var errBroken = errors.New("broken")

func refuses([]byte) error { return errBroken }
func stuck(b []byte) error {
	for i := range b {
		b[i] = 0x55
	}
	return nil
}

func biased(b []byte) error {
	for i := range b {
		if i%3 != 0 {
			b[i] = 0
		}
	}
	return nil
}

func TestErrorState(t *testing.T) {
	for _, c := range []struct {
		name  string
		fault func([]byte) error
		stats func(Stats) uint64
	}{
		{"source fails", refuses, func(s Stats) uint64 { return s.Source }},
		{"source is stuck", stuck, func(s Stats) uint64 { return s.Repetition }},
		{"source is biased", biased, func(s Stats) uint64 { return s.Proportion }},
	} {
		t.Run(c.name, func(t *testing.T) {
			src := &flaky{r: seeded(5)}
			g, err := Open(Options{Source: src, Shards: 3})
			if err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 100_000)
			if _, err := g.Read(b); err != nil {
				t.Fatal(err)
			}
			src.breakIt(c.fault)
			var n int
			for range 40 { // a biased source takes its time
				if n, err = g.Read(b); err != nil {
					break
				}
			}
			if !errors.Is(err, ErrState) || err.Error() != "rng: the generator is in its error state" || n != 0 || !bytes.Equal(b, make([]byte, len(b))) {
				t.Fatalf("Read gives %d bytes, %v", n, err)
			}
			if g.Err() == nil || c.stats(g.Stats()) != 1 {
				t.Errorf("cause %v, %+v", g.Err(), g.Stats())
			}
			src.breakIt(nil)
			if _, err := g.Read(b[:1]); !errors.Is(err, ErrState) {
				t.Errorf("the source is well again, and Read gives %v without a restart", err)
			}
			src.breakIt(c.fault)
			if err := g.Restart(); err == nil {
				t.Error("restarts with a source that is not well")
			}
			src.breakIt(nil)
			if err := g.Restart(); err != nil || g.Err() != nil {
				t.Fatalf("restart: %v, then %v", err, g.Err())
			}
			if n, err := g.Read(b); n != len(b) || err != nil {
				t.Errorf("after the restart: %d, %v", n, err)
			}
		})
	}
}

func TestStart(t *testing.T) {
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Source: &flaky{r: seeded(6), fault: refuses}}, "start the random bit generator: read the entropy source: broken"},
		{Options{Source: bytes.NewReader(make([]byte, 100))}, "start the random bit generator: read the entropy source: unexpected EOF"},
		{Options{Source: &flaky{r: seeded(6), fault: stuck}}, "start the random bit generator: health of the entropy source: repetition count test: 21 equal samples, 21 are too many"},
		{Options{Entropy: 0.1}, "entropy of 0.1 bits a byte: want 1 to 8"},
		{Options{Age: -1}, "age and shards of a generator: want none that is negative"},
	} {
		g, err := Open(c.o)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
		if _, err := g.Read(make([]byte, 1)); !errors.Is(err, ErrState) {
			t.Errorf("reads: %v", err)
		}
	}
	mend := kat.Spoil("DRBG known answer", "SM3")
	defer mend()
	var g Generator
	if _, err := g.Read(make([]byte, 1)); !errors.Is(err, ErrState) || g.Err() == nil {
		t.Errorf("starts with a known answer that is another: %v, %v", err, g.Err())
	}
	mend()
	if _, err := g.Read(make([]byte, 1)); !errors.Is(err, ErrState) {
		t.Errorf("starts by itself once it failed: %v", err)
	}
	if err := g.Restart(); err != nil {
		t.Error(err)
	}
}

// Many read while the source breaks: all come to the error state, none hangs, and none
// is given anything afterwards.
func TestBreaksUnderway(t *testing.T) {
	src := &flaky{r: seeded(10)}
	g, err := Open(Options{Source: src, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	for round := range 20 {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				b := make([]byte, 100)
				for {
					if _, err := g.Read(b); err != nil {
						if !errors.Is(err, ErrState) {
							t.Error(err)
						}
						return
					}
				}
			})
		}
		src.breakIt(refuses)
		wg.Wait()
		if g.Err() == nil {
			t.Fatalf("round %d: no cause", round)
		}
		src.breakIt(nil)
		if err := g.Restart(); err != nil {
			t.Fatal(err)
		}
	}
}

// Seeds are renewed by number of blocks and by age.
func TestReseeds(t *testing.T) {
	g, err := Open(Options{Blocks: 10, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100*Block)
	if _, err := g.Read(b); err != nil || g.Stats().Reseeds != 9 || g.Stats().Bytes != uint64(len(b)) {
		t.Errorf("100 blocks: %v, %+v, want 9 new seeds", err, g.Stats())
	}
	g, err = Open(Options{Age: time.Nanosecond, Shards: 1})
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		_, err = g.Read(b[:1])
	}
	if err != nil || g.Stats().Reseeds != 5 {
		t.Errorf("five requests, each with an old seed: %v, %+v", err, g.Stats())
	}
}

// Two that were one, as after a fork or a restored snapshot, go different ways at once: and by
// nothing but what the source gives.
func TestCopiesPart(t *testing.T) {
	twins := func(a, b io.Reader) (out [2][]byte) {
		g, err := Open(Options{Source: seeded(7), Shards: 1})
		if err != nil {
			t.Fatal(err)
		}
		one := (*g.shards.Load())[0]
		for i, src := range []io.Reader{a, b} {
			s := &shard{of: g, opt: one.opt, drbg: one.drbg, health: one.health, since: one.since}
			s.opt.Source = src
			out[i] = make([]byte, 3*stride)
			if err := s.fill(out[i]); err != nil {
				t.Fatal(err)
			}
		}
		return out
	}
	if o := twins(seeded(8), seeded(8)); !bytes.Equal(o[0], o[1]) {
		t.Error("one state and one source, and two streams: the test sees nothing")
	}
	o := twins(Kernel, Kernel)
	for i := 0; i < len(o[0]); i += 16 {
		if bytes.Equal(o[0][i:i+16], o[1][i:i+16]) {
			t.Fatalf("both give %x at %d", o[0][i:i+16], i)
		}
	}
}

// A wiped generator has nothing left of its state.
func TestWipe(t *testing.T) {
	g, err := Open(Options{Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	old := *g.shards.Load()
	if err := g.Restart(); err != nil {
		t.Fatal(err)
	}
	for _, s := range old {
		if s.drbg != (drbg{}) || s.raw != [startup]byte{} {
			t.Error("something is left")
		}
		if err := s.fill(make([]byte, 1)); !errors.Is(err, errRetired) {
			t.Errorf("gives %v", err)
		}
	}
}
