package bench

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
)

// naps are how long PostgreSQL is asked to sleep, and how often in a round.
var naps = []struct {
	of    time.Duration
	times int
}{{ms, 300}, {10 * ms, 200}, {50 * ms, 100}}

// durations compares the server's time of a statement as its record has it with the
// duration that PostgreSQL logs. A round's figures are those of the nap where they are
// highest.
func (b *bencher) durations(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := postgresServer(ctx, "log_min_duration_statement=0", "log_line_prefix=%m [%p] %r ")
	if err != nil {
		return nil, err
	}
	defer s.quit()
	var half, most []float64
	_, err = b.rounds(ctx, b.Rounds, func() (float64, error) {
		var p50, p99 float64
		for _, nap := range naps {
			times := nap.times
			if b.Short {
				times = 20
			}
			diff, err := s.nap(ctx, nap.of, times)
			if err != nil {
				return 0, err
			}
			p50, p99 = max(p50, quantile(diff, 0.5)), max(p99, quantile(diff, 0.99))
		}
		half, most = append(half, p50), append(most, p99)
		return 0, nil
	})
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Single("duration-p50", "a statement's time at the server against the duration that PostgreSQL logs, pg_sleep of 1, 10 and 50 ms: difference, p50", "ms", "<=0.2", half),
		benchfmt.Single("duration-p99", "the same, p99", "ms", "<=1", most),
	}, nil
}

// nap has PostgreSQL sleep so often, and gives the differences in ms.
func (s *server) nap(ctx context.Context, d time.Duration, times int) ([]float64, error) {
	script := filepath.Join(s.dir, "nap.sql")
	if err := os.WriteFile(script, fmt.Appendf(nil, "SELECT pg_sleep(%g);\n", d.Seconds()), 0o644); err != nil {
		return nil, fmt.Errorf("write a script: %w", err)
	}
	before, err := os.Stat(s.log())
	if err != nil {
		return nil, fmt.Errorf("find PostgreSQL's log: %w", err)
	}
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, _, err := s.postgres(ctx, "pgbench", "-n", "-f", script, "-c1", "-t", strconv.Itoa(times)); err != nil {
		return nil, err
	}
	var mine []tcprt.Record
	if err := c.Drain(300*ms, func(r *tcprt.Record) { mine = append(mine, *r) }); err != nil {
		return nil, err
	}
	log, err := os.ReadFile(s.log())
	if err != nil {
		return nil, fmt.Errorf("read PostgreSQL's log: %w", err)
	}
	theirs, err := statementTimes(string(log[before.Size():]))
	if err != nil {
		return nil, err
	}
	return napDifferences(mine, theirs, times)
}

var statementDuration = regexp.MustCompile(`(?m)\((\d+)\) LOG:  duration: ([0-9.]+) ms  statement: SELECT pg_sleep`)

// statementTimes reads the naps in a log, %r in its prefix, in their order.
func statementTimes(log string) (all []timed, err error) {
	for _, m := range statementDuration.FindAllStringSubmatch(log, -1) {
		port, err1 := strconv.ParseUint(m[1], 10, 16)
		took, err2 := strconv.ParseFloat(m[2], 64)
		if err1 != nil || err2 != nil {
			return nil, fmt.Errorf("read PostgreSQL's log: %q", m[0])
		}
		all = append(all, timed{uint16(port), time.Duration(math.Round(took * float64(ms)))})
	}
	return all, nil
}

// napDifferences takes the connection on which they were: a start, the naps, and a
// good-bye.
func napDifferences(mine []tcprt.Record, theirs []timed, times int) ([]float64, error) {
	if len(theirs) != times {
		return nil, fmt.Errorf("PostgreSQL logged %d of %d statements", len(theirs), times)
	}
	mine = slices.DeleteFunc(mine, func(r tcprt.Record) bool { return r.Remote.Port() != theirs[0].port })
	slices.SortFunc(mine, func(a, b tcprt.Record) int { return int(a.T0 - b.T0) })
	if len(mine) != times+2 {
		return nil, fmt.Errorf("there are %d records of %d statements, a start and a good-bye", len(mine), times)
	}
	out := make([]float64, times)
	for i := range out {
		r := &mine[i+1]
		out[i] = math.Abs(float64(r.Phase(tcprt.Processing)-theirs[i].took)) / float64(ms)
	}
	return out, nil
}
