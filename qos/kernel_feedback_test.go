package qos

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/journal"
	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/internal/yamlx"
	"github.com/anole-os/anole/qos/load"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect"
	"github.com/anole-os/anole/tcprt/observer"
	"github.com/anole-os/anole/test/fault/groups"
	"github.com/anole-os/anole/workload"
)

// serveEnv makes this test's binary a service at an address.
const serveEnv = "ANOLE_TEST_SERVE"

func init() {
	addr := os.Getenv(serveEnv)
	if addr == "" {
		return
	}
	s, err := load.OpenService(load.ServiceOptions{Listen: addr, Work: 2 * time.Millisecond, Threads: 1})
	if err == nil {
		_, err = s.Serve(context.Background())
	}
	fmt.Fprintln(os.Stderr, "serve:", err)
	os.Exit(1)
}

// feedbackRig is an Engine that hears of slow services, beside best-effort work that
// does not yield by itself.
func feedbackRig(t *testing.T, n *groups.Node) (*rig, *workload.Breaches) {
	t.Helper()
	p := testPolicy(n)
	p.BE.Priority, p.BE.SchedIdle, p.LS.Steer = "off", "off", "off"
	p.Control.Deadband = DefaultPolicy().Control.Deadband
	p.Feedback.Hold = yamlx.Duration(time.Second)
	j, err := journal.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	reg := new(workload.Breaches)
	e, err := Open(Options{Journal: j, Policy: &p, Breaches: reg})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{Engine: e, t: t, n: n, j: j}
	t.Cleanup(r.close)
	return r, reg
}

// A report by its process, or by a path below the service's cgroup, holds
// best-effort work back while it lasts, and is told; one of best-effort work or of
// nobody does nothing. A replay decides the same.
func TestKernelSlowServiceHoldsBestEffortBack(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	ls, be := n.Make("ls.service"), n.Make("be.service")
	sleeper := ls.Sleep()
	spinner := be.Spin()
	be.Spin()
	r, reg := feedbackRig(t, n)
	report := func(pid int, path string) {
		now := time.Now()
		reg.Report(workload.Breach{
			ID: "server:80@1", Service: "default/web", PID: uint32(pid), Cgroup: path, P99: 61 * time.Millisecond, Usual: 2 * time.Millisecond,
			Cause: "cpu_contention", Until: now.Add(time.Second),
		}, now)
	}
	room := func() float64 { return r.Totals().Room }
	said := func(g *groups.Group) string { return fmt.Sprint(r.of(g).Slow) }
	rec := r.record(func() {
		r.until("best-effort work at work", func() bool { return r.of(be).Used > 0.5 && be.Quota() > 120_000 })
		r.set(func(p *Policy) { p.Control.Deadband = 1 }) // whatever else runs moves the cap no more
		before := be.Quota()
		for range 20 {
			report(spinner.Process.Pid, "")
			r.steps(1)
		}
		if room() != 1 || !strings.Contains(said(be), "BE is not latency-sensitive") {
			t.Errorf("slow requests of best-effort work leave %v: %s", room(), said(be))
		}
		report(0, "/no/such")
		if r.steps(5); room() != 1 {
			t.Errorf("those of nobody leave %v", room())
		}
		r.until("held back by the process", func() bool {
			report(sleeper.Process.Pid, "/anole-psi-ls")
			return room() < 1
		})
		cut := be.Quota()
		if cut >= before {
			t.Errorf("a quota of %d, it was %d", cut, before)
		}
		if why := r.Status().CapWhy; !strings.HasPrefix(why, "requests of default/web at p99 61 ms, usually 2.0 ms (cpu_contention)") {
			t.Errorf("why: %q", why)
		}
		x, err := r.Explain(be.Rel)
		if err != nil || len(x.Decisions) == 0 || !strings.Contains(x.Decisions[0].Why, "requests of default/web") {
			t.Errorf("%v: %+v", err, x.Decisions)
		}
		if !strings.Contains(said(ls), "it holds best-effort work back") || r.Totals().Slow != 1 {
			t.Errorf("%d slow services; of the service: %s", r.Totals().Slow, said(ls))
		}
		low := room()
		r.until("given back", func() bool { return room() > low })
		low = room()
		r.until("held back by the path", func() bool {
			report(0, ls.Rel+"/inside")
			return room() < low
		})
		cut = be.Quota()
		r.set(func(p *Policy) { p.Feedback.Requests, p.Control.Deadband = "off", 0.02 })
		r.until("given back though it is slow", func() bool {
			report(sleeper.Process.Pid, "")
			return room() == 1 && be.Quota() > cut
		})
	})
	own := replay(t, rec.Bytes(), nil)
	if own.Same != 1 || own.Agree != 1 || own.Now.CapMoves != own.Then.CapMoves || own.Now.CapMoves < 3 {
		t.Errorf("%v of %d steps are identical; replayed %+v, recorded %+v", own.Same, own.Steps, own.Now, own.Then)
	}
}

// ask has a service answer so many requests a second, until ctx ends.
func ask(ctx context.Context, url string, rate int) {
	every := time.NewTicker(time.Second / time.Duration(rate))
	defer every.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		if resp, err := http.Get(url); err == nil {
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
	}
}

// A real service, real requests, real best-effort work: it takes the service's CPU,
// the requests are seen to take longer, the cause is found, and the work is held
// back for it.
func TestKernelSlowRequestsHoldBestEffortBack(t *testing.T) {
	n := groups.Open(t)
	n.Either()
	testkit.Need(t, tcprt.Probe(tcprt.Lite))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().(*net.TCPAddr)
	_ = l.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ls, be := n.Make("ls.service"), n.Make("be.service")
	ls.Run("env", serveEnv+"="+addr.String(), exe)
	be.Sleep()
	r, reg := feedbackRig(t, n)

	o := observer.Options{Config: observer.Default(), Breaches: reg, Detect: detect.Options{Warm: 6, Every: 1}}
	o.Ports = []uint16{uint16(addr.Port)}
	obs, err := observer.Open(o)
	testkit.Need(t, err)
	ctx, end := context.WithCancel(t.Context())
	watched, asked := make(chan error, 1), make(chan struct{})
	go func() { watched <- obs.Run(ctx) }()
	go func() { defer close(asked); ask(ctx, "http://"+addr.String()+"/work", 150) }()
	defer func() {
		end()
		<-asked
		if err := <-watched; err != nil {
			t.Error(err)
		}
		if err := obs.Close(); err != nil {
			t.Error(err)
		}
	}()
	requests := func() (n uint64) {
		for _, s := range obs.Services() {
			if s.Role == "server" {
				n += s.Requests
			}
		}
		return n
	}
	for share := range uint64(3) { // on a busy machine each takes its time
		r.until("the service to be known", func() bool { return requests() > 150*3*(share+1) })
	}
	be.Weight(8 * be.WeightNow())
	for range 4 {
		be.Spin()
	}
	r.until("held back for slow requests", func() bool {
		return r.Totals().Room < 1 && strings.HasPrefix(r.Status().CapWhy, "requests of ")
	})
	t.Log(r.Status().CapWhy)
	if got := r.of(ls).Slow; len(got) != 1 || got[0].P99 < 1.2*got[0].Usual {
		t.Errorf("of the service: %+v", got)
	}
	if q := be.Quota(); q <= 0 {
		t.Errorf("a quota of %d", q)
	}
}
