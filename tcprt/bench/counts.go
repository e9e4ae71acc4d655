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

// counts has a record made of every one of a million requests, and compares their
// number with the server's own.
func (b *bencher) counts(ctx context.Context) ([]benchfmt.Result, error) {
	var out []benchfmt.Result
	var dropped []float64
	for _, c := range []struct {
		id, what string
		serve    func() (*server, error)
		load     func(s *server) error
		truth    func(s *server) (int, error)
	}{
		{"count-redis", "records of 1,000,000 redis GETs", redisServer, func(s *server) error {
			_, err := gets(ctx, s.port, b.count(1_000_000))
			return err
		}, redisTruth},
		{"count-nginx", "records of wrk's requests to nginx in 30 s", nginxServer, func(s *server) error {
			_, _, err := ask(ctx, "wrk", "-t1", "-c"+clients, "-d"+strconv.Itoa(min(b.count(30), 30))+"s", fmt.Sprintf("http://127.0.0.1:%d/", s.port))
			return err
		}, nginxTruth},
	} {
		s, err := c.serve()
		if err != nil {
			return nil, err
		}
		records, lost, err := tally(ctx, s.port, func() error { return c.load(s) })
		if err != nil {
			s.stop()
			return nil, err
		}
		truth, err := c.truth(s)
		s.stop()
		if err != nil {
			return nil, err
		}
		dropped = append(dropped, float64(lost))
		b.Say(fmt.Sprintf("  %d records, the server counted %d requests, %d records were lost", records, truth, lost))
		out = append(out, benchfmt.Pairs(c.id, c.what+" against the server's own count", "requests", "the server", "=1", []float64{float64(records)}, []float64{float64(truth)}))
	}
	return append(out, benchfmt.Worst("count-dropped", "records lost for want of room in that", "records", "<=0", dropped)), nil
}

// tally counts the server's records while something goes on.
func tally(ctx context.Context, port uint16, do func() error) (n int, dropped uint64, err error) {
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return 0, 0, err
	}
	defer c.Close()
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error)
	go func() { ended <- c.Run(run, func(*tcprt.Record) { n++ }) }()
	err = do()
	time.Sleep(500 * time.Millisecond) // the last connections close
	cancel()
	if err := errors.Join(err, <-ended); err != nil {
		return 0, 0, err
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
