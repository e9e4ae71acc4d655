package rng

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	peer "github.com/emmansun/gmsm/drbg"

	"github.com/anole-os/anole/gm/internal/kat"
	"github.com/anole-os/anole/gm/rng/gmt0005"
)

func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed, 'r', 'n', 'g'}) }

func some(r *rand.ChaCha8, n int) []byte {
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

// What gmsm makes of the same seeds and additional input is made of them here.
func TestDRBG(t *testing.T) {
	if got := hex.EncodeToString(knownBlock()); got != katBlock {
		t.Errorf("known answer: %s, want %s", got, katBlock)
	}
	r := seeded(1)
	n := rand.New(r)
	for range 200 {
		entropy, nonce := some(r, 32+n.IntN(257)), some(r, 16+n.IntN(129))
		other, err := peer.NewGMHashDrbg(peer.SECURITY_LEVEL_ONE, entropy, nonce, nil)
		if err != nil {
			t.Fatal(err)
		}
		var d drbg
		d.instantiate(entropy, nonce)
		for step := range 30 {
			if n.IntN(6) == 0 {
				entropy, more := some(r, 32+n.IntN(257)), some(r, n.IntN(100))
				d.reseed(entropy, more)
				if err := other.Reseed(entropy, more); err != nil {
					t.Fatal(err)
				}
			}
			got, want, more := make([]byte, 1+n.IntN(Block)), make([]byte, Block), some(r, n.IntN(3)*n.IntN(100))
			want = want[:len(got)]
			d.generate(got, more)
			if _, err := other.Generate(want, more); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("step %d: %x, want %x", step, got, want)
			}
		}
	}
}

// V counts modulo 2^440, whatever is added.
func TestAddCarries(t *testing.T) {
	for _, n := range []int{1, 8, 32, 55} {
		var d drbg
		for i := range d.v {
			d.v[i] = 0xff
		}
		x := make([]byte, n)
		x[n-1] = 1
		if d.add(x); !bytes.Equal(d.v[1:], make([]byte, seedLen)) || d.v[0] != 0xff {
			t.Errorf("%d bytes: %x", n, d.v)
		}
	}
}

func TestCutoffs(t *testing.T) {
	for _, c := range []struct {
		entropy, alarm         float64
		repetition, proportion int
	}{
		{0.5, -20, 41, 410}, // as in FIPS 140-3 entropy sources of one half bit
		{1, -20, 21, 0}, {8, -20, 4, 0}, {4, -20, 6, 0},
		{1, -30, 31, 325}, {1. / 2, -30, 61, 422}, {1. / 4, -30, 121, 477}, {1. / 6, -30, 181, 494}, // jitterentropy's table
	} {
		r, p := cutoffs(c.entropy, c.alarm)
		if r != c.repetition || c.proportion != 0 && p != c.proportion {
			t.Errorf("%v bits, 2^%v: %d, %d, want %d, %d", c.entropy, c.alarm, r, p, c.repetition, c.proportion)
		}
	}
}

func TestHealth(t *testing.T) {
	h := newHealth(1)
	if err := h.test(some(seeded(3), 1<<20)); err != nil {
		t.Errorf("sound samples: %v", err)
	}
	for _, c := range []struct {
		name string
		make func(i int, r *rand.Rand) byte
		test string
	}{
		{"stuck", func(int, *rand.Rand) byte { return 7 }, repetitionTest},
		{"stuck at last", func(i int, r *rand.Rand) byte {
			if i > 3000 {
				return 0
			}
			return byte(r.Uint32())
		}, repetitionTest},
		{"biased", func(_ int, r *rand.Rand) byte {
			if r.IntN(100) < 70 {
				return 9
			}
			return byte(r.Uint32())
		}, proportionTest},
		{"two in turn, one of them more often", func(i int, _ *rand.Rand) byte { return byte(i % 4 / 3) }, proportionTest},
	} {
		// In pieces of any size.
		h, r := newHealth(1), rand.New(seeded(4))
		var err error
		for i := 0; i < 8192 && err == nil; {
			b := make([]byte, 1+r.IntN(300))
			for j := range b {
				b[j] = c.make(i, r)
				i++
			}
			err = h.test(b)
		}
		var e *HealthError
		if !errors.As(err, &e) || e.Test != c.test || e.Seen != e.Most {
			t.Errorf("%s: %v, want the %s test to fail", c.name, err, c.test)
		}
	}
}

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

// Many at once, with restarts in between: no block comes twice, and none fails.
func TestConcurrent(t *testing.T) {
	g, err := Open(Options{Blocks: 16, Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	all := make([]map[[16]byte]bool, 8)
	for i := range all {
		all[i] = map[[16]byte]bool{}
		wg.Go(func() {
			var b [16]byte
			for range 2000 {
				if _, err := g.Read(b[:]); err != nil {
					t.Error(err)
					return
				}
				all[i][b] = true
			}
		})
	}
	for range 20 {
		if err := g.Restart(); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
	seen := map[[16]byte]bool{}
	for _, m := range all {
		for b := range m {
			if seen[b] {
				t.Fatal("a block came twice")
			}
			seen[b] = true
		}
	}
	if len(seen) != 8*2000 || g.Stats().Bytes != 8*2000*16 {
		t.Errorf("%d blocks, %+v", len(seen), g.Stats())
	}
}

func TestCopy(t *testing.T) {
	for _, n := range []int64{0, 1, piece - 1, piece, 5*piece + 3} {
		var b bytes.Buffer
		told := int64(0)
		if err := Reader.Copy(t.Context(), &b, n, func(w int64) { told = w }); err != nil || int64(b.Len()) != n || told != n {
			t.Errorf("%d bytes: %v, %d written, %d told", n, err, b.Len(), told)
		}
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Reader.Copy(over, io.Discard, 1<<40, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	pr, pw := io.Pipe()
	_ = pr.Close()
	if err := Reader.Copy(t.Context(), pw, 10, nil); err == nil || err.Error() != "write random bytes: io: read/write on closed pipe" {
		t.Error(err)
	}
	g, _ := Open(Options{Source: &flaky{r: seeded(9), fault: refuses}})
	if err := g.Copy(t.Context(), io.Discard, 10, nil); !errors.Is(err, ErrState) {
		t.Error(err)
	}
}

// What comes out is as even as GM/T 0005 can see; the bound is so low that it does not
// fail by chance.
func TestEven(t *testing.T) {
	r, err := gmt0005.Run(t.Context(), Reader, gmt0005.Options{Samples: 4})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range r.Lines {
		for _, p := range l.P {
			if p < 1e-9 {
				t.Errorf("%s %s %s: P %v", l.Test, l.Param, l.Part, p)
			}
		}
	}
}

func TestNoGarbage(t *testing.T) {
	b := make([]byte, 5000)
	if n := testing.AllocsPerRun(100, func() { _, _ = Reader.Read(b) }); n != 0 {
		t.Errorf("%v allocations a read", n)
	}
	if n, err := Reader.Read(nil); n != 0 || err != nil {
		t.Errorf("nothing: %d, %v", n, err)
	}
}

func BenchmarkRead(b *testing.B) {
	for _, n := range []int{32, 1024, 64 << 10} {
		buf := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.RunParallel(func(p *testing.PB) {
				mine := bytes.Clone(buf)
				for p.Next() {
					if _, err := Reader.Read(mine); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
