package observer

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect"
	"github.com/anole-os/anole/workload"
)

// stage is a source of one service, of process 42.
type stage struct {
	source
	t      *testing.T
	key    tcprt.Service
	totals tcprt.Totals
	root   string
	ran    uint64 // ns, of the process
	waited uint64
	stolen uint64 // µs that something waited for memory
	now    time.Time
	o      *Observer
}

func (*stage) Tier() tcprt.Tier                                { return tcprt.SockDiag }
func (*stage) Short() error                                    { return nil }
func (*stage) Settle(time.Duration, func(*tcprt.Record)) error { return nil }
func (*stage) Pending(func(*tcprt.Pending)) error              { return nil }
func (*stage) SetLimit(tcprt.Service, time.Duration) error     { return nil }
func (*stage) Close() error                                    { return nil }
func (s *stage) Services(f func(tcprt.Service, *tcprt.Totals, tcprt.Owner)) error {
	f(s.key, &s.totals, tcprt.Owner{PID: 42, Command: tcprt.Command{'w', 'e', 'b'}})
	return nil
}

func newStage(t *testing.T, role tcprt.Role, tell *workload.Breaches) *stage {
	t.Helper()
	s := &stage{t: t, key: tcprt.Service{Role: role, Port: 80, NetNS: 7, Cgroup: 1}, root: t.TempDir(), now: time.Unix(1_700_000_000, 0)}
	s.write("proc/42/cgroup", "5:memory:/anole-ls/web\n4:cpu:/anole-ls/web\n0::/anole-psi-ls\n")
	s.write("proc/42/comm", "web\n")
	s.proc()
	o := Options{Config: Default(), Root: s.root, Breaches: tell, Log: slog.New(slog.DiscardHandler), Detect: detect.Options{Warm: 10}}
	o.CPU = 0 // its seconds are no time
	s.o = newObserver(&o, s)
	t.Cleanup(func() {
		if err := s.o.attr.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (s *stage) write(name, text string) {
	s.t.Helper()
	path := filepath.Join(s.root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func (s *stage) proc() {
	s.write("proc/42/task/42/schedstat", fmt.Sprintf("%d %d 1\n", s.ran, s.waited))
	s.write("proc/pressure/memory", fmt.Sprintf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\n", s.stolen))
}

// second is what 200 requests are like, and what the node does meanwhile.
type second struct {
	upload, queue, server time.Duration
	wait                  float64 // share of the time of its threads that they wait for a CPU
	memory                float64 // share of the time that something waits for memory
}

func (s *stage) run(seconds int, x second) {
	s.t.Helper()
	for range seconds {
		s.now = s.now.Add(time.Second)
		for i := range 200 {
			r := tcprt.Record{Role: s.key.Role, T0: time.Second, RequestBytes: 300, AnswerBytes: 4000, RTT: time.Millisecond, MinRTT: time.Millisecond}
			r.T1 = r.T0 + x.upload
			r.Read = r.T1 + x.queue
			r.T2 = r.Read + x.server + x.server*time.Duration(i)/1000
			r.Last, r.T3 = r.T2+50*time.Microsecond, r.T2+time.Millisecond
			s.totals.Add(&r)
		}
		s.ran, s.waited, s.stolen = s.ran+uint64(1e9*(1-x.wait)), s.waited+uint64(1e9*x.wait), s.stolen+uint64(1e6*x.memory)
		s.proc()
		if err := s.o.step(s.now); err != nil {
			s.t.Fatal(err)
		}
	}
}

var well = second{queue: 50 * time.Microsecond, server: 2 * time.Millisecond, wait: 0.01}

func TestReportsWhatNeighboursCanBeTheCauseOf(t *testing.T) {
	for _, c := range []struct {
		name  string
		role  tcprt.Role
		x     second
		cause string // "" is no report
	}{
		{"waits for a CPU", tcprt.Server, second{queue: 50 * time.Microsecond, server: 60 * time.Millisecond, wait: 0.5}, "cpu_contention"},
		{"its own time, and some waits", tcprt.Server, second{queue: 50 * time.Microsecond, server: 60 * time.Millisecond, wait: 0.12}, "server"},
		{"its own time alone", tcprt.Server, second{queue: 50 * time.Microsecond, server: 60 * time.Millisecond, wait: 0.01}, ""},
		{"waits for memory", tcprt.Server, second{queue: 50 * time.Microsecond, server: 60 * time.Millisecond, wait: 0.01, memory: 0.5}, "memory_pressure"},
		{"nobody comes to read", tcprt.Server, second{queue: 40 * time.Millisecond, server: 2 * time.Millisecond, wait: 0.01}, "socket_queue"},
		{"a slow client", tcprt.Server, second{upload: 60 * time.Millisecond, queue: 50 * time.Microsecond, server: 2 * time.Millisecond, wait: 0.5}, ""},
		{"as a client of another", tcprt.Client, second{queue: 50 * time.Microsecond, server: 60 * time.Millisecond, wait: 0.5}, ""},
		{"as usual", tcprt.Server, well, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var b workload.Breaches
			s := newStage(t, c.role, &b)
			s.run(30, well)
			if got := b.Current(s.now); got != nil {
				t.Fatalf("while all is well: %+v", got)
			}
			s.run(10, c.x)
			got := b.Current(s.now)
			if c.cause == "" {
				if got != nil {
					t.Errorf("%+v", got)
				}
				return
			}
			if len(got) != 1 || got[0].Cause != c.cause {
				t.Fatalf("%+v, want %s\n%+v", got, c.cause, s.o.Anomalies())
			}
			x := got[0]
			if x.ID != "server:80@7" || x.Service != "anole-ls/web" || x.PID != 42 || x.Cgroup != "/anole-ls/web" || !x.Until.Equal(s.now.Add(reportFor)) {
				t.Errorf("%+v", x)
			}
			if x.P99 < 10*x.Usual || x.Usual < 2*time.Millisecond || x.Usual > 5*time.Millisecond {
				t.Errorf("p99 %v, usually %v", x.P99, x.Usual)
			}
			s.run(15, well)
			if got := b.Current(s.now); got != nil {
				t.Errorf("after it ended: %+v", got)
			}
		})
	}
}

// Without anybody to tell nothing is told, and a service without a name has its
// port's.
func TestReportsToNobody(t *testing.T) {
	s := newStage(t, tcprt.Server, nil)
	s.run(30, well)
	s.run(10, second{server: 60 * time.Millisecond, wait: 0.5})
	if len(s.o.Anomalies()) != 1 {
		t.Errorf("%+v", s.o.Anomalies())
	}
	if got := s.o.nameOf(&event{key: tcprt.Service{Port: 81}, name: "-"}); got != "port 81" {
		t.Errorf("%q", got)
	}
}
