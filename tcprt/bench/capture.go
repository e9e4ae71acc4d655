package bench

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/replay"
	"github.com/anole-os/anole/tcprt/trt"
)

// capture compares with tcpdump, which keeps all packets, and tshark, which finds the
// requests in them: what both take of the CPU, and what they say.
func (b *bencher) capture(ctx context.Context) ([]benchfmt.Result, error) {
	s, err := nginxServer()
	if err != nil {
		return nil, err
	}
	defer s.stop()
	n := b.count(100_000)
	ours := func() (float64, error) { return b.share("ours", n)(recordAndReplay(ctx, s, n)) }
	theirs := func() (float64, error) { return b.share("tcpdump, tshark", n)(dumpAndDissect(ctx, s, n)) }
	got, err := b.rounds(ctx, b.Rounds, ours, theirs)
	if err != nil {
		return nil, err
	}
	out := []benchfmt.Result{
		benchfmt.Pairs("cpu-capture", "CPU to record each request of nginx on the server's side, and to judge the recording (kernel's programs, agent, replay)", "µs", "tcpdump, tshark", "<=0.05", got[0], got[1]),
	}
	more, err := b.sameTimes(ctx, s, min(n, 20_000))
	return append(out, more...), err
}

// spent is the CPU that a look at requests took.
type spent struct {
	kernel  time.Duration // the kernel's programs
	online  time.Duration // the program that records, during the load
	offline time.Duration // what is made of the recording later
}

// share gives the µs for each of n requests.
func (b *bencher) share(who string, n int) func(spent, error) (float64, error) {
	return func(s spent, err error) (float64, error) {
		each := func(d time.Duration) float64 { return float64(d) / 1000 / float64(n) }
		b.Say(fmt.Sprintf("    %s: %.3f µs in the kernel, %.3f µs recording, %.3f µs afterwards", who, each(s.kernel), each(s.online), each(s.offline)))
		return each(s.kernel + s.online + s.offline), err
	}
}

// recordAndReplay records n requests to a file and replays it. This process does
// hardly anything else meanwhile. As tcpdump sees each packet of the loopback interface
// once, and as it would be on a server's node, it records one side; the other's
// segments are seen and left out.
func recordAndReplay(ctx context.Context, s *server, n int) (x spent, err error) {
	path := filepath.Join(s.dir, "bench.trt")
	defer os.Remove(path)
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return x, err
	}
	defer c.Close()
	on, err := tcprt.Measure()
	if err != nil {
		return x, err
	}
	defer on.Close()
	kernel, err := c.Runtime()
	if err != nil {
		return x, err
	}
	from := processTime()
	if err := recordTo(ctx, c, path, func() error { return h2load(ctx, s.port, n) }); err != nil {
		return x, err
	}
	x.online = processTime() - from
	after, err := c.Runtime()
	if err != nil {
		return x, err
	}
	x.kernel = after - kernel
	from = processTime()
	records, err := judge(path)
	x.offline = processTime() - from
	if err == nil && records != n {
		err = fmt.Errorf("record %d requests: there are %d records", n, records)
	}
	return x, err
}

// recordTo writes all records to a file while something goes on.
func recordTo(ctx context.Context, c *tcprt.Collector, path string, do func() error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create recording: %w", err)
	}
	defer f.Close()
	w, err := trt.NewWriter(f, trt.Header{Created: time.Now()})
	if err != nil {
		return err
	}
	run, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		var failed error
		err := c.Run(run, func(r *tcprt.Record) {
			if failed == nil {
				failed = w.Add(r)
			}
		})
		ended <- errors.Join(err, failed)
	}()
	err = do()
	if err == nil {
		err = pause(ctx, 200*ms) // the last connections close
	}
	cancel()
	return errors.Join(err, <-ended, w.Close())
}

// judge replays a recording and gives how many records it has.
func judge(path string) (int, error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("open recording: %w", err)
	}
	defer f.Close()
	r, err := trt.NewReader(f)
	if err != nil {
		return 0, err
	}
	p := replay.New(replay.Options{})
	err = r.Each(func(rec *tcprt.Record) error { p.Add(rec); return nil })
	return int(p.Result().Records), err
}

