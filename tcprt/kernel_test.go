package tcprt

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anole-os/anole/internal/testkit"
)

// kit is a Collector for one server's port.
type kit struct {
	*testing.T
	*Collector
	seen []Record
}

func collect(t *testing.T, o Options) *kit {
	t.Helper()
	testkit.NeedRoot(t)
	c, err := Open(o)
	testkit.Need(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return &kit{T: t, Collector: c}
}

func (k *kit) drain() {
	k.Helper()
	if err := k.Drain(0, func(r *Record) { k.seen = append(k.seen, *r) }); err != nil {
		k.Fatal(err)
	}
}

// told are the records of a role until now.
func (k *kit) told(role Role) (out []Record) {
	k.Helper()
	k.drain()
	for _, r := range k.seen {
		if r.Role == role {
			out = append(out, r)
		}
	}
	return out
}

// of waits until there are n records of a role, and that there are no more.
func (k *kit) of(role Role, n int) (out []Record) {
	k.Helper()
	count := func() int {
		out = k.told(role)
		return len(out)
	}
	for end := time.Now().Add(20 * time.Second); count() < n && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	time.Sleep(50 * time.Millisecond)
	if got := count(); got != n {
		k.Fatalf("%d records of the %s, want %d", got, role, n)
	}
	if s, err := k.Stats(); err != nil || s.Dropped != 0 {
		k.Fatalf("%+v, %v", s, err)
	}
	return out
}

// asking waits for the records of requests of so many bytes each. Where the kernel left
// out a look at a segment, two of them are in one record: there are as many fewer at most.
func (k *kit) asking(role Role, sizes []int) (out []Record) {
	k.Helper()
	want, got := 0, 0
	for _, n := range sizes {
		want += n
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		out, got = k.told(role), 0
		for _, r := range out {
			got += int(r.RequestBytes)
		}
		if got >= want {
			break
		}
	}
	s, err := k.Stats()
	if short := len(sizes) - len(out); err != nil || s.Dropped != 0 || got != want || short < 0 || short > int(s.Missed) {
		k.Fatalf("%d records of the %s, of requests of %d bytes; want %d, of %d: %+v, %v", len(out), role, got, len(sizes), want, s, err)
	}
	return out
}

// listen is a server on a loopback address; serve has each connection.
func listen(t *testing.T, addr string, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go accept(l, serve)
	return l.Addr().(*net.TCPAddr).AddrPort()
}

// accept has each connection served until the listener is closed.
func accept(l net.Listener, serve func(*net.TCPConn)) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serve(c.(*net.TCPConn))
	}
}

func dial(t *testing.T, to netip.AddrPort) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", to.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

// counted counts the bytes of all connections that a listener accepts.
type counted struct {
	net.Listener
	in, out atomic.Int64
}

type countedConn struct {
	net.Conn
	l *counted
}

func (l *counted) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	return &countedConn{c, l}, err
}

func (c *countedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.l.in.Add(int64(n))
	return n, err
}

func (c *countedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.l.out.Add(int64(n))
	return n, err
}

// All requests of real clients are told, once, with all their bytes.
func TestKernelCountsAreExact(t *testing.T) {
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(addr, func(t *testing.T) {
			plain, err := net.Listen("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			l := &counted{Listener: plain}
			port := plain.Addr().(*net.TCPAddr).AddrPort()
			k := collect(t, Options{Ports: []uint16{port.Port()}})
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				n, _ := io.Copy(io.Discard, r.Body)
				fmt.Fprintf(w, "%d bytes, %s", n, bytes.Repeat([]byte("x"), int(n)%20_000))
			})}
			go func() { _ = s.Serve(l) }()
			defer s.Close()
			const clients, each = 8, 500
			var wg sync.WaitGroup
			for i := range clients {
				wg.Go(func() {
					client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
					defer client.CloseIdleConnections()
					for j := range each {
						r, err := client.Post("http://"+port.String(), "text/plain", bytes.NewReader(make([]byte, (i*each+j)*13%40_000)))
						if err != nil {
							t.Error(err)
							return
						}
						_, _ = io.Copy(io.Discard, r.Body)
						_ = r.Body.Close()
					}
				})
			}
			wg.Wait()
			for _, role := range []Role{Server, Client} {
				var in, out int64
				for _, r := range k.of(role, clients*each) {
					in, out = in+int64(r.RequestBytes), out+int64(r.AnswerBytes)
					if !r.Complete() || r.T0 == 0 || r.T1 < r.T0 || r.T2 < r.T1 || r.T3 < r.T2 || r.Total() <= 0 || r.Total() > time.Minute {
						t.Fatalf("%s: %+v", role, r)
					}
					at := r.Local
					if role == Client {
						at = r.Remote
					}
					if at != port {
						t.Fatalf("%s: %v, want %v", role, at, port)
					}
				}
				if in != l.in.Load() || out != l.out.Load() {
					t.Errorf("%s: %d and %d bytes, the server read %d and wrote %d", role, in, out, l.in.Load(), l.out.Load())
				}
			}
		})
	}
}

