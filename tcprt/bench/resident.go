package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/procfs"
)

// program is a whole agent, as an operator runs it, with directories of its own.
type program struct {
	cmd    *exec.Cmd
	dir    string
	errs   strings.Builder
	client *http.Client
}

// startProgram waits until it is ready.
func (b *bencher) startProgram(config string) (*program, error) {
	dir, err := os.MkdirTemp("", "anole-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	p, ran := &program{dir: dir}, false
	defer func() {
		if !ran {
			_ = os.RemoveAll(dir)
		}
	}()
	file := filepath.Join(p.dir, "anole.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return nil, fmt.Errorf("write the agent's configuration: %w", err)
	}
	notify, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(p.dir, "notify"), Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("listen for the agent: %w", err)
	}
	defer notify.Close()
	argv := slices.Concat(b.Agent, []string{"up", "--config", file, "--state-dir", filepath.Join(p.dir, "state"), "--run-dir", filepath.Join(p.dir, "run")})
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Stderr = &p.errs
	p.cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(p.dir, "notify"))
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start an agent: %w", err)
	}
	ran = true // from here on stop knows whether all may go
	socket := filepath.Join(p.dir, "run", "anole.sock")
	p.client = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", socket)
	}}}
	if err := ready(notify); err != nil {
		return nil, errors.Join(fmt.Errorf("start an agent: %w", err), p.stop(), errors.New(strings.TrimSpace(p.errs.String())))
	}
	return p, nil
}

// ready waits for READY=1, sd_notify(3).
func ready(notify *net.UnixConn) error {
	if err := notify.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	for buf := make([]byte, 4096); ; {
		n, err := notify.Read(buf)
		if err != nil {
			return fmt.Errorf("wait until it is ready: %w", err)
		}
		if strings.Contains(string(buf[:n]), "READY=1") {
			return nil
		}
	}
}

// stop ends it as an operator would, so that it puts the node back.
func (p *program) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	var late atomic.Bool
	kill := time.AfterFunc(15*time.Second, func() { late.Store(true); _ = p.cmd.Process.Kill() })
	_ = p.cmd.Wait()
	kill.Stop()
	if late.Load() {
		// Its journal is what puts the node back; it is not thrown away.
		argv := p.cmd.Args
		return fmt.Errorf("the agent did not stop and was killed; put the node back with: %s revert %s", argv[0], strings.Join(argv[len(argv)-4:], " "))
	}
	return os.RemoveAll(p.dir)
}

// record has it record all requests to a file until stop.
func (p *program) record(ctx context.Context, path string) (stop func() error, err error) {
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("create recording: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- errors.Join(p.stream(ctx, f, begun), f.Close()) }()
	stop = func() error { cancel(); return <-ended }
	select {
	case <-begun:
		return stop, nil
	case err := <-ended:
		cancel()
		return nil, err
	}
}

// stream takes a recording until ctx ends.
func (p *program) stream(ctx context.Context, to io.Writer, begun chan<- struct{}) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://anole/api/v1/tcprt/record?all=true", http.NoBody)
	if err != nil {
		return fmt.Errorf("ask the agent for a recording: %w", err)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return fmt.Errorf("ask the agent for a recording: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask the agent for a recording: %s", resp.Status)
	}
	close(begun)
	if _, err = io.Copy(to, resp.Body); ctx.Err() != nil {
		return nil // it was to end
	}
	return errors.Join(err, errors.New("the agent ended the recording"))
}

// resident measures a whole agent that keeps, and gives to a recording, a record of
// each request that redis can answer: the most memory that it has at any time, and its
// CPU, which is that of all its rooms.
func (b *bencher) resident(ctx context.Context) ([]benchfmt.Result, error) {
	rss, cpu, err := b.busy(ctx, 5, b.residentOnce) // each takes half a minute
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Worst("agent-rss", "the whole agent's resident memory while it records every GET of a busy redis, both sides; the most at any time", "MiB", "<=48", rss),
		benchfmt.Single("agent-cpu-record", "the whole agent's CPU per record in that: read, counted, kept, compressed and sent", "µs", "<=0.5", cpu),
	}, nil
}

// busy gives memory, MiB, and CPU per record, µs, that once measures with a redis for so
// many GETs, in each of most rounds at the most.
func (b *bencher) busy(ctx context.Context, most int, once func(ctx context.Context, s *server, n int) (mib, us float64, err error)) (rss, cpu []float64, err error) {
	s, err := redisServer()
	if err != nil {
		return nil, nil, err
	}
	defer s.stop()
	n := b.requests()
	_, err = b.rounds(ctx, min(b.Rounds, most), func() (float64, error) {
		mib, us, err := once(ctx, s, n)
		rss, cpu = append(rss, mib), append(cpu, us)
		return 0, err
	})
	return rss, cpu, err
}

