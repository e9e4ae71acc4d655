package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/trt"
)

// pipeline compares what the times of each request cost, from the wire to the times:
// a recording of the server's side and its replay, against a capture by tcpdump and
// what tshark makes of its packets. Of theirs neither what the kernel does for the
// capture is counted, nor what still has to be made of tshark's packets.
func (b *bencher) pipeline(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	dir, err := os.MkdirTemp("", "anole-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	n := b.count(30_000)
	got, err := b.rounds(ctx, b.Rounds,
		func() (float64, error) { return b.recorded(ctx, s.port, n, filepath.Join(dir, "x.trt")) },
		func() (float64, error) { return captured(ctx, s.port, n, filepath.Join(dir, "x.pcap")) })
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{benchfmt.Pairs("pipeline", "CPU per request from the wire to its times: recorded and replayed, kernel and agent", "µs", "tcpdump and tshark", "<=0.05", got[0], got[1])}, nil
}

// recorded gives the microseconds of CPU a request took to be recorded and replayed.
func (b *bencher) recorded(ctx context.Context, port uint16, n int, path string) (float64, error) {
	measured, err := tcprt.Measure()
	if err != nil {
		return 0, err
	}
	defer measured.Close()
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	file, err := os.Create(path)
	if err != nil {
		return 0, fmt.Errorf("create a recording: %w", err)
	}
	defer file.Close()
	w, err := trt.NewWriter(file, trt.Header{})
	if err != nil {
		return 0, err
	}
	run, cancel := context.WithCancel(ctx)
	type done struct {
		cpu     time.Duration
		records int
		err     error
	}
	ended := make(chan done)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		var d done
		from := threadTime()
		err := c.Run(run, func(r *tcprt.Record) {
			d.records++
			d.err = errors.Join(d.err, w.Add(r))
		})
		d.err = errors.Join(d.err, err, w.Close())
		d.cpu = threadTime() - from
		ended <- d
	}()
	_, err = gets(ctx, port, n)
	time.Sleep(200 * time.Millisecond)
	cancel()
	d := <-ended
	if err := errors.Join(err, d.err); err != nil {
		return 0, err
	}
	if d.records < n {
		return 0, fmt.Errorf("record: %d of %d requests", d.records, n)
	}
	kernel, err := c.Runtime()
	if err != nil {
		return 0, err
	}
	_, replay, err := ask(ctx, b.Victim[0], "tcprt", "replay", path)
	return float64(kernel+d.cpu+replay) / float64(n) / 1000, err
}

// captured gives those that tcpdump and tshark take.
func captured(ctx context.Context, port uint16, n int, path string) (float64, error) {
	tcpdump, err := tool("tcpdump")
	if err != nil {
		return 0, err
	}
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, tcpdump, "-i", "lo", "-s", "128", "-B", "65536", "-w", path, "-Z", "root", "tcp port "+strconv.Itoa(int(port)))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start tcpdump: %w", err)
	}
	defer func() { _ = cmd.Process.Kill() }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) { // until it listens
		if i, err := os.Stat(path); err == nil && (i.Size() > 0 || time.Since(i.ModTime()) > 500*time.Millisecond) {
			break
		}
		if time.Now().After(end) {
			return 0, errors.New("start tcpdump: it makes no file")
		}
	}
	time.Sleep(200 * time.Millisecond)
	if _, err := gets(ctx, port, n); err != nil {
		return 0, err
	}
	time.Sleep(time.Second) // it takes its packets in blocks
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		return 0, fmt.Errorf("run tcpdump: %w: %s", err, said.String())
	}
	out, offline, err := ask(ctx, "tshark", "-r", path, "-T", "fields", "-e", "tcp.stream", "-e", "frame.time_epoch", "-e", "tcp.dstport", "-e", "tcp.len", "-e", "tcp.analysis.ack_rtt", "-e", "tcp.analysis.retransmission")
	if err != nil {
		return 0, err
	}
	requests, to := 0, strconv.Itoa(int(port))
	for line := range strings.Lines(out) {
		if f := strings.Split(line, "\t"); len(f) > 3 && f[2] == to && f[3] != "0" {
			requests++
		}
	}
	if requests < n*99/100 {
		return 0, fmt.Errorf("capture: %d of %d requests: %s", requests, n, said.String())
	}
	online := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return float64(online+offline) / float64(n) / 1000, nil
}
