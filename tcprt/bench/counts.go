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
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
)

// side is one end of connections whose requests somebody else counts too.
type side struct {
	id, what, by string
	role         tcprt.Role
	port         uint16 // the server's
	truth        func(context.Context) (int, error)
}

// census is a load, and the sides that see it.
type census struct {
	load  func(context.Context) error
	sides []side
	stop  func()
}

// censuses are the cases counts-…
var censuses = []struct {
	name, doc string
	open      func(b *bencher, ctx context.Context, n int) (*census, error)
}{
	{"redis", "redis-benchmark, against redis's own count", redisCensus},
	{"wrk", "wrk to nginx, 30 s, against nginx's own count", wrkCensus},
	{"h2load", "h2load to nginx, against nginx's own count", h2loadCensus},
	{"pgbench-simple", "pgbench's simple protocol, against pg_stat_statements and the log", pgbenchCensus("simple")},
	{"pgbench-extended", "pgbench's extended protocol, against the same", pgbenchCensus("extended")},
	{"pgbench-prepared", "pgbench's prepared statements, against the same", pgbenchCensus("prepared")},
	{"mysqlslap", "mysqlslap to MariaDB, against the server's status", mysqlslapCensus},
	{"haproxy", "h2load to nginx through haproxy, both sides of it, against both counts", haproxyCensus},
}

func countCases() (out []benchCase) {
	for _, c := range censuses {
		out = append(out, benchCase{Name: countsName + "-" + c.name, Doc: "a record of each of a million requests: " + c.doc, Run: func(b *bencher, ctx context.Context) ([]benchfmt.Result, error) {
			s, err := c.open(b, ctx, b.requests())
			if err != nil {
				return nil, err
			}
			defer s.stop()
			return b.census(ctx, s)
		}})
	}
	return out
}

const countsName = "counts"

// requests is how many a census is of, about.
func (b *bencher) requests() int {
	if b.Requests > 0 {
		return b.Requests
	}
	return b.count(1_000_000)
}

// census has a record made of every request, and compares their number with that of
// those who must know.
func (b *bencher) census(ctx context.Context, s *census) ([]benchfmt.Result, error) {
	seen, lost, err := s.tally(ctx)
	if err != nil {
		return nil, err
	}
	var out []benchfmt.Result
	for i, x := range s.sides {
		truth, err := x.truth(ctx)
		if err != nil {
			return nil, err
		}
		b.Say(fmt.Sprintf("  %s: %d records, %s counted %d requests, %d records were lost", x.id, seen[i], x.by, truth, lost))
		out = append(out, benchfmt.Pairs(x.id, "records of "+x.what, "requests", x.by, "=1", []float64{float64(seen[i])}, []float64{float64(truth)}))
	}
	// One row for all of them, and none of a part: it would hide what another lost.
	if b.lost = append(b.lost, float64(lost)); len(b.lost) == len(censuses) {
		out = append(out, benchfmt.Worst("count-dropped", "records lost for want of room in all of those", "records", "<=0", b.lost))
	}
	return out, nil
}

// tally counts the records of each side during the load.
func (s *census) tally(ctx context.Context) (seen []int, dropped uint64, err error) {
	var o tcprt.Options
	for _, x := range s.sides {
		o.Ports, o.Roles = append(o.Ports, x.port), append(o.Roles, x.role)
	}
	c, err := tcprt.Open(o)
	if err != nil {
		return nil, 0, err
	}
	defer c.Close()
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	seen = make([]int, len(s.sides))
	count := func(r *tcprt.Record) {
		of := r.Service()
		for i := range s.sides {
			if x := &s.sides[i]; x.role == of.Role && x.port == of.Port {
				seen[i]++
			}
		}
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Run(run, count) }()
	err = s.load(ctx)
	if err == nil {
		err = pause(ctx, 500*time.Millisecond) // the last connections close
	}
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		return nil, 0, err
	}
	// The last requests of connections that stay, as a proxy keeps them.
	if err := c.Settle(0, count); err != nil {
		return nil, 0, err
	}
	st, err := c.Stats()
	return seen, st.Dropped, err
}

// of makes the census of one server, on its own side.
func (s *server) census(id, what, by string, load func(context.Context) error, truth func(context.Context, *server) (int, error)) *census {
	return &census{load: load, stop: s.stop, sides: []side{{
		id: id, what: what + " against " + by + "'s own count", by: by, role: tcprt.Server, port: s.port,
		truth: func(ctx context.Context) (int, error) { return truth(ctx, s) },
	}}}
}

func redisCensus(_ *bencher, _ context.Context, n int) (*census, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	return s.census("count-redis", "redis-benchmark's GETs", "redis", func(ctx context.Context) error {
		_, err := gets(ctx, s.port, n)
		return err
	}, redisTruth), nil
}

// wrkCensus is of a time, as wrk cannot be told how many.
func wrkCensus(_ *bencher, _ context.Context, n int) (*census, error) {
	s, err := nginxServer()
	if err != nil {
		return nil, err
	}
	seconds := min(max(1, n/30_000), 30)
	return s.census("count-nginx", "wrk's requests to nginx", "nginx", func(ctx context.Context) error {
		_, _, err := ask(ctx, "wrk", "-t1", "-c"+clients, fmt.Sprintf("-d%ds", seconds), fmt.Sprintf("http://127.0.0.1:%d/", s.port))
		return err
	}, nginxTruth), nil
}

func h2loadCensus(_ *bencher, _ context.Context, n int) (*census, error) {
	s, err := nginxServer()
	if err != nil {
		return nil, err
	}
	return s.census("count-h2load", "h2load's requests of HTTP/1.1 to nginx", "nginx", func(ctx context.Context) error {
		return h2load(ctx, s.port, n)
	}, nginxTruth), nil
}

var h2loadDone = regexp.MustCompile(`requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded`)

// h2load has n requests made of the server at a port, all of which must succeed.
func h2load(ctx context.Context, port uint16, n int) error {
	out, _, err := ask(ctx, "h2load", "--h1", "-n"+strconv.Itoa(n), "-c"+clients, "-t1", fmt.Sprintf("http://127.0.0.1:%d/", port))
	if err != nil {
		return err
	}
	done, err := figure(h2loadDone, out)
	if err == nil && done != n {
		err = fmt.Errorf("h2load made %d of %d requests", done, n)
	}
	return err
}

var (
	redisCommands = regexp.MustCompile(`total_commands_processed:(\d+)`)
	redisConfigs  = regexp.MustCompile(`cmdstat_config\|get:calls=(\d+)`)
	nginxRequests = regexp.MustCompile(`server accepts handled requests\s+\d+ \d+ (\d+)`)
)

func figure(re *regexp.Regexp, in string) (int, error) {
	m := re.FindStringSubmatch(in)
	if m == nil {
		return 0, fmt.Errorf("find %s in %q", re, in)
	}
	return strconv.Atoi(m[1])
}

// redisTruth is how many turns there were: redis-benchmark asks for two settings at
// once before it begins, which are two commands. This INFO is counted after it
// answered.
func redisTruth(_ context.Context, s *server) (int, error) {
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
func nginxTruth(ctx context.Context, s *server) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/status", s.port), http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("ask nginx: %w", err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
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
