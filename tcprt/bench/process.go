package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/trt"
)

// memory measures the whole agent, with all its rooms, that keeps a record of every
// request of a busy node.
func (b *bencher) memory(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := redisServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	run := func() (float64, error) {
		dir, err := os.MkdirTemp("", "anole-bench-")
		if err != nil {
			return 0, fmt.Errorf("make a directory: %w", err)
		}
		defer os.RemoveAll(dir)
		config := filepath.Join(dir, "anole.yaml")
		if err := os.WriteFile(config, []byte("version: 1\nagent:\n  console: {enabled: false}\ntcprt: {records: all, cpuPercent: 0}\n"), 0o600); err != nil {
			return 0, fmt.Errorf("write a configuration: %w", err)
		}
		where := []string{"--config", config, "--run-dir", dir, "--state-dir", dir}
		cmd := exec.CommandContext(ctx, b.Victim[0], append([]string{"up"}, where...)...)
		var said strings.Builder
		cmd.Stderr = &said
		if err := cmd.Start(); err != nil {
			return 0, fmt.Errorf("start an agent: %w", err)
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
		for end := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
			if err := exec.CommandContext(ctx, b.Victim[0], append([]string{"tcprt", "status"}, where...)...).Run(); err == nil {
				break
			}
			if time.Now().After(end) {
				return 0, fmt.Errorf("start an agent: it does not answer: %s", said.String())
			}
		}
		if _, err := gets(ctx, s.port, b.count(500_000)); err != nil {
			return 0, err
		}
		return rss(cmd.Process.Pid)
	}
	got, err := b.rounds(ctx, b.Rounds, run)
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{benchfmt.Worst("agent-rss", "memory of the whole agent at its most, with a record of each of 1,000,000 requests; the highest round", "MiB", "<=48", got[0])}, nil
}

// rss is the most that a process had in memory, in MiB.
func rss(pid int) (float64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0, fmt.Errorf("read the agent's memory: %w", err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib / 1024, err
		}
	}
	return 0, errors.New("read the agent's memory: there is no VmHWM")
}

// replay measures anole tcprt replay of a million records of a hundred services.
func (b *bencher) replay(ctx context.Context) ([]benchfmt.Result, error) {
	dir, err := os.MkdirTemp("", "anole-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	path, n := filepath.Join(dir, "x.trt"), b.count(1_000_000)
	if err := synthesize(path, n); err != nil {
		return nil, err
	}
	got, err := b.rounds(ctx, b.Rounds, func() (float64, error) {
		_, cpu, err := ask(ctx, b.Victim[0], "tcprt", "replay", path)
		return float64(n) / cpu.Seconds() / 1e6, err
	})
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{benchfmt.Single("replay", "records that anole tcprt replay judges per second of CPU, starting the program too", "million/s", ">=1", got[0])}, nil
}

// synthesize writes a recording of ten minutes of a hundred services.
func synthesize(path string, n int) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create a recording: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w, err := trt.NewWriter(file, trt.Header{Created: time.Now(), Offset: time.Hour})
	if err != nil {
		return err
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range n {
		t0 := time.Hour + time.Duration(i)*(10*time.Minute)/time.Duration(n)
		t := t0
		step := func(most time.Duration) time.Duration { t += time.Duration(rnd.Int64N(int64(most))) + 1; return t }
		r := tcprt.Record{
			Role: tcprt.Server, Number: uint32(i / 1000), Local: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(8000+i%100)),
			Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i % 200)}), uint16(40_000+i%1000)), NetNS: 4026531840, PID: uint32(i % 100),
			T0: t0, T1: step(50 * time.Microsecond), Read: step(20 * time.Microsecond), T2: step(2 * ms), Last: step(50 * time.Microsecond), T3: step(200 * time.Microsecond),
			RequestSeq: rnd.Uint32(), AnswerSeq: rnd.Uint32(), RequestBytes: 120, AnswerBytes: uint32(rnd.IntN(9000)), RTT: 200 * time.Microsecond, MinRTT: 90 * time.Microsecond, MSS: 1448,
		}
		r.End = r.T3
		if err := w.Add(&r); err != nil {
			return err
		}
	}
	return w.Close()
}
