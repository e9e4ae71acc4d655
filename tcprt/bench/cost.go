package bench

import (
	"context"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
)

// clients of a server, and of the load.
const (
	clients     = "8"
	clientCount = 8
)

// gets has redis-benchmark make n requests, and one more that asks for its
// configuration.
func gets(ctx context.Context, port uint16, n int) (time.Duration, error) {
	_, cpu, err := ask(ctx, "redis-benchmark", "-p", strconv.Itoa(int(port)), "-t", "get", "-n", strconv.Itoa(n), "-c", clients, "-q")
	return cpu, err
}

func (b *bencher) count(n int) int {
	if b.Short {
		return 5000
	}
	return n
}

// kernelTime has the kernel measure its programs (kernel.bpf_stats_enabled), which
// adds to each run what reading the clock twice takes.
func (b *bencher) kernelTime(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	n := b.count(200_000)
	run := func(o tcprt.Options) func() (float64, error) {
		return func() (float64, error) {
			o.Emit = tcprt.EmitSlow | tcprt.EmitFailed | tcprt.EmitSample
			c, err := tcprt.Open(o)
			if err != nil {
				return 0, err
			}
			defer c.Close()
			on, err := tcprt.Measure()
			if err != nil {
				return 0, err
			}
			defer on.Close()
			was, err := c.Runtime()
			if err != nil {
				return 0, err
			}
			if _, err := gets(ctx, s.port, n); err != nil {
				return 0, err
			}
			now, err := c.Runtime()
			return float64(now-was) / float64(n), err
		}
	}
	ports := []uint16{s.port}
	got, err := b.rounds(ctx, b.Rounds,
		run(tcprt.Options{Ports: ports, Tier: tcprt.Lite, Roles: []tcprt.Role{tcprt.Server}}),
		run(tcprt.Options{Ports: ports, Tier: tcprt.Lite, Roles: []tcprt.Role{tcprt.Client}}),
		run(tcprt.Options{Ports: ports, Tier: tcprt.Full}),
		run(tcprt.Options{Ports: []uint16{1}, Tier: tcprt.Lite}))
	if err != nil {
		return nil, err
	}
	// Where one side counts, the other's segments are seen and left out; where both
	// or none do, it is of two sides.
	bare := benchfmt.Median(got[3]) / 2
	for i := range got[0] {
		got[0][i] -= bare
		got[1][i] -= bare
		got[2][i] /= 2
		got[3][i] /= 2
	}
	return []benchfmt.Result{
		benchfmt.Single("kernel-lite-server", "kernel time per request on the server's side, tier lite, redis GET", "ns", "<=250", got[0]),
		benchfmt.Single("kernel-lite-client", "kernel time per request on the client's side, tier lite, redis GET", "ns", "<=250", got[1]),
		benchfmt.Single("kernel-full", "kernel time per request and side, tier full, redis GET", "ns", "<=450", got[2]),
		benchfmt.Single("kernel-untracked", "kernel time per request and side of connections that do not count", "ns", "<=120", got[3]),
	}, nil
}

// paired measures the CPU of a load with tiers lite and full and without.
func (b *bencher) paired(ctx context.Context, s *server, id, what string, targets [2]string, n int, load func(int) (requests int, cpu time.Duration, err error)) ([]benchfmt.Result, error) {
	run := func(t tcprt.Tier) func() (float64, error) {
		return func() (float64, error) {
			if t != tcprt.Auto {
				c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}, Tier: t, Emit: tcprt.EmitSlow | tcprt.EmitFailed | tcprt.EmitSample})
				if err != nil {
					return 0, err
				}
				defer c.Close()
			}
			was, err := s.cpu()
			if err != nil {
				return 0, err
			}
			requests, cpu, err := load(n)
			if err != nil {
				return 0, err
			}
			now, err := s.cpu()
			return float64(cpu+now-was) / float64(requests) / 1000, err
		}
	}
	rounds := b.Rounds
	if !b.Short {
		rounds = max(rounds, 15) // what is looked for is small
	}
	got, err := b.rounds(ctx, rounds, run(tcprt.Auto), run(tcprt.Lite), run(tcprt.Full))
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Pairs(id+"-lite", what+", server and client together, tier lite with histograms", "µs", "without", targets[0], got[1], got[0]),
		benchfmt.Pairs(id+"-full", what+", server and client together, tier full with histograms", "µs", "without", targets[1], got[2], got[0]),
	}, nil
}

func (b *bencher) redis(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return b.paired(ctx, s, "cpu-redis", "CPU of a redis GET", [2]string{"<=1.02", "<=1.03"}, b.count(300_000), func(n int) (int, time.Duration, error) {
		cpu, err := gets(ctx, s.port, n)
		return n, cpu, err
	})
}

var wrkTotal = regexp.MustCompile(`(\d+) requests in`)

func (b *bencher) nginx(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := nginxServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	return b.paired(ctx, s, "cpu-nginx", "CPU of an nginx request, 240 bytes", [2]string{"<=1.01", "<=1.01"}, b.count(4), func(n int) (int, time.Duration, error) {
		out, cpu, err := ask(ctx, "wrk", "-t1", "-c"+clients, "-d"+strconv.Itoa(min(n, 4))+"s", fmt.Sprintf("http://127.0.0.1:%d/", s.port))
		if err != nil {
			return 0, 0, err
		}
		m := wrkTotal.FindStringSubmatch(out)
		if m == nil {
			return 0, 0, fmt.Errorf("read what wrk says: %q", out)
		}
		all, err := strconv.Atoi(m[1])
		return max(1, all), cpu, err
	})
}

// agent drains a record of every request, as an agent that keeps them all does.
func (b *bencher) agent(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	var allocs []float64
	n := b.count(200_000)
	run := func() (float64, error) {
		c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}})
		if err != nil {
			return 0, err
		}
		defer c.Close()
		ctx, cancel := context.WithCancel(ctx)
		type done struct {
			cpu     time.Duration
			mallocs uint64
			records int
			err     error
		}
		ended := make(chan done)
		go func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var d done
			var totals tcprt.Totals
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			from := threadTime()
			d.err = c.Run(ctx, func(r *tcprt.Record) {
				totals.Add(r)
				d.records++
			})
			d.cpu = threadTime() - from
			runtime.ReadMemStats(&after)
			d.mallocs = after.Mallocs - before.Mallocs
			ended <- d
		}()
		_, err = gets(ctx, s.port, n)
		time.Sleep(200 * time.Millisecond)
		cancel()
		d := <-ended
		if err != nil || d.err != nil {
			return 0, fmt.Errorf("drain records: %w, %w", err, d.err)
		}
		st, err := c.Stats()
		if err != nil {
			return 0, err
		}
		if st.Dropped > 0 || d.records < 2*n-32 {
			return 0, fmt.Errorf("drain records: %d of %d, %d dropped", d.records, 2*n, st.Dropped)
		}
		allocs = append(allocs, float64(d.mallocs)/float64(d.records))
		return float64(d.cpu) / float64(d.records) / 1000, nil
	}
	got, err := b.rounds(ctx, b.Rounds, run)
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Single("agent-record", "the agent's CPU per record: read, decoded, counted; a record of every request", "µs", "<=0.5", got[0]),
		// What there is, is of starting the client and of looks at the clock.
		benchfmt.Worst("agent-allocs", "allocations per record in that; the highest round", "allocations", "<=0.01", allocs),
	}, nil
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}
