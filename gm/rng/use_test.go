package rng

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"testing"

	"github.com/anole-os/anole/gm/rng/gmt0005"
)

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
