package observer

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
	"github.com/anole-os/anole/tcprt"
	"github.com/anole-os/anole/tcprt/detect"
)

// rig is an Observer of one server, which answers each line after the time in it.
type rig struct {
	*testing.T
	o    *Observer
	addr string
}

func observe(t *testing.T, edit func(*Config)) *rig {
	t.Helper()
	testkit.NeedRoot(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	cfg := Default()
	cfg.Ports = []uint16{uint16(l.Addr().(*net.TCPAddr).Port)}
	if edit != nil {
		edit(&cfg)
	}
	o, err := Open(Options{Config: cfg, Detect: detect.Options{Warm: 12, Every: 1}})
	testkit.Need(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- o.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{t, o, l.Addr().String()}
}

func serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		var ms int
		_, _ = fmt.Sscan(line, &ms)
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if _, err := fmt.Fprintln(c, "done"); err != nil {
			return
		}
	}
}

func (r *rig) dial() net.Conn {
	r.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { _ = c.Close() })
	return c
}

func (r *rig) turn(c net.Conn, ms int) {
	r.Helper()
	if _, err := fmt.Fprintln(c, ms); err != nil {
		r.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		r.Fatal(err)
	}
}

// eventually waits until something is so.
func (r *rig) eventually(what string, so func() bool) {
	r.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if so() {
			return
		}
	}
	r.Errorf("it never came to be: %s; %+v", what, r.o.Services())
}

func (r *rig) service(role string) Service {
	for _, s := range r.o.Services() {
		if s.Role == role {
			return s
		}
	}
	return Service{}
}

// All that people ask is answered: who has how many requests, which were slow, who
// waits.
func TestKernelObserver(t *testing.T) {
	r := observe(t, func(c *Config) { c.Records = All })
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Base(self)
	name = name[:min(len(name), 15)] // as the kernel cuts it
	listener := r.o.Listen(Filter{AtLeast: 30 * time.Millisecond, Role: tcprt.Server})
	defer r.o.Leave(listener)
	c := r.dial()
	for range 50 {
		r.turn(c, 0)
	}
	r.turn(c, 40)
	r.turn(c, 0) // the last one settles
	for _, role := range []string{"server", "client"} {
		r.eventually("52 requests of the "+role, func() bool { return r.service(role).Requests == 52 })
		s := r.service(role)
		if s.Name != name || s.Failed != 0 || s.P99 < 0.03 || s.P50 > 0.03 || s.Open != 1 || s.Phases["server"] == 0 {
			t.Errorf("%+v", s)
		}
	}
	select {
	case got := <-listener.C():
		if got.Total < 0.03 || got.Phases["server"] < 0.03 || got.Name != name || got.PID != uint32(os.Getpid()) || time.Since(got.Time) > time.Minute {
			t.Errorf("%+v", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("nobody told of the slow one")
	}
	slow := r.o.Slow(Filter{Role: tcprt.Server}, 3)
	if len(slow) != 3 || slow[0].Total < 0.03 || slow[1].Total > slow[0].Total {
		t.Errorf("%+v", slow)
	}
	if got := r.o.Slow(Filter{Role: tcprt.Server, Name: name, AtLeast: 30 * time.Millisecond, Since: time.Now().Add(-time.Minute)}, 10); len(got) != 1 {
		t.Errorf("%+v", got)
	}
	if got := r.o.Slow(Filter{Name: "nobody"}, 10); len(got) != 0 {
		t.Errorf("%+v", got)
	}
	waiting := r.dial()
	if _, err := fmt.Fprintln(waiting, 400); err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	got, all, err := r.o.Inflight(Filter{Role: tcprt.Server}, 10)
	if err != nil || all != 1 || len(got) != 1 || got[0].Age < 0.1 || got[0].State != "waiting" || got[0].Command != name {
		t.Errorf("%d: %+v, %v", all, got, err)
	}
	r.eventually("a point of history", func() bool { return len(r.o.History(r.service("server").ID)) > 0 })
	if st := r.o.Status(); st.Tier != tcprt.Full || st.Dropped != 0 || st.Services != 2 || st.Level != "as configured" || st.Problem != "" {
		t.Errorf("%+v", st)
	}
	if r.o.History("server:1@1") != nil {
		t.Error("a service that is not known has a history")
	}
}

// Somebody who looks at requests under way all the time, as a console does, and the
// Observer's own looks at them, do not wait for each other.
func TestKernelLooksDoNotLock(t *testing.T) {
	r := observe(t, nil)
	if _, err := fmt.Fprintln(r.dial(), 60_000); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for end := time.Now().Add(4 * time.Second); time.Now().Before(end); {
			_, _, _ = r.o.Inflight(Filter{}, 10)
			r.o.Status()
		}
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		panic("each waits for the other") // nothing could be cleaned up
	}
}

// A service that becomes slow is found, and the program is to blame.
func TestKernelAnomaly(t *testing.T) {
	r := observe(t, nil)
	stop := make(chan struct{})
	ms := make(chan int, 1)
	ms <- 1
	done := make(chan struct{})
	go func() {
		defer close(done)
		c, now := r.dial(), 0
		for {
			select {
			case <-stop:
				return
			case now = <-ms:
			default:
			}
			if _, err := fmt.Fprintln(c, now); err != nil {
				return
			}
			if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
				return
			}
		}
	}()
	defer func() { close(stop); <-done }()
	time.Sleep(18 * time.Second)        // the detectors learn
	for _, a := range r.o.Anomalies() { // the machine may be busy
		t.Logf("before: %s of %s, %s is %v", a.Cause, a.Component, a.Signal, a.Now)
	}
	ms <- 20
	began := time.Now()
	slow := func(a *Anomaly) bool { return a.End == nil && a.Now > 0.015 }
	r.eventually("somebody is slow", func() bool {
		return slices.ContainsFunc(r.o.Anomalies(), func(a Anomaly) bool { return slow(&a) })
	})
	took := time.Since(began)
	r.eventually("the program is to blame", func() bool {
		for _, a := range r.o.Anomalies() {
			if a.Role == "server" && a.Cause == "server" && slow(&a) && len(a.Evidence) > 0 {
				return true
			}
		}
		return false
	})
	for _, a := range r.o.Anomalies() {
		t.Logf("%s: %s of %s, %.2f sure, %v: %q", a.Role, a.Cause, a.Component, a.Sure, a.Shares, a.Evidence)
	}
	t.Logf("found after %v", took)
}

