package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
)

// kill measures what traffic makes of a measurement that is killed in the midst of
// it: the slowest hundredth of its requests against that of the same time with a
// measurement that goes on. A request that fails is an error.
func (b *bencher) kill(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	run := func(killed bool) func() (float64, error) {
		return func() (float64, error) {
			dir, err := os.MkdirTemp("", "")
			if err != nil {
				return 0, err
			}
			defer os.RemoveAll(dir)
			file := filepath.Join(dir, "x.trt")
			cmd := exec.CommandContext(ctx, b.Victim[0], "tcprt", "record", "--for", "1h", "--socket", filepath.Join(dir, "none"), file)
			if err := cmd.Start(); err != nil {
				return 0, fmt.Errorf("start a measurement: %w", err)
			}
			end := sync.OnceFunc(func() {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			})
			defer end()
			for wait := time.Now().Add(time.Minute); ; time.Sleep(50 * ms) { // until it records
				if i, err := os.Stat(file); err == nil && i.Size() > 0 {
					break
				}
				if time.Now().After(wait) {
					return 0, errors.New("start a measurement: it does not begin")
				}
			}
			long := 2 * time.Second
			if killed {
				defer time.AfterFunc(long/2, end).Stop()
			}
			return pings(ctx, s.port, long)
		}
	}
	rounds := b.Rounds
	if !b.Short {
		rounds = max(rounds, 15) // percentiles of two seconds are of few
	}
	got, err := b.rounds(ctx, rounds, run(true), run(false))
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{benchfmt.Pairs("kill-p99", "p99 of redis PING while the measurement of it is killed with SIGKILL", "µs", "it goes on", "<=1.05", got[0], got[1])}, nil
}

// pings is the p99, in microseconds, of what four connections ask for so long.
func pings(ctx context.Context, port uint16, long time.Duration) (float64, error) {
	const conns = 4
	var all [conns][]time.Duration
	var errs [conns]error
	var wg sync.WaitGroup
	for i := range conns {
		wg.Go(func() { all[i], errs[i] = ping(ctx, port, long) })
	}
	wg.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return 0, fmt.Errorf("ask redis: %w", err)
	}
	took := slices.Concat(all[:]...)
	if len(took) < 100 {
		return 0, fmt.Errorf("ask redis: only %d answers", len(took))
	}
	slices.Sort(took)
	return float64(took[len(took)*99/100]) / 1000, nil
}

func ping(ctx context.Context, port uint16, long time.Duration) (took []time.Duration, err error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	answer := make([]byte, len("+PONG\r\n"))
	for end := time.Now().Add(long); ctx.Err() == nil; time.Sleep(200 * time.Microsecond) {
		began := time.Now()
		if began.After(end) {
			break
		}
		if _, err := io.WriteString(c, "PING\r\n"); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(c, answer); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took, ctx.Err()
}
