package rng

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"
)

// piece is how much a goroutine of Copy makes at a time.
const piece = 256 << 10

// Copy writes n random bytes to w, made by as many goroutines as GOMAXPROCS. progress, if
// not nil, is told how many were written. The error is of w, ErrState, or of the context.
func (g *Generator) Copy(ctx context.Context, w io.Writer, n int64, progress func(written int64)) error {
	workers := runtime.GOMAXPROCS(0)
	buf := make([]byte, min(n, int64(workers)*piece))
	defer clear(buf)
	for written := int64(0); written < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		b := buf[:min(int64(len(buf)), n-written)]
		if err := g.fillPieces(b); err != nil {
			return err
		}
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("write random bytes: %w", err)
		}
		if written += int64(len(b)); progress != nil {
			progress(written)
		}
	}
	return nil
}

// fillPieces fills b piece by piece, all at once.
func (g *Generator) fillPieces(b []byte) (err error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	for len(b) > 0 {
		p := b[:min(len(b), piece)]
		b = b[len(p):]
		wg.Go(func() {
			if _, e := g.Read(p); e != nil {
				mu.Lock()
				defer mu.Unlock()
				err = e
			}
		})
	}
	wg.Wait()
	return err
}