// With l7 requests are told apart by what they are, and what they say is not kept.
func TestKernelKinds(t *testing.T) {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/nowhere" {
			http.NotFound(w, r)
		}
	}))
	defer web.Close()
	r := observe(t, func(c *Config) {
		c.L7, c.Records = "verbs", All
		c.Ports = []uint16{netip.MustParseAddrPort(web.Listener.Addr().String()).Port()}
	})
	const users = 30
	for i := range users {
		for _, path := range []string{fmt.Sprintf("/users/%d?token=secret", i), "/nowhere"} {
			answer, err := web.Client().Get(web.URL + path)
			if err != nil {
				t.Fatal(err)
			}
			_ = answer.Body.Close()
		}
	}
	web.CloseClientConnections()
	want := map[string]uint64{"server http GET /users/{id} 200": users, "client http GET /users/{id} 200": users, "server http GET other 404": users, "client http GET other 404": users}
	r.eventually("all requests by what they are", func() bool {
		got := map[string]uint64{}
		for _, k := range r.o.Kinds() {
			got[fmt.Sprint(k.Role, " ", k.Protocol, " ", k.Method, " ", k.Route, " ", k.Status)] += k.Requests
		}
		return maps.Equal(got, want)
	})
	for _, v := range r.o.Slow(Filter{}, 1000) {
		if b, err := json.Marshal(v); err != nil || strings.Contains(string(b), "secret") || v.Protocol != "http" || v.Method != http.MethodGet {
			t.Fatalf("%s, %v", b, err)
		}
	}
}

// Of TLS it is told which turns are the handshake's, and which are requests; a body
// that waited for 100 Continue is marked.
func TestKernelHandshakeAndContinue(t *testing.T) {
	answer := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	secret, plain := httptest.NewTLSServer(answer), httptest.NewServer(answer)
	defer secret.Close()
	defer plain.Close()
	port := func(s *httptest.Server) uint16 { return netip.MustParseAddrPort(s.Listener.Addr().String()).Port() }
	r := observe(t, func(c *Config) {
		c.L7, c.Records = "verbs", All
		c.Ports = []uint16{port(secret), port(plain)}
	})
	const turns = 10
	for range turns {
		answer, err := secret.Client().Get(secret.URL)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
	}
	tr := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(http.MethodPost, plain.URL+"/upload", strings.NewReader("body"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Expect", "100-continue")
	res, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	secret.CloseClientConnections()
	tr.CloseIdleConnections()
	for _, role := range []tcprt.Role{tcprt.Server, tcprt.Client} {
		var shakes, asked, waited int
		r.eventually("all turns", func() bool {
			shakes, asked, waited = 0, 0, 0
			for _, v := range r.o.Slow(Filter{Role: role}, 1000) {
				flags := tcprt.ParseFlags(v.Flags)
				switch {
				case flags&tcprt.Handshake != 0:
					shakes++
				case flags&tcprt.TLS != 0:
					asked++
				case flags&tcprt.Continued != 0 && v.Method == http.MethodPost && v.Route == "/upload":
					waited++
				}
			}
			return shakes+asked >= turns && waited == 1
		})
		// What ends the handshake may come with the first request, in one turn.
		if asked < turns-1 || asked > turns+1 || shakes < 1 || shakes > 2 {
			t.Errorf("%s: %d turns of the handshake, %d requests in TLS, want %d", role, shakes, asked, turns)
		}
	}
}

// A node that cannot have hints has all else, and says why not.
func TestKernelNoHints(t *testing.T) {
	testkit.NeedRoot(t)
	root := t.TempDir() // without a cgroup2 hierarchy
	if err := os.Symlink("/proc", filepath.Join(root, "proc")); err != nil {
		t.Fatal(err)
	}
	cfg := Default()
	cfg.L7, cfg.Ports = "verbs", []uint16{1}
	o, err := Open(Options{Config: cfg, Root: root})
	testkit.Need(t, err)
	defer o.Close()
	if s := o.Status(); s.Tier < tcprt.Lite || !strings.Contains(s.NoHints, "cgroup2") {
		t.Errorf("%+v", s)
	}
}
