package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/tcprt"
)

// accuracy compares T3-T0 with what curl measures.
func (b *bencher) accuracy(ctx context.Context) ([]benchfmt.Result, error) {
	const size, rate, lost = 2 << 20, 20_000_000 / 8, 0.02
	l, err := lab.Open()
	if err != nil {
		return nil, err
	}
	defer l.Close()
	index, err := l.World.Index(lab.Remote)
	if err != nil {
		return nil, err
	}
	err = l.World.Netlink().QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
		Rate:       rate, Limit: 1 << 17, Buffer: netlink.Xmittime(rate, 70_000),
	})
	if err == nil {
		err = l.World.Lose(lab.Remote, lost)
	}
	if err != nil {
		return nil, fmt.Errorf("make a slow path: %w", err)
	}
	const port = 8080
	var ln net.Listener
	if err := l.World.Do(func() (err error) { ln, err = net.Listen("tcp", fmt.Sprintf("%s:%d", lab.WorldAddr, port)); return err }); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	body := strings.NewReader(strings.Repeat("x", size))
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "x.bin", time.Time{}, io.NewSectionReader(body, 0, size))
	}), ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	times := 9
	if b.Short {
		times = 1
	}
	got, err := b.rounds(ctx, b.Rounds, func() (float64, error) {
		var off []float64
		for range times {
			seen, client, err := download(ctx, l, c, port, size)
			if err != nil {
				return 0, err
			}
			off = append(off, 100*math.Abs(seen.Seconds()-client.Seconds())/client.Seconds())
		}
		return benchfmt.Median(off), nil
	})
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Single("accuracy-download", "T3-T0 of the server against curl, 2 MB at 20 Mbit/s with 2 % loss: difference, median of 9 downloads", "%", "<=0.5", got[0]),
	}, nil
}

// download gives the time of one as the server's record has it, and as curl does:
// from when the connection was there.
func download(ctx context.Context, l *lab.Lab, c *tcprt.Collector, port, size int) (seen, client time.Duration, err error) {
	var out string
	err = l.Node.Do(func() (err error) {
		out, _, err = ask(ctx, "curl", "-s", "-o", "/dev/null", "-w", "%{time_pretransfer} %{time_total}", fmt.Sprintf("http://%s:%d/", lab.WorldAddr, port))
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	from, to, _ := strings.Cut(out, " ")
	began, err1 := strconv.ParseFloat(from, 64)
	ended, err2 := strconv.ParseFloat(to, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, fmt.Errorf("read what curl says: %w", err)
	}
	for end := time.Now().Add(5 * time.Second); seen == 0; {
		if err := c.Drain(50*time.Millisecond, func(r *tcprt.Record) {
			if int(r.AnswerBytes) > size {
				seen = r.T3 - r.T0
			}
		}); err != nil {
			return 0, 0, err
		}
		if time.Now().After(end) {
			return 0, 0, errors.New("there is no record of the download")
		}
	}
	return seen, time.Duration((ended - began) * float64(time.Second)), nil
}

// think compares what a server's records say with what its client, which thinks
// between two requests, measures.
func (b *bencher) think(ctx context.Context) ([]benchfmt.Result, error) {
	var out []benchfmt.Result
	var least []float64
	for _, pause := range []time.Duration{5 * time.Millisecond, 20 * time.Millisecond, 35 * time.Millisecond} {
		var ours, theirs []float64
		_, err := b.rounds(ctx, b.Rounds, func() (float64, error) {
			seen, client, err := thinking(pause, b.count(8000)/int(pause.Milliseconds())/8)
			if err != nil {
				return 0, err
			}
			ours, theirs = append(ours, seen.Seconds()*1e6), append(theirs, client.Seconds()*1e6)
			return 0, nil
		})
		if err != nil {
			return nil, err
		}
		r := benchfmt.Pairs(fmt.Sprintf("think-%dms", pause.Milliseconds()), fmt.Sprintf("p50 of requests as the server's records have it, %d ms between them", pause.Milliseconds()), "µs", "the client", "<=1.5", ours, theirs)
		out, least = append(out, r), append(least, r.Spread.Min)
	}
	r := benchfmt.Single("think-least", "the least of those ratios in any round", "", ">=0.8", least)
	r.Ours = slices.Min(least)
	return append(out, r), nil
}

// thinking gives the p50 of requests that take about half a millisecond.
func thinking(pause time.Duration, turns int) (seen, client time.Duration, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, 0, fmt.Errorf("listen: %w", err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf := make([]byte, 100)
				for {
					if _, err := io.ReadFull(c, buf); err != nil {
						return
					}
					for end := time.Now().Add(400 * time.Microsecond); time.Now().Before(end); {
					}
					if _, err := c.Write(buf); err != nil {
						return
					}
				}
			}()
		}
	}()
	k, err := tcprt.Open(tcprt.Options{Ports: []uint16{uint16(l.Addr().(*net.TCPAddr).Port)}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return 0, 0, err
	}
	defer k.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return 0, 0, fmt.Errorf("connect: %w", err)
	}
	defer c.Close()
	var mine, theirs []float64
	buf := make([]byte, 100)
	for range max(20, turns) {
		began := time.Now()
		if _, err = c.Write(buf); err == nil {
			_, err = io.ReadFull(c, buf)
		}
		if err != nil {
			return 0, 0, fmt.Errorf("ask: %w", err)
		}
		theirs = append(theirs, float64(time.Since(began)))
		time.Sleep(pause)
	}
	_ = c.Close()
	err = k.Drain(200*time.Millisecond, func(r *tcprt.Record) { mine = append(mine, float64(r.Total())) })
	return time.Duration(benchfmt.Median(mine)), time.Duration(benchfmt.Median(theirs)), err
}