// processTime is the CPU time of this process, all its threads.
func processTime() time.Duration {
	var t unix.Timespec
	if unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t) != nil {
		return 0
	}
	return time.Duration(t.Nano())
}

// dumpAndDissect does the same with tcpdump and tshark. What the kernel does to copy
// the packets counts where it is in tcpdump's name alone, in their favour.
func dumpAndDissect(ctx context.Context, s *server, n int) (x spent, err error) {
	d, err := startDump(ctx, s)
	if err != nil {
		return x, err
	}
	defer d.stop()
	if err := h2load(ctx, s.port, n); err != nil {
		return x, err
	}
	if x.online, err = d.end(); err != nil {
		return x, err
	}
	var all []timed
	all, x.offline, err = d.requests(ctx)
	if err == nil && len(all) != n {
		err = fmt.Errorf("dissect %d requests: tshark finds %d", n, len(all))
	}
	return x, err
}

// dump is a tcpdump that runs.
type dump struct {
	server // its process and its directory; nobody listens
	of     *server
	in     *bufio.Reader
	idle   time.Duration // CPU that it took until it began
}

func startDump(ctx context.Context, of *server) (*dump, error) {
	path, err := tool("tcpdump")
	if err != nil {
		return nil, err
	}
	if _, err := tool("tshark"); err != nil {
		return nil, err
	}
	d := &dump{of: of}
	if d.dir, err = os.MkdirTemp("", "anole-bench-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	// As root it can write there; its buffer, in KiB, is so large that nothing is lost.
	d.cmd = exec.CommandContext(ctx, path, "-i", "lo", "-n", "-Z", "root", "-B", "65536", "-w", d.file(), "tcp port "+strconv.Itoa(int(of.port)))
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	said, err := d.cmd.StderrPipe()
	if err == nil {
		err = d.cmd.Start()
	}
	if err != nil {
		_ = os.RemoveAll(d.dir)
		return nil, fmt.Errorf("start tcpdump: %w", err)
	}
	d.in = bufio.NewReader(said)
	for line := ""; !strings.Contains(line, "listening on"); {
		if line, err = d.in.ReadString('\n'); err != nil {
			d.stop()
			return nil, fmt.Errorf("start tcpdump: %w: %s", err, line)
		}
	}
	if d.idle, err = d.cpu(); err != nil {
		d.stop()
		return nil, err
	}
	return d, nil
}

func (d *dump) file() string { return filepath.Join(d.dir, "bench.pcap") }

var dumpDropped = regexp.MustCompile(`(\d+) packets? dropped by kernel`)

// end waits until all is in the file, and gives the CPU that it took.
func (d *dump) end() (time.Duration, error) {
	time.Sleep(1500 * ms) // a block of its ring that is not full waits for a second
	if err := d.cmd.Process.Signal(unix.SIGINT); err != nil {
		return 0, fmt.Errorf("end tcpdump: %w", err)
	}
	var said bytes.Buffer
	_, _ = said.ReadFrom(d.in)
	if err := d.cmd.Wait(); err != nil {
		return 0, fmt.Errorf("end tcpdump: %w: %s", err, said.String())
	}
	if lost, err := figure(dumpDropped, said.String()); err != nil || lost > 0 {
		return 0, errors.Join(fmt.Errorf("tcpdump lost %d packets", lost), err)
	}
	return d.cmd.ProcessState.UserTime() + d.cmd.ProcessState.SystemTime() - d.idle, nil
}

// timed is a request as tshark has it.
type timed struct {
	port uint16 // the client's
	took time.Duration
}

// requests are those in the capture, in the order of their answers.
func (d *dump) requests(ctx context.Context) ([]timed, time.Duration, error) {
	out, cpu, err := ask(ctx, "tshark", "-n", "-r", d.file(), "-d", fmt.Sprintf("tcp.port==%d,http", d.of.port), "-Y", "http.response", "-T", "fields", "-e", "tcp.dstport", "-e", "http.time")
	if err != nil {
		return nil, 0, err
	}
	all, err := sharkTimes(out)
	return all, cpu, err
}

// sharkTimes reads tshark's two fields a line; what it says of itself has none.
func sharkTimes(out string) (all []timed, err error) {
	for line := range strings.Lines(out) {
		port, took, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			continue
		}
		p, err1 := strconv.ParseUint(port, 10, 16)
		s, err2 := strconv.ParseFloat(took, 64)
		if err := errors.Join(err1, err2); err != nil {
			return nil, fmt.Errorf("read what tshark says: %w", err)
		}
		all = append(all, timed{uint16(p), time.Duration(math.Round(s * 1e9))})
	}
	return all, nil
}