// between fails unless a duration is what it should be, give and take what a busy
// machine adds.
func between(t *testing.T, what string, d, least time.Duration) {
	t.Helper()
	if d < least || d > least+200*time.Millisecond {
		t.Errorf("%s took %v, want %v or a little more", what, d, least)
	}
}

// Each phase is where the time was spent.
func TestKernelPhases(t *testing.T) {
	const upload, think, stream = 60 * time.Millisecond, 80 * time.Millisecond, 100 * time.Millisecond
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for {
			if _, err := in.ReadString('\n'); err != nil {
				return
			}
			time.Sleep(think)
			_, _ = c.Write([]byte("begin"))
			time.Sleep(stream)
			_, _ = c.Write([]byte("end\n"))
		}
	})
	k := collect(t, Options{Ports: []uint16{port.Port()}})
	c := dial(t, port)
	in := bufio.NewReader(c)
	for range 3 {
		_, _ = c.Write([]byte("half of "))
		time.Sleep(upload)
		_, _ = c.Write([]byte("it\n"))
		if _, err := in.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		time.Sleep(70 * time.Millisecond) // the delayed acknowledgement goes
	}
	_ = c.Close()
	for i, r := range k.of(Server, 3) {
		between(t, "upload", r.Phase(Upload), upload)
		between(t, "processing", r.Phase(Processing), think)
		between(t, "send", r.Phase(Send), stream)
		between(t, "delivery", r.Phase(Delivery), 0)
		between(t, "queue", r.Phase(Queue), 0)
		if r.Read == 0 || r.PID != uint32(os.Getpid()) || r.Command.String() == "" {
			t.Errorf("nobody read it: %+v", r)
		}
		if r.RequestBytes != 11 || r.AnswerBytes != 9 || r.Number != uint32(i) {
			t.Errorf("%+v", r)
		}
	}
	for _, r := range k.of(Client, 3) {
		between(t, "processing", r.Phase(Upload)+r.Phase(Processing), upload+think)
		between(t, "delivery", r.Phase(Delivery), stream)
		if r.RequestBytes != 11 || r.AnswerBytes != 9 {
			t.Errorf("%+v", r)
		}
	}
}

// What a connection's end leaves unfinished is told as that.
func TestKernelAborts(t *testing.T) {
	answer := make(chan int)
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		_, _ = io.ReadFull(c, make([]byte, 4))
		if n, ok := <-answer; ok {
			_, _ = c.Write(make([]byte, n))
			<-answer
		}
	})
	k := collect(t, Options{Ports: []uint16{port.Port()}, Roles: []Role{Server}})
	ask := func() *net.TCPConn {
		c := dial(t, port)
		if _, err := c.Write([]byte("ask?")); err != nil {
			t.Fatal(err)
		}
		return c
	}
	// Before anything was answered.
	c := ask()
	time.Sleep(50 * time.Millisecond)
	reset(c)
	first := k.of(Server, 1)[0]
	if first.Flags&^NoDelay != AbortedRequest|Closed || first.RequestBytes != 4 || first.AnswerBytes != 0 || first.T2 != 0 {
		t.Errorf("reset while waiting: %+v", first)
	}
	answer <- 0
	answer <- 0
	// With more sent than the client takes.
	c = ask()
	_ = c.SetReadBuffer(4096)
	answer <- 8 << 20
	time.Sleep(300 * time.Millisecond)
	reset(c)
	second := k.of(Server, 2)[1]
	if second.Flags&^(Guessed|NoDelay|ZeroWindow) != AbortedAnswer|Closed || second.WindowLimited < 100*time.Millisecond || second.Busy < second.WindowLimited || second.Unacked == 0 || second.T3 != 0 || second.T2 == 0 {
		t.Errorf("reset while it is answered: %+v", second)
	}
	// All is well where the client is done with sending before it is answered.
	answer <- 0
	c = ask()
	_ = c.CloseWrite()
	time.Sleep(50 * time.Millisecond)
	answer <- 1000
	answer <- 0
	if n, err := io.Copy(io.Discard, c); n != 1000 || err != nil {
		t.Error(n, err)
	}
	_ = c.Close()
	third := k.of(Server, 3)[2]
	if !third.Complete() || third.Flags&HalfClosed == 0 || third.AnswerBytes != 1000 || third.RequestBytes != 4 || third.T3 == 0 {
		t.Errorf("half-closed: %+v", third)
	}
}

