package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/anole-os/anole/internal/benchfmt"
	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/tcprt/observer"
)

// process is a victim's.
type process struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	port uint16
}

func (b *bencher) victim(in *lab.Space, addr string) (*process, error) {
	p := &process{cmd: exec.Command(b.Victim[0], append(b.Victim[1:len(b.Victim):len(b.Victim)], addr)...)}
	p.cmd.Stderr = os.Stderr
	var err error
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	p.out = bufio.NewReader(out)
	start := p.cmd.Start
	if in != nil {
		start = func() error { return in.Do(p.cmd.Start) }
	}
	if err := start(); err != nil {
		return nil, fmt.Errorf("start a server: %w", err)
	}
	if _, err := fmt.Fscanln(p.out, &p.port); err != nil {
		p.stop()
		return nil, fmt.Errorf("start a server: it does not say its port: %w", err)
	}
	return p, nil
}

func (p *process) stop() {
	_ = p.in.Close()
	_ = p.cmd.Wait()
}

// tell gives it a command.
func (p *process) tell(format string, args ...any) error {
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		return fmt.Errorf("command a server: %w", err)
	}
	if _, err := p.out.ReadString('\n'); err != nil {
		return fmt.Errorf("command a server: %w", err)
	}
	return nil
}

// fault is one that is brought in and taken away, and what is to be said of it.
type fault struct {
	name, want string
	port       uint16
	set        func(on bool) error
}

// scene is eight services, each with a fault of its own.
type scene struct {
	faults  []fault
	ports   []uint16
	askers  []*asker
	cleanup []func()
}

func (s *scene) close() {
	for _, a := range s.askers {
		a.ended.Store(true)
	}
	for i := len(s.cleanup) - 1; i >= 0; i-- {
		s.cleanup[i]()
	}
}

func (s *scene) add(name, want string, p *process, a *asker, set func(on bool) error) {
	s.faults = append(s.faults, fault{name, want, p.port, set})
	s.ports = append(s.ports, p.port)
	s.askers = append(s.askers, a)
	a.start()
}

// clients ask a server of the loopback interface.
func clientsOf(p *process, conns int, every time.Duration, answer int) *asker {
	addr := fmt.Sprintf("127.0.0.1:%d", p.port)
	return &asker{dial: func() (net.Conn, error) { return net.Dial("tcp", addr) }, conns: conns, every: every, answer: answer}
}

const ms = time.Millisecond

func (b *bencher) scene() (s *scene, err error) {
	s = &scene{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	server := func(in *lab.Space, addr, pause string) (*process, error) {
		p, err := b.victim(in, addr)
		if err != nil {
			return nil, err
		}
		s.cleanup = append(s.cleanup, p.stop)
		return p, p.tell("pause %s", pause)
	}
	if err := s.local(server); err != nil {
		return s, err
	}
	return s, s.remote(server)
}

// local has the faults of programs and of the node.
func (s *scene) local(server func(*lab.Space, string, string) (*process, error)) error {
	const here = "127.0.0.1:0"
	var p [6]*process
	for i, pause := range []string{"2ms", "1ms", "0s", "1ms", "1ms", "2ms"} {
		var err error
		if p[i], err = server(nil, here, pause); err != nil {
			return err
		}
	}
	a := clientsOf(p[0], 8, 100*ms, 2000)
	s.add("3x server time", "server", p[0], a, func(on bool) error {
		if on {
			return p[0].tell("pause 6ms")
		}
		return p[0].tell("pause 2ms")
	})
	reader := clientsOf(p[1], 4, 200*ms, 512<<10)
	reader.buffer = 64 << 10
	s.add("slow reader", "client_receive", p[1], reader, func(on bool) error { reader.slow.Store(on); return nil })
	throttled := clientsOf(p[2], 6, 100*ms, 2000)
	if err := p[2].tell("work 2ms"); err != nil {
		return err
	}
	q, err := newQuota(p[2].cmd.Process.Pid)
	if err != nil {
		return err
	}
	s.cleanup = append([]func(){q.remove}, s.cleanup...) // when its process has ended
	s.add("CPU quota", "cpu_throttled", p[2], throttled, func(on bool) error {
		if on {
			return q.set(0.08)
		}
		return q.set(0)
	})
	s.add("Nagle and delayed ACK", "nagle_delack", p[3], clientsOf(p[3], 4, 25*ms, 600), func(on bool) error {
		if on {
			return p[3].tell("halves on")
		}
		return p[3].tell("halves off")
	})
	drip := clientsOf(p[4], 8, 100*ms, 2000)
	s.add("dripping upload", "client_upload", p[4], drip, func(on bool) error { drip.drip.Store(on); return nil })
	front, err := server(nil, here, "1ms")
	if err != nil {
		return err
	}
	if err := front.tell("backend 127.0.0.1:%d", p[5].port); err != nil {
		return err
	}
	s.ports = append(s.ports, p[5].port)
	s.add("slow downstream", "downstream", front, clientsOf(front, 8, 100*ms, 2000), func(on bool) error {
		if on {
			return p[5].tell("pause 14ms")
		}
		return p[5].tell("pause 2ms")
	})
	return nil
}

// remote has the faults of the path.
func (s *scene) remote(server func(*lab.Space, string, string) (*process, error)) error {
	l, err := lab.Open()
	if err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, func() { _ = l.Close() })
	far, err := l.Far()
	if err != nil {
		return err
	}
	s.cleanup = append(s.cleanup, func() { _ = far.Close() })
	via := func(addr, pause string) (*process, *asker, error) {
		p, err := server(l.World, addr+":0", pause)
		if err != nil {
			return nil, nil, err
		}
		to := net.JoinHostPort(addr, strconv.Itoa(int(p.port)))
		return p, &asker{conns: 8, every: 100 * ms, answer: 20_000, dial: func() (c net.Conn, err error) {
			err = l.Node.Do(func() (err error) { c, err = net.Dial("tcp", to); return err })
			return c, err
		}}, nil
	}
	lossy, a, err := via(lab.WorldAddr, "1ms")
	if err != nil {
		return err
	}
	if err := l.World.Lose(lab.Remote, 0); err != nil {
		return err
	}
	s.add("2 % loss", "network_loss", lossy, a, func(on bool) error {
		if on {
			return l.World.Lose(lab.Remote, 0.02)
		}
		return l.World.Lose(lab.Remote, 0)
	})
	long, c, err := via(lab.FarWorld, "1ms")
	if err != nil {
		return err
	}
	far.Set(ms)
	s.add("10 ms longer round trip", "network_rtt", long, c, func(on bool) error {
		if on {
			far.Set(6 * ms)
		} else {
			far.Set(ms)
		}
		return nil
	})
	return nil
}

