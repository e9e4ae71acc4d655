package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
)

var statementDuration = regexp.MustCompile(`duration: ([0-9.]+) ms  statement: select pg_sleep`)

// statements compares the server's time of a statement, and the time that it lay in
// its socket, with what PostgreSQL says of it in its log.
func (b *bencher) statements(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := postgresServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	n := 200
	if b.Short {
		n = 20
	}
	var p50s, p99s []float64
	for _, sleep := range []string{"0.001", "0.01", "0.05"} {
		for range min(b.Rounds, 3) { // with three sleeps, nine rounds
			if err := b.quiet(ctx); err != nil {
				return nil, err
			}
			differ, err := statementsOf(ctx, s, sleep, n)
			if err != nil {
				return nil, err
			}
			slices.Sort(differ)
			p50s = append(p50s, differ[len(differ)/2])
			p99s = append(p99s, differ[len(differ)*99/100])
			b.Say(fmt.Sprintf("  pg_sleep(%s): differs by %.3f ms, p99 %.3f ms, of %d", sleep, differ[len(differ)/2], differ[len(differ)*99/100], len(differ)))
		}
	}
	return []benchfmt.Result{
		benchfmt.Worst("statement-p50", "server's time of a statement against PostgreSQL's log, pg_sleep of 1, 10 and 50 ms: difference, median; the highest round", "ms", "<=0.2", p50s),
		benchfmt.Single("statement-p99", "and the slowest hundredth of the differences; median of the rounds", "ms", "<=1", p99s),
	}, nil
}

// statementsOf gives by how many milliseconds each of n statements differs.
func statementsOf(ctx context.Context, s *server, sleep string, n int) ([]float64, error) {
	script := filepath.Join(s.dir, "sleep.sql")
	if err := os.WriteFile(script, []byte("select pg_sleep("+sleep+");\n"), 0o644); err != nil {
		return nil, fmt.Errorf("write a script: %w", err)
	}
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	var seen []float64
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- c.Run(run, func(r *tcprt.Record) {
			if r.Complete() {
				seen = append(seen, (r.Phase(tcprt.Queue)+r.Phase(tcprt.Processing)).Seconds()*1000)
			}
		})
	}()
	log := filepath.Join(s.dir, "log")
	before, err := os.ReadFile(log)
	if err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("read PostgreSQL's log: %w", err), <-ended)
	}
	_, _, err = ask(ctx, "pgbench", "-n", "-f", script, "-c", "1", "-t", strconv.Itoa(n), "-h", "127.0.0.1", "-p", strconv.Itoa(int(s.port)), "-U", "me", "dbname=postgres options='-c log_min_duration_statement=0'")
	time.Sleep(300 * time.Millisecond)
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		return nil, err
	}
	all, err := os.ReadFile(log)
	if err != nil {
		return nil, fmt.Errorf("read PostgreSQL's log: %w", err)
	}
	said := statementDuration.FindAllStringSubmatch(string(all[len(before):]), -1)
	if len(said) != n || len(seen) < n {
		return nil, fmt.Errorf("compare statements: PostgreSQL logged %d and there are %d records, of %d", len(said), len(seen), n)
	}
	seen = seen[len(seen)-n:] // what comes before is of how a connection begins
	out := make([]float64, n)
	for i, m := range said {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return nil, fmt.Errorf("read PostgreSQL's log: %w", err)
		}
		out[i] = max(seen[i]-v, v-seen[i])
	}
	return out, nil
}
