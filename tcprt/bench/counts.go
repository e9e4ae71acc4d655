package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
)

// counted is traffic whose requests are counted by somebody else too.
type counted struct {
	id, what, by string
	serve        func() (*server, error)
	load         func(ctx context.Context, port uint16, n int) error
	// truth counts, after the load; nil has a proxy before the server do it.
	truth func(s *server) (int, error)
	// server: only the server's side is exact, as clients end with requests under way.
	server bool
}

func countedLoads() []counted {
	pgbench := func(protocol string) counted {
		return counted{"count-pgbench-" + protocol, "records of 1,000,000 transactions of pgbench -S, " + protocol + " protocol", "a proxy that counts turns", postgresServer, func(ctx context.Context, port uint16, n int) error {
			_, _, err := ask(ctx, "pgbench", "-S", "-n", "-M", protocol, "-c", clients, "-j", "1", "-t", strconv.Itoa(n/clientCount), "-h", "127.0.0.1", "-p", strconv.Itoa(int(port)), "-U", "me", "postgres")
			return err
		}, nil, false}
	}
	h2load := func(ctx context.Context, port uint16, n int) error {
		out, _, err := ask(ctx, "h2load", "--h1", "-n", strconv.Itoa(n), "-c", clients, fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err == nil && !strings.Contains(out, fmt.Sprintf("%d succeeded", n)) {
			return fmt.Errorf("not all of its requests succeeded: %s", out)
		}
		return err
	}
	return []counted{
		{"count-redis", "records of 1,000,000 redis GETs", "the server", redisServer, func(ctx context.Context, port uint16, n int) error {
			_, err := gets(ctx, port, n)
			return err
		}, redisTruth, false},
		{"count-nginx", "records of wrk's requests to nginx, 1,000,000 and more", "the server", nginxServer, func(ctx context.Context, port uint16, n int) error {
			_, _, err := ask(ctx, "wrk", "-t1", "-c"+clients, "-d"+strconv.Itoa(max(1, n*30/1_000_000))+"s", fmt.Sprintf("http://127.0.0.1:%d/", port))
			return err
		}, nginxTruth, true},
		{"count-h2load", "records of 1,000,000 requests of h2load --h1 to nginx", "the server", nginxServer, h2load, nginxTruth, false},
		{"count-haproxy", "records of 1,000,000 requests of h2load --h1 at haproxy, which has them from nginx", "nginx", haproxyServer, h2load, haproxyTruth, false},
		pgbench("simple"), pgbench("extended"), pgbench("prepared"),
		{"count-mysqlslap", "records of 1,000,000 queries of mysqlslap to MariaDB", "a proxy that counts turns", mariadbServer, func(ctx context.Context, port uint16, n int) error {
			_, _, err := ask(ctx, "mysqlslap", "--no-defaults", "--skip-ssl", "-uroot", "-h127.0.0.1", "-P"+strconv.Itoa(int(port)), "--concurrency="+clients, "--number-of-queries="+strconv.Itoa(n), "--query=select 1", "--create-schema=mysql")
			return err
		}, nil, false},
	}
}

// counts has a record made of every one of a million requests, of each kind of
// traffic, and compares their number with that of somebody else.
func (b *bencher) counts(ctx context.Context) ([]benchfmt.Result, error) {
	var out []benchfmt.Result
	var dropped []float64
	for _, c := range countedLoads() {
		records, truth, lost, err := b.countOne(ctx, &c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.id, err)
		}
		dropped = append(dropped, float64(lost))
		b.Say(fmt.Sprintf("  %s: %d records, %d requests were counted, %d records were lost", c.id, records, truth, lost))
		out = append(out, benchfmt.Pairs(c.id, c.what, "requests", c.by, "=1", []float64{float64(records)}, []float64{float64(truth)}))
	}
	return append(out, benchfmt.Worst("count-dropped", "records lost for want of room in all of that", "records", "<=0", dropped)), nil
}

// countOne counts what both sides of the server's connections have records of, and
// of those that it makes in turn, and gives the count that is farthest from the truth.
func (b *bencher) countOne(ctx context.Context, c *counted) (records, truth int, lost uint64, err error) {
	s, err := c.serve()
	if err != nil {
		return 0, 0, 0, err
	}
	defer s.stop()
	n, port := b.count(1_000_000), s.port
	var p *proxy
	if c.truth == nil {
		if p, err = newProxy(s.port); err != nil {
			return 0, 0, 0, err
		}
		port = p.port()
	}
	ports := []uint16{s.port}
	if s.back != 0 {
		ports = append(ports, s.back)
	}
	seen, lost, err := tally(ctx, ports, func() error {
		err := c.load(ctx, port, n)
		if p != nil {
			truth = p.count()
		}
		return err
	})
	if err == nil && c.truth != nil {
		truth, err = c.truth(s)
	}
	records = truth
	for _, port := range ports {
		for _, role := range []tcprt.Role{tcprt.Server, tcprt.Client} {
			if role == tcprt.Client && c.server {
				continue
			}
			if n := seen[side{role, port}]; abs(n-truth) >= abs(records-truth) {
				records = n
			}
		}
	}
	return records, truth, lost, err
}

func abs(n int) int { return max(n, -n) }

// side is that of a server's port, or of those that ask it.
type side struct {
	role tcprt.Role
	port uint16
}

// tally counts the records of some servers' ports while something goes on.
func tally(ctx context.Context, ports []uint16, do func() error) (n map[side]int, dropped uint64, err error) {
	c, err := tcprt.Open(tcprt.Options{Ports: ports})
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	n = map[side]int{}
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() {
		ended <- c.Run(run, func(r *tcprt.Record) { n[side{r.Role, r.Service().Port}]++ })
	}()
	err = do()
	time.Sleep(500 * time.Millisecond) // the last connections close
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		return nil, 0, err
	}
	st, err := c.Stats()
	return n, st.Dropped, err
}

var (
	redisCommands = regexp.MustCompile(`total_commands_processed:(\d+)`)
	redisConfigs  = regexp.MustCompile(`cmdstat_config\|get:calls=(\d+)`)
	nginxRequests = regexp.MustCompile(`server accepts handled requests\s+\d+ \d+ (\d+)`)
)

func figure(re *regexp.Regexp, in string) (int, error) {
	m := re.FindStringSubmatch(in)
	if m == nil {
		return 0, fmt.Errorf("find %s in what the server says", re)
	}
	return strconv.Atoi(m[1])
}

// redisTruth is how many turns there were: redis-benchmark asks for two settings at
// once before it begins, which are two commands. This INFO is counted after it
// answered.
func redisTruth(s *server) (int, error) {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		return 0, fmt.Errorf("ask redis: %w", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "INFO everything\r\nQUIT\r\n"); err != nil {
		return 0, fmt.Errorf("ask redis: %w", err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return 0, fmt.Errorf("ask redis: %w", err)
	}
	all, err1 := figure(redisCommands, string(b))
	configs, err2 := figure(redisConfigs, string(b))
	return all - configs/2, errors.Join(err1, err2)
}

// nginxTruth is without the request that asks for it.
func nginxTruth(s *server) (int, error) {
	resp, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/status", s.port))
	if err != nil {
		return 0, fmt.Errorf("ask nginx: %w", err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, fmt.Errorf("ask nginx: %w", err)
	}
	n, err := figure(nginxRequests, string(b))
	return n - 1, err
}
