package bench

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/anole-os/anole/tcprt"
)

// haproxyServer forwards to a port of this node.
func haproxyServer(to uint16) (*server, error) {
	return serve("haproxy", func(dir string, port uint16) ([]string, error) {
		conf := fmt.Sprintf(`global
  maxconn 512
  stats socket %[1]s/stats mode 600
defaults
  mode http
  option http-ignore-probes
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend front
  bind 127.0.0.1:%[2]d
  default_backend back
backend back
  server nginx 127.0.0.1:%[3]d
`, dir, port, to)
		path := filepath.Join(dir, "haproxy.cfg")
		if err := os.WriteFile(path, []byte(conf), 0o600); err != nil {
			return nil, fmt.Errorf("write haproxy's configuration: %w", err)
		}
		return []string{"-db", "-f", path}, nil
	})
}

// haproxyCensus is of a proxy's two sides: what its clients ask it, by its own count,
// and what it asks nginx, by nginx's.
func haproxyCensus(_ *bencher, _ context.Context, n int) (*census, error) {
	back, err := nginxServer()
	if err != nil {
		return nil, err
	}
	front, err := haproxyServer(back.port)
	if err != nil {
		back.stop()
		return nil, err
	}
	return &census{
		load: func(ctx context.Context) error { return h2load(ctx, front.port, n) },
		sides: []side{
			{"count-haproxy-front", "h2load's requests to haproxy, as a server, against haproxy's own count", "haproxy", tcprt.Server, front.port, front.haproxyRequests},
			{"count-haproxy-back", "haproxy's requests to nginx, as a client, against nginx's own count", "nginx", tcprt.Client, back.port, func(ctx context.Context) (int, error) { return nginxTruth(ctx, back) }},
		},
		stop: func() { front.stop(); back.stop() },
	}, nil
}

// haproxyRequests asks on the socket for statistics.
func (s *server) haproxyRequests(ctx context.Context) (int, error) {
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(s.dir, "stats"))
	if err != nil {
		return 0, fmt.Errorf("ask haproxy: %w", err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "show stat\n"); err != nil {
		return 0, fmt.Errorf("ask haproxy: %w", err)
	}
	b, err := io.ReadAll(c)
	if err != nil {
		return 0, fmt.Errorf("ask haproxy: %w", err)
	}
	return haproxyTotal(string(b), "front", "FRONTEND")
}

// haproxyTotal finds req_tot of a proxy's row in "show stat" (haproxy's
// management.txt, 9.1).
func haproxyTotal(stat, proxy, row string) (int, error) {
	r := csv.NewReader(strings.NewReader(strings.TrimPrefix(stat, "# ")))
	r.FieldsPerRecord = -1
	all, err := r.ReadAll()
	if err != nil {
		return 0, fmt.Errorf("read haproxy's statistics: %w", err)
	}
	for _, line := range all {
		if len(line) < 2 || line[0] != proxy || line[1] != row {
			continue
		}
		for i, name := range all[0] {
			if name == "req_tot" && i < len(line) {
				return strconv.Atoi(line[i])
			}
		}
	}
	return 0, errors.New("find req_tot in haproxy's statistics")
}