// within is how long a fault may take to be found.
const within = 5 * time.Second

// faults brings each fault in so many times and counts how often it is found in time,
// and with its cause.
func (b *bencher) faults(ctx context.Context) ([]benchfmt.Result, error) {
	runs, warm := 20, 75*time.Second
	if b.Short {
		runs, warm = 1, 66*time.Second
	}
	s, err := b.scene()
	if err != nil {
		return nil, err
	}
	defer s.close()
	cfg := observer.Default()
	cfg.Ports = s.ports
	o, err := observer.Open(observer.Options{Config: cfg})
	if err != nil {
		return nil, err
	}
	run, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- o.Run(run) }()
	defer func() {
		cancel()
		if err := errors.Join(<-ended, o.Close()); err != nil {
			b.Say(err.Error())
		}
	}()
	if err := pause(ctx, warm); err != nil {
		return nil, err
	}
	found, right := make([]int, len(s.faults)), make([]int, len(s.faults))
	var took []float64
	for i := range runs {
		for j := range s.faults {
			f := &s.faults[j]
			// Faults that come more often than each minute or two are what is usual.
			if err := f.quiet(ctx, o); err != nil {
				b.Say(fmt.Sprintf("  run %d, %v", i+1, err))
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
				continue // which is none that was right
			}
			t, said, err := f.run(ctx, o)
			if err == nil {
				err = f.quiet(ctx, o)
			}
			if err != nil {
				b.Say(fmt.Sprintf("  run %d, %v", i+1, err))
				if ctx.Err() != nil {
					return nil, ctx.Err()
				}
			}
			if said != "" {
				found[j]++
				took = append(took, t.Seconds())
			}
			if said == f.want {
				right[j]++
			} else {
				b.Say(fmt.Sprintf("  run %d, %s: %q after %.1f s, want %s", i+1, f.name, said, t.Seconds(), f.want))
			}
		}
		b.Say(fmt.Sprintf("  run %d of %d", i+1, runs))
	}
	var out []benchfmt.Result
	for j, f := range s.faults {
		x := benchfmt.Single("fault-"+strings.ReplaceAll(f.want, "_", "-"), fmt.Sprintf("%s: found in 5 s and told by its cause, of %d runs", f.name, runs), "share", ">=0.95", []float64{float64(right[j]) / float64(runs)})
		x.Rounds = runs
		out = append(out, x)
	}
	if len(took) > 0 {
		out = append(out, benchfmt.Single("fault-delay", "time from a fault to its anomaly, all of them", "s", "<=5", took))
	}
	return out, nil
}

// run brings the fault in and gives when it was found, and the cause that is named
// when the time is over; "" if it was not. Then it takes it away.
func (f *fault) run(ctx context.Context, o *observer.Observer) (took time.Duration, said string, err error) {
	began := time.Now()
	if err := f.set(true); err != nil {
		return 0, "", err
	}
	for time.Since(began) < within {
		if err := pause(ctx, 100*ms); err != nil {
			return 0, "", err
		}
		if a := f.anomaly(o); a != nil {
			if took == 0 {
				took = time.Since(began)
			}
			if said = a.Cause; said == f.want {
				break
			}
		}
	}
	if err := f.set(false); err != nil {
		return 0, "", err
	}
	return took, said, pause(ctx, time.Second)
}

// quiet waits until nothing is amiss with the service.
func (f *fault) quiet(ctx context.Context, o *observer.Observer) error {
	for end := time.Now().Add(time.Minute); ; {
		a := f.anomaly(o)
		switch {
		case a == nil:
			return nil
		case time.Now().After(end):
			return fmt.Errorf("the anomaly of %s does not end: %s is %v, usually %v; %s, %q", f.name, a.Signal, a.Now, a.Usual, a.Cause, a.Evidence)
		}
		if err := pause(ctx, 200*ms); err != nil {
			return err
		}
	}
}

// anomaly is the service's that goes on, nil if there is none.
func (f *fault) anomaly(o *observer.Observer) *observer.Anomaly {
	for _, a := range o.Anomalies() {
		if a.End == nil && a.Port == f.port && a.Role == "server" {
			return &a
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