func (b *bencher) residentOnce(ctx context.Context, s *server, n int) (mib, us float64, err error) {
	// Its own bound of cost would leave requests out.
	p, err := b.startProgram(fmt.Sprintf("version: 1\nagent:\n  console: {enabled: false}\ntcprt: {records: all, cpuPercent: 0, ports: [%d]}\n", s.port))
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if !b.Short {
		// What it takes to start is another case's.
		if err := pause(ctx, 5*time.Second); err != nil {
			return 0, 0, err
		}
	}
	path := filepath.Join(p.dir, "bench.trt")
	stop, err := p.record(ctx, path)
	if err != nil {
		return 0, 0, err
	}
	mib, cpu, err := b.under(ctx, p.cmd.Process.Pid, s, n)
	if err := errors.Join(err, stop()); err != nil {
		return 0, 0, err
	}
	us, err = perRecord(path, n, cpu)
	return mib, us, err
}

// recorder measures anole tcprt record where no agent runs.
func (b *bencher) recorder(ctx context.Context) ([]benchfmt.Result, error) {
	rss, cpu, err := b.busy(ctx, 7, b.recorderOnce)
	if err != nil {
		return nil, err
	}
	return []benchfmt.Result{
		benchfmt.Worst("record-rss", "resident memory of anole tcprt record, which needs no agent, while it records every GET of a busy redis, both sides; the most at any time", "MiB", "<=48", rss),
		benchfmt.Single("record-cpu", "its CPU per record in that: read, compressed and written", "µs", "<=0.5", cpu),
	}, nil
}

func (b *bencher) recorderOnce(ctx context.Context, s *server, n int) (mib, us float64, err error) {
	dir, err := os.MkdirTemp("", "anole-bench-")
	if err != nil {
		return 0, 0, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "bench.trt")
	argv := slices.Concat(b.Agent, []string{"tcprt", "record", "--socket", filepath.Join(dir, "none.sock"), path})
	cmd := exec.Command(argv[0], argv[1:]...)
	var errs strings.Builder
	cmd.Stderr = &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return 0, 0, fmt.Errorf("start a recording: %w", err)
	}
	begun := func() bool { st, err := os.Stat(path); return err == nil && st.Size() > 0 }
	for range 100 {
		if begun() || pause(ctx, 50*ms) != nil {
			break
		}
	}
	var cpu time.Duration
	if !begun() {
		err = errors.New("start a recording: it does not begin")
	} else {
		mib, cpu, err = b.under(ctx, cmd.Process.Pid, s, n)
	}
	_ = cmd.Process.Signal(syscall.SIGINT)
	if err1 := cmd.Wait(); err1 != nil {
		err = errors.Join(err, fmt.Errorf("end the recording: %w: %s", err1, strings.TrimSpace(errs.String())))
	}
	if err == nil {
		us, err = perRecord(path, n, cpu)
	}
	return mib, us, err
}

// under has a process see n GETs of redis, and gives the most resident memory and the
// CPU that it took.
func (b *bencher) under(ctx context.Context, pid int, s *server, n int) (mib float64, cpu time.Duration, err error) {
	watched, end := context.WithCancel(ctx)
	most := make(chan int64, 1)
	go func() { most <- peak(watched, pid) }()
	from, err := procfs.CPUTime(pid)
	if err == nil {
		_, err = gets(ctx, s.port, n)
	}
	to, err1 := procfs.CPUTime(pid)
	if err == nil {
		err = pause(ctx, time.Second) // the last connections close
	}
	b.Say("    " + memory(pid))
	end()
	return float64(<-most) / (1 << 20), to - from, errors.Join(err, err1)
}

// perRecord divides a CPU time, µs, by the records of n requests.
func perRecord(path string, n int, cpu time.Duration) (us float64, err error) {
	all, err := recorded(path)
	if err == nil && len(all) < 2*n {
		err = fmt.Errorf("record %d requests, both sides: there are %d records", n, len(all))
	}
	return float64(cpu) / 1000 / float64(max(1, len(all))), err
}

// peak is the most resident memory of a process until ctx ends.
func peak(ctx context.Context, pid int) (most int64) {
	for pause(ctx, 50*ms) == nil {
		if n, err := procfs.RSS(pid); err == nil {
			most = max(most, n)
		}
	}
	return most
}

// memory says what a process's resident memory is of. Of the ring of records there is
// one copy, which is mapped twice one after the other and counts twice but in Pss.
func memory(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return err.Error()
	}
	kib := rollup(string(b))
	return fmt.Sprintf("%.1f MiB resident: %.1f of its own, %.1f of files and rings; proportional set size %.1f MiB",
		kib["Rss"]/1024, kib["Anonymous"]/1024, (kib["Rss"]-kib["Anonymous"])/1024, kib["Pss"]/1024)
}

// rollup reads /proc/PID/smaps_rollup, in KiB.
func rollup(of string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(of) {
		if f := strings.Fields(line); len(f) == 3 && f[2] == "kB" {
			out[strings.TrimSuffix(f[0], ":")], _ = strconv.ParseFloat(f[1], 64)
		}
	}
	return out
}
