package bench

import (
	"bytes"
	"context"
	"crypto/cipher"
	"errors"
	"runtime"
	"runtime/debug"

	"github.com/anole-os/anole/gm/sm3"
	"github.com/anole-os/anole/gm/sm4"
	"github.com/anole-os/anole/internal/benchfmt"
)

const allocUnit = "allocations"

// allocs counts what the operations on the way of data allocate, once the key is there.
func (b *bencher) allocs(context.Context) ([]benchfmt.Result, error) {
	block, err := sm4.NewCipher(testKey(16))
	if err != nil {
		return nil, err
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	nonce, src := make([]byte, 12), text(kib)
	sealed := g.Seal(nil, nonce, src, nil)
	dst := make([]byte, 0, len(sealed))
	opened := true
	hash := hashing()
	var out []benchfmt.Result
	for _, c := range []struct {
		id, what string
		op       func()
	}{
		{"allocs-seal", "SM4-GCM, 1 KiB sealed", func() { dst = g.Seal(dst[:0], nonce, src, nil) }},
		{"allocs-open", "SM4-GCM, 1 KiB opened", func() {
			p, err := g.Open(dst[:0], nonce, sealed, nil)
			opened = opened && err == nil && bytes.Equal(p, src)
		}},
		{"allocs-sm3", "SM3 of 1 KiB", hash.one},
		{"allocs-sm3-many", "SM3 of 16 messages side by side", hash.many},
	} {
		var counts []float64
		for range b.Rounds {
			counts = append(counts, allocations(c.op))
		}
		out = append(out, benchfmt.Single(c.id, c.what, allocUnit, "=0", counts))
	}
	if !opened {
		return nil, errors.New("open what was sealed: it is not that")
	}
	return out, nil
}

// hashes are what allocs counts of.
type hashes struct{ one, many func() }

func hashing() hashes {
	message := text(kib)
	messages, sums := make([][]byte, pieces), make([][sm3.Size]byte, pieces)
	for i := range messages {
		messages[i] = message[:kib-i]
	}
	return hashes{func() { sums[0] = sm3.Sum(message) }, func() { sm3.SumMany(sums, messages) }}
}

// allocations is how many an operation makes, on average over many, with no collection of
// garbage in between.
func allocations(op func()) float64 {
	const times = 1000
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	op()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range times {
		op()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / times
}