// sameTimes has both see the same requests, and compares their times one by one: from
// the request to the first packet of its answer.
func (b *bencher) sameTimes(ctx context.Context, s *server, n int) ([]benchfmt.Result, error) {
	var mine []tcprt.Record
	var theirs []timed
	d, err := startDump(ctx, s)
	if err != nil {
		return nil, err
	}
	defer d.stop()
	path := filepath.Join(d.dir, "bench.trt")
	c, err := tcprt.Open(tcprt.Options{Ports: []uint16{s.port}, Roles: []tcprt.Role{tcprt.Server}})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	err = recordTo(ctx, c, path, func() error { return h2load(ctx, s.port, n) })
	if err == nil {
		_, err = d.end()
	}
	if err == nil {
		theirs, _, err = d.requests(ctx)
	}
	if err == nil {
		mine, err = recorded(path)
	}
	if err != nil {
		return nil, err
	}
	diff, err := differences(mine, theirs)
	if err != nil {
		return nil, err
	}
	p50, p99 := quantile(diff, 0.5), quantile(diff, 0.99)
	b.Say(fmt.Sprintf("  %d requests: half of the times differ by less than %.1f µs, 99 %% by less than %.1f µs", len(diff), p50, p99))
	half := benchfmt.Single("capture-time-p50", "nginx's time of a request as the server's record has it, against tshark's http.time: difference, p50", "µs", "", []float64{p50})
	most := benchfmt.Single("capture-time-p99", "the same, p99", "µs", "", []float64{p99})
	return []benchfmt.Result{
		benchfmt.Pairs("capture-count", "records of h2load's requests to nginx against those that tshark finds", "requests", "tshark", "=1", []float64{float64(len(mine))}, []float64{float64(len(theirs))}),
		half, most,
	}, nil
}

// recorded reads a recording into memory.
func recorded(path string) (all []tcprt.Record, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open recording: %w", err)
	}
	defer f.Close()
	r, err := trt.NewReader(f)
	if err != nil {
		return nil, err
	}
	err = r.Each(func(rec *tcprt.Record) error { all = append(all, *rec); return nil })
	if n := r.Lost(); n > 0 && err == nil {
		err = fmt.Errorf("read recording: it lacks %d records, for which there was no room", n)
	}
	return all, err
}

// differences are in µs, of the n-th request of each connection.
func differences(mine []tcprt.Record, theirs []timed) ([]float64, error) {
	slices.SortStableFunc(mine, func(a, b tcprt.Record) int { return cmp.Compare(a.T0, b.T0) })
	of := map[uint16][]time.Duration{}
	for i := range mine {
		r := &mine[i]
		of[r.Remote.Port()] = append(of[r.Remote.Port()], r.T2-r.T0)
	}
	var out []float64
	for _, t := range theirs {
		left := of[t.port]
		if len(left) == 0 {
			return nil, fmt.Errorf("tshark finds a request of port %d that there is no record of", t.port)
		}
		out, of[t.port] = append(out, math.Abs((left[0]-t.took).Seconds()*1e6)), left[1:]
	}
	return out, nil
}

// quantile of some; 0 of none.
func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	return s[min(len(s)-1, int(math.Ceil(q*float64(len(s))))-1)]
}
