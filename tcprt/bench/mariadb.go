package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

func mariadbServer(ctx context.Context) (*server, error) {
	as, err := userOf("mysql")
	if err != nil {
		return nil, err
	}
	s, err := serveAs(as, "mariadbd", func(dir string, port uint16) ([]string, error) {
		data := filepath.Join(dir, "data")
		if err := prepare(as, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db"); err != nil {
			return nil, err
		}
		return []string{
			"--no-defaults", "--datadir=" + data, "--port=" + strconv.Itoa(int(port)), "--bind-address=127.0.0.1", "--socket=" + filepath.Join(dir, "sock"),
			"--pid-file=" + filepath.Join(dir, "pid"), "--skip-name-resolve", "--innodb-flush-log-at-trx-commit=0",
		}, nil
	})
	if err != nil {
		return nil, err
	}
	if _, err := s.mariadb(ctx, "CREATE DATABASE bench"); err != nil {
		s.stop()
		return nil, err
	}
	return s, nil
}

// mariadb asks by the Unix socket, which no record is of.
func (s *server) mariadb(ctx context.Context, query string) (string, error) {
	out, _, err := ask(ctx, "mariadb", "--no-defaults", "--user=root", "--socket="+filepath.Join(s.dir, "sock"), "--batch", "--skip-column-names", "-e", query)
	return out, err
}

// mysqlslapCensus takes the truth from the server's status: Questions has each
// statement and each good-bye, which has no answer; each connection is one more turn,
// its login.
func mysqlslapCensus(_ *bencher, ctx context.Context, n int) (*census, error) {
	s, err := mariadbServer(ctx)
	if err != nil {
		return nil, err
	}
	sessions, _ := strconv.Atoi(clients)
	n = (n + sessions - 1) / sessions * sessions // it gives each client as many
	// What it takes to ask is found by asking twice.
	var before, own int
	first, err := s.mariadbTurns(ctx)
	if err == nil {
		before, err = s.mariadbTurns(ctx)
	}
	if err != nil {
		s.stop()
		return nil, err
	}
	own = before - first
	return s.census("count-mysqlslap", "mysqlslap's SELECTs, logins and good-byes", "MariaDB", func(ctx context.Context) error {
		out, _, err := ask(ctx, "mysqlslap", "--no-defaults", "--host=127.0.0.1", "--port="+strconv.Itoa(int(s.port)), "--user=root", "--create-schema=bench", "--no-drop",
			"--concurrency="+clients, "--number-of-queries="+strconv.Itoa(n), "--query=SELECT 1")
		if err != nil {
			return err
		}
		// Of clients that cannot connect it says so and goes on.
		done, err := slapped(out)
		if err == nil && done < n {
			err = fmt.Errorf("mysqlslap made %d of %d queries", done, n)
		}
		return err
	}, func(ctx context.Context, s *server) (int, error) {
		after, err := s.mariadbTurns(ctx)
		return after - before - own, err
	}), nil
}

var (
	slapClients = regexp.MustCompile(`Number of clients running queries: (\d+)`)
	slapEach    = regexp.MustCompile(`Average number of queries per client: (\d+)`)
)

// slapped is how many queries mysqlslap says that there were.
func slapped(out string) (int, error) {
	if strings.Contains(out, "Error ") {
		return 0, fmt.Errorf("read what mysqlslap says: %q", out)
	}
	all, err1 := figure(slapClients, out)
	each, err2 := figure(slapEach, out)
	return all * each, errors.Join(err1, err2)
}

// mariadbTurns is how many turns there were until now, this question included.
func (s *server) mariadbTurns(ctx context.Context) (int, error) {
	out, err := s.mariadb(ctx, "SHOW GLOBAL STATUS WHERE Variable_name IN ('Questions', 'Connections')")
	if err != nil {
		return 0, err
	}
	return statusSum(out, "Questions", "Connections")
}

// statusSum adds up values of SHOW STATUS: a name and its value a line.
func statusSum(out string, names ...string) (sum int, err error) {
	is := map[string]string{}
	for line := range strings.Lines(out) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		is[name] = value
	}
	for _, name := range names {
		n, err := strconv.Atoi(is[name])
		if err != nil {
			return 0, fmt.Errorf("read %s in MariaDB's status %q: %w", name, out, err)
		}
		sum += n
	}
	return sum, nil
}