// A connection that was there before counts from its next request on.
func TestKernelConnectionsFromBefore(t *testing.T) {
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		_, _ = io.Copy(c, c)
	})
	c := dial(t, port)
	turn := func() {
		t.Helper()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
	}
	turn()
	k := collect(t, Options{Ports: []uint16{port.Port()}})
	for range 10 {
		turn()
	}
	_ = c.Close()
	for _, role := range []Role{Server, Client} {
		for _, r := range k.of(role, 10) {
			if r.Flags&Midway == 0 || r.RequestBytes != 5 || r.AnswerBytes != 5 {
				t.Errorf("%s: %+v", role, r)
			}
		}
	}
}

// The client's time to think is no part of a delivery whose acknowledgement rode
// on the next request.
func TestKernelThinkTimeIsTakenOut(t *testing.T) {
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		_, _ = io.Copy(c, c)
	})
	k := collect(t, Options{Ports: []uint16{port.Port()}, Roles: []Role{Server}})
	c := dial(t, port)
	const turns = 50
	for range turns {
		_, _ = c.Write([]byte("x"))
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	_ = c.Close()
	rode := 0
	for _, r := range k.of(Server, turns) {
		if r.Flags&Piggyback == 0 {
			continue
		}
		rode++
		if naive := r.T3 - r.T2; naive < 9*time.Millisecond || r.Phase(Delivery) > naive/2 {
			t.Errorf("%v of %v are left", r.Phase(Delivery), naive)
		}
	}
	if rode < turns/2 {
		t.Errorf("%d of %d acknowledgements came with the next request: this tests nothing", rode, turns)
	}
}

// pending lists what is under way, by role.
func (k *kit) pending() map[Role][]Pending {
	k.Helper()
	out := map[Role][]Pending{}
	if err := k.Pending(func(p *Pending) { out[p.Role] = append(out[p.Role], *p) }); err != nil {
		k.Fatal(err)
	}
	return out
}

// A request is seen while it waits, on both sides, with its age; an idle
// connection is not.
func TestKernelPending(t *testing.T) {
	release := make(chan int)
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) {
		defer c.Close()
		for {
			if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
				return
			}
			_, _ = c.Write(make([]byte, <-release))
		}
	})
	k := collect(t, Options{Ports: []uint16{port.Port()}})
	idle, busy := dial(t, port), dial(t, port)
	if p := k.pending(); len(p) != 0 {
		t.Errorf("nothing was asked: %+v", p)
	}
	for i, c := range []*net.TCPConn{idle, busy, busy} {
		began := time.Now()
		_, _ = c.Write(make([]byte, 10))
		time.Sleep(100 * time.Millisecond)
		p := k.pending()
		for _, role := range []Role{Server, Client} {
			if len(p[role]) != 1 {
				t.Fatalf("round %d, %s: %+v", i, role, p[role])
			}
			x := p[role][0]
			if x.Age() < 100*time.Millisecond || x.Age() > time.Since(began) || x.RequestBytes != 10 || x.AnswerBytes != 0 || x.T2 != 0 || x.Number != uint32(i/2) {
				t.Errorf("round %d, %s: %+v", i, role, x)
			}
		}
		release <- 5
		if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // until it is acknowledged
		if p := k.pending(); len(p) != 0 {
			t.Errorf("round %d: all is answered: %+v", i, p)
		}
	}
	// An answer that the client does not take.
	_ = idle.SetReadBuffer(4096)
	_, _ = idle.Write(make([]byte, 10))
	release <- 8 << 20
	time.Sleep(200 * time.Millisecond)
	if p := k.pending()[Server]; len(p) != 1 || p[0].AnswerBytes == 0 || p[0].T2 == 0 {
		t.Errorf("%+v", p)
	}
}

// Run gives what came until its context ended.
func TestKernelRun(t *testing.T) {
	port := listen(t, "127.0.0.1:0", func(c *net.TCPConn) { _, _ = io.Copy(c, c); _ = c.Close() })
	k := collect(t, Options{Ports: []uint16{port.Port()}, Roles: []Role{Client}})
	ctx, cancel := context.WithCancel(context.Background())
	done, n := make(chan error), 0
	go func() { done <- k.Collector.Run(ctx, func(*Record) { n++ }) }()
	c := dial(t, port)
	for range 100 {
		_, _ = c.Write([]byte("x"))
		_, _ = io.ReadFull(c, make([]byte, 1))
	}
	_ = c.Close()
	time.Sleep(200 * time.Millisecond)
	cancel()
	if err := <-done; err != nil || n != 100 {
		t.Errorf("%d records, %v", n, err)
	}
	if err := k.Close(); err != nil {
		t.Error(err)
	}
	if _, err := k.Stats(); err == nil {
		t.Error("a closed Collector has totals")
	}
}
