package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postgresEnv keeps clients from asking for encryption, a turn that says nothing of
// the server.
var postgresEnv = []string{"PGSSLMODE=disable", "PGGSSENCMODE=disable", "PGUSER=postgres", "PGDATABASE=postgres", "PGHOST=127.0.0.1"}

// postgresTool finds one of PostgreSQL's programs, which Debian keeps by release and
// out of the PATH.
func postgresTool(name string) string {
	if path, err := exec.LookPath(name); err == nil && name != "pgbench" && name != "psql" {
		return path // not Debian's wrappers: they look for a cluster of the system's
	}
	all, _ := filepath.Glob("/usr/lib/postgresql/*/bin/" + name)
	slices.SortFunc(all, func(a, b string) int { return postgresRelease(b) - postgresRelease(a) })
	return append(all, name)[0]
}

// postgresRelease is the 15 in /usr/lib/postgresql/15/bin/psql.
func postgresRelease(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// postgresServer counts statements by pg_stat_statements, and logs who comes and
// goes, and after settings what they make it.
func postgresServer(ctx context.Context, settings ...string) (*server, error) {
	as, err := userOf("postgres")
	if err != nil {
		return nil, err
	}
	s, err := serveAs(as, postgresTool("postgres"), func(dir string, port uint16) ([]string, error) {
		data := filepath.Join(dir, "data")
		if err := prepare(as, postgresTool("initdb"), "-D", data, "-A", "trust", "-U", "postgres", "-N", "--locale=C", "-E", "UTF8"); err != nil {
			return nil, err
		}
		args := []string{"-D", data}
		for _, set := range append([]string{
			"port=" + strconv.Itoa(int(port)), "listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "autovacuum=off",
			"shared_preload_libraries=pg_stat_statements", "log_connections=on", "log_disconnections=on",
		}, settings...) {
			args = append(args, "-c", set)
		}
		return args, nil
	})
	if err != nil {
		return nil, err
	}
	// It listens before it takes anybody in.
	for end := time.Now().Add(20 * time.Second); ; {
		if _, err = s.psql(ctx, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements"); err == nil {
			return s, nil
		}
		if time.Now().After(end) {
			break
		}
		if err = pause(ctx, 100*ms); err != nil {
			break
		}
	}
	s.quit()
	return nil, err
}

// quit ends PostgreSQL, whose processes are each a group of their own and end with
// the first.
func (s *server) quit() {
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	done := time.AfterFunc(10*time.Second, func() { _ = s.cmd.Process.Kill() })
	_ = s.cmd.Wait()
	done.Stop()
	_ = os.RemoveAll(s.dir)
}

func (s *server) psql(ctx context.Context, query string) (string, error) {
	out, _, err := s.postgres(ctx, "psql", "-X", "-At", "-c", query)
	return strings.TrimSpace(out), err
}

// postgres runs a client of the server.
func (s *server) postgres(ctx context.Context, name string, args ...string) (string, time.Duration, error) {
	env := append([]string{"PGPORT=" + strconv.Itoa(int(s.port)), "PGAPPNAME=" + name}, postgresEnv...)
	return askWith(ctx, env, postgresTool(name), args...)
}

// pgbenchCensus is of one of pgbench's protocols. Each transaction is one statement,
// SELECT by key, and that one turn in each of them; the prepared one has a turn more on each
// connection, that prepares it.
func pgbenchCensus(protocol string) func(*bencher, context.Context, int) (*census, error) {
	return func(_ *bencher, ctx context.Context, n int) (*census, error) {
		s, err := postgresServer(ctx)
		if err != nil {
			return nil, err
		}
		if _, _, err = s.postgres(ctx, "pgbench", "-i", "-q", "-s1"); err == nil {
			_, err = s.psql(ctx, "SELECT pg_stat_statements_reset()")
		}
		if err != nil {
			s.quit()
			return nil, err
		}
		sessions, _ := strconv.Atoi(clients)
		prepares := 0
		if protocol == "prepared" {
			prepares = sessions
		}
		before := 0
		load := func(ctx context.Context) error {
			if before, err = s.comings(ctx, "pgbench"); err != nil {
				return err
			}
			each := (n + sessions - 1) / sessions
			out, _, err := s.postgres(ctx, "pgbench", "-n", "-S", "-M", protocol, "-c", clients, "-t", strconv.Itoa(each))
			if err != nil {
				return err
			}
			done, err := pgbenchDone(out)
			if err == nil && done != each*sessions {
				err = fmt.Errorf("pgbench made %d of %d transactions", done, each*sessions)
			}
			return err
		}
		truth := func(ctx context.Context, s *server) (int, error) {
			said, err := s.psql(ctx, "SELECT sum(calls) FROM pg_stat_statements WHERE query NOT LIKE '%pg_stat_statements%'")
			if err != nil {
				return 0, err
			}
			statements, err1 := strconv.Atoi(said)
			connections, err2 := s.comings(ctx, "pgbench")
			// Each connection is greeted once, and says good-bye to no answer.
			return statements + prepares + 2*(connections-before), errors.Join(err1, err2)
		}
		c := s.census("count-pgbench-"+protocol, "pgbench's transactions, "+protocol+" protocol, and all else that it asked,", "PostgreSQL", load, truth)
		c.stop = s.quit
		return c, nil
	}
}

var pgbenchProcessed = regexp.MustCompile(`number of transactions actually processed: (\d+)/\d+`)

// pgbenchDone is how many transactions there were.
func pgbenchDone(out string) (int, error) { return figure(pgbenchProcessed, out) }

// comings is how many connections of a program the log has, when all have gone.
func (s *server) comings(ctx context.Context, program string) (int, error) {
	for end := time.Now().Add(10 * time.Second); ; {
		b, err := os.ReadFile(s.log())
		if err != nil {
			return 0, fmt.Errorf("read PostgreSQL's log: %w", err)
		}
		of, all, gone := sessions(string(b), program)
		if all == gone {
			return of, nil
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("of %d connections to PostgreSQL %d have ended", all, gone)
		}
		if err := pause(ctx, 50*ms); err != nil {
			return 0, err
		}
	}
}

// sessions counts a log's: those of a program, all, and those that ended.
func sessions(log, program string) (of, all, gone int) {
	for line := range strings.Lines(log) {
		switch {
		case strings.Contains(line, "LOG:  connection authorized: "):
			all++
			if strings.HasSuffix(line, " application_name="+program+"\n") {
				of++
			}
		case strings.Contains(line, "LOG:  disconnection: "):
			gone++
		}
	}
	return of, all, gone
}
