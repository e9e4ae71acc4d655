package tcprt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/lab"
	"github.com/anole-os/anole/internal/sys"
	"github.com/anole-os/anole/internal/testkit"
)

// A side that does not read for a while, and then does: the answer of one that takes
// too much, the request of one that brings too much.
func TestKernelWindowShutAndOpened(t *testing.T) {
	const big, stall = 8 << 20, 700 * time.Millisecond // longer than it takes until the window is probed
	eachTier(t, func(t *testing.T, tier Tier) {
		for _, c := range []struct {
			what            string
			request, answer int
		}{{"answer", 10, big}, {"request", big, 10}} {
			t.Run(c.what, func(t *testing.T) {
				s := stage(t, tier)
				client, server := s.connect()
				go func() { _, _ = client.Write(make([]byte, c.request)) }()
				if c.request == big {
					time.Sleep(stall)
				}
				read(t, server, c.request)
				go func() { _, _ = server.Write(make([]byte, c.answer)) }()
				if c.answer == big {
					time.Sleep(stall)
				}
				read(t, client, c.answer)
				_ = client.Close()
				_ = server.Close()
				for _, role := range []Role{Server, Client} {
					r := s.whole(role, c.request, c.answer, stall-stall/10)
					if r.ZeroWindows == 0 || r.Flags&ZeroWindow == 0 {
						t.Errorf("%s: the window was shut %d times: %+v", role, r.ZeroWindows, r)
					}
					if sends := role == Server && c.answer == big || role == Client && c.request == big; sends && (r.WindowLimited < stall/2 || r.WindowLimited > r.Busy) {
						t.Errorf("%s: held up for %v of %v", role, r.WindowLimited, r.Busy)
					}
					if c.request == big && r.Phase(Upload) < stall/2 {
						t.Errorf("%s: the request came in for %v: %+v", role, r.Phase(Upload), r)
					}
				}
			})
		}
	})
}

// Probes of a connection that is kept alive are no requests.
func TestKernelKeepAlive(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		s := stage(t, tier)
		client, server := s.connect()
		for _, c := range []*net.TCPConn{client, server} {
			if err := c.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			send(t, client, 3)
			read(t, server, 3)
			send(t, server, 5)
			read(t, client, 5)
			before := info(t, client)
			time.Sleep(2500 * time.Millisecond)
			if after := info(t, client); after.Segs_in < before.Segs_in+2 || after.Segs_out < before.Segs_out+2 {
				t.Fatal("nothing was probed: this tests nothing")
			}
			if p := s.pending(); len(p) != 0 {
				t.Errorf("%+v", p)
			}
		}
		_ = client.Close()
		_ = server.Close()
		for _, role := range []Role{Server, Client} {
			for i, r := range s.of(role, 2) {
				if r.Flags&^(Piggyback|DelayedAck|NoDelay|Closed) != 0 || r.Number != uint32(i) || r.RequestBytes != 3 || r.AnswerBytes != 5 || r.Retransmits != 0 || r.Total() > time.Second {
					t.Errorf("%s: %+v", role, r)
				}
			}
		}
	})
}

func info(t *testing.T, c *net.TCPConn) (i *unix.TCPInfo) {
	t.Helper()
	control(t, c, func(fd int) (err error) {
		i, err = unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
		return err
	})
	return i
}

// What never came to be a connection is no request, but is counted.
func TestKernelRefused(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).AddrPort()
		_ = l.Close()
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		for range 5 {
			if c, err := net.Dial("tcp", port.String()); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Fatal(c, err)
			}
		}
		k.of(Client, 0)
		if got := k.services()[Client]; got.Unconnected != 5 || got.Closed != 5 || got.Opened != 5 || got.Requests != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// afar is a server at the other end of a link that can lose packets.
func afar(t *testing.T, port uint16, serve func(*net.TCPConn)) (*lab.Lab, *kit, func() net.Conn) {
	t.Helper()
	testkit.NeedRoot(t)
	l, err := lab.Open()
	testkit.Need(t, err)
	t.Cleanup(func() { _ = l.Close() })
	k := collect(t, Options{Ports: []uint16{port}})
	addr := netip.AddrPortFrom(netip.MustParseAddr(lab.WorldAddr), port).String()
	var server net.Listener
	if err := l.World.Do(func() (err error) { server, err = net.Listen("tcp", addr); return err }); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go accept(server, serve)
	connect := func() (c net.Conn) {
		if err := l.Node.Do(func() (err error) { c, err = net.Dial("tcp", addr); return err }); err != nil {
			t.Fatal(err)
		}
		return c
	}
	_ = connect().Close() // else the question for the neighbour is what is lost first
	return l, k, connect
}

// A request, or an answer, whose first segment comes after its second.
func TestKernelFirstSegmentLost(t *testing.T) {
	const first, second = 100, 50
	for _, role := range []Role{Server, Client} {
		t.Run("seen by the "+role.String(), func(t *testing.T) {
			done := make(chan net.Conn, 2)
			l, k, connect := afar(t, 7780, func(c *net.TCPConn) { done <- c })
			_ = (<-done).Close()
			client := connect()
			server := <-done
			from, to, space, name := client, server, l.Node, lab.Uplink
			if role == Client {
				send(t, client, 3)
				read(t, server, 3)
				from, to, space, name = server, client, l.World, lab.Remote
			}
			testkit.Need(t, space.Lose(name, 1))
			send(t, from, first)
			time.Sleep(time.Millisecond) // less than it takes to be sent again
			testkit.Need(t, space.Lose(name, 0))
			send(t, from, second)
			read(t, to, first+second)
			request, answer := 3, first+second
			if role == Server {
				send(t, server, 5)
				read(t, client, 5)
				request, answer = first+second, 5
			}
			_ = client.Close()
			_ = server.Close()
			for _, side := range []Role{Server, Client} {
				r := k.of(side, 1)[0]
				if !r.Complete() || r.RequestBytes != uint32(request) || r.AnswerBytes != uint32(answer) {
					t.Errorf("%s: %+v", side, r)
				}
				if side == role && (r.OutOfOrder != 1 || r.Flags&Reordered == 0) || side != role && r.Retransmits == 0 {
					t.Errorf("%s: %d out of order, %d sent again: %+v", side, r.OutOfOrder, r.Retransmits, r)
				}
			}
		})
	}
}

// A FIN that was lost leaves a gap before the acknowledgements after it, which are no
// requests.
func TestKernelFINLost(t *testing.T) {
	done := make(chan net.Conn, 2)
	l, k, connect := afar(t, 7781, func(c *net.TCPConn) { done <- c })
	_ = (<-done).Close()
	client := connect()
	server := <-done
	send(t, client, 3)
	read(t, server, 3)
	send(t, server, 5)
	read(t, client, 5)
	testkit.Need(t, l.Node.Lose(lab.Uplink, 1))
	if err := client.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Millisecond) // less than it takes to be sent again
	testkit.Need(t, l.Node.Lose(lab.Uplink, 0))
	send(t, server, 7) // whose acknowledgement is of after the FIN
	read(t, client, 7)
	if b, err := io.ReadAll(server); len(b) > 0 || err != nil {
		t.Fatal(b, err)
	}
	_ = server.Close()
	_ = client.Close()
	for _, role := range []Role{Server, Client} {
		r := k.of(role, 1)[0]
		if !r.Complete() || r.RequestBytes != 3 || r.AnswerBytes != 12 {
			t.Errorf("%s: %+v", role, r)
		}
	}
}

// A SYN that is sent again counts for the first request, and the times are those
// after the handshake.
func TestKernelSYNLost(t *testing.T) {
	l, k, connect := afar(t, 7778, echo)
	testkit.Need(t, l.Node.Lose(lab.Uplink, 1))
	time.AfterFunc(500*time.Millisecond, func() { _ = l.Node.Lose(lab.Uplink, 0) })
	c := connect()
	again := uint32(nstat(t, l.Node, "RetransSegs"))
	if again == 0 {
		t.Fatal("no SYN was sent again: this tests nothing")
	}
	for range 2 {
		ask(t, c, 10)
	}
	_ = c.Close()
	for i, r := range k.of(Client, 2) {
		if want := again * uint32(1-i); r.Retransmits != want || !r.Complete() || r.Total() > 300*time.Millisecond {
			t.Errorf("want %d sent again: %+v", want, r)
		}
	}
	k.of(Server, 2)
}

// A body that waits for 100 Continue is a turn of its own.
func TestKernelContinue(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).AddrPort()
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(pause)
			n, _ := io.Copy(io.Discard, r.Body)
			_, _ = fmt.Fprint(w, n)
		})}
		go func() { _ = srv.Serve(l) }()
		defer srv.Close()
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		tr := &http.Transport{ExpectContinueTimeout: 10 * time.Second}
		req, err := http.NewRequest(http.MethodPost, "http://"+port.String(), strings.NewReader(strings.Repeat("x", 50_000)))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Expect", "100-continue")
		answer, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(answer.Body); string(b) != "50000" || err != nil {
			t.Fatalf("%s, %v", b, err)
		}
		_ = answer.Body.Close()
		tr.CloseIdleConnections()
		for _, role := range []Role{Server, Client} {
			r := k.of(role, 2)
			if r[0].AnswerBytes != uint32(len("HTTP/1.1 100 Continue\r\n\r\n")) || r[0].Phase(Processing) < pause || r[1].RequestBytes != 50_000 || !r[1].Complete() {
				t.Errorf("%s: %+v", role, r)
			}
		}
	})
}

// One socket that tries again after a connection that never was counts each SYN once.
func TestKernelConnectAgain(t *testing.T) {
	l, k, connect := afar(t, 7782, echo)
	_ = connect().Close()
	testkit.Need(t, l.Node.Lose(lab.Uplink, 1))
	var fd int
	if err := l.Node.Do(func() (err error) { fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); return err }); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_SYNCNT, 1); err != nil {
		t.Fatal(err)
	}
	to := &unix.SockaddrInet4{Port: 7782, Addr: netip.MustParseAddr(lab.WorldAddr).As4()}
	if err := unix.Connect(fd, to); err != unix.ETIMEDOUT {
		t.Fatal(err)
	}
	again := nstat(t, l.Node, "RetransSegs")
	testkit.Need(t, l.Node.Lose(lab.Uplink, 0))
	if err := unix.Connect(fd, to); err != nil {
		t.Fatal(err)
	}
	if err := sys.Disconnect(fd); err != nil {
		t.Fatal(err)
	}
	to.Port++ // where nobody listens, and which does not count
	if err := unix.Connect(fd, to); err != unix.ECONNREFUSED {
		t.Fatal(err)
	}
	got := k.services()[Client]
	if again == 0 || got.Retransmits != again || got.Unconnected != 1 || got.Requests != 0 {
		t.Errorf("%d SYNs were sent again: %+v", again, got)
	}
}

// What is sent again after a request was told of, as its connection was silent, is
// counted too.
func TestKernelRetransmitsAfterSettle(t *testing.T) {
	done := make(chan net.Conn, 2)
	l, k, connect := afar(t, 7783, func(c *net.TCPConn) { done <- c })
	_ = (<-done).Close()
	client := connect()
	server := <-done
	send(t, client, 3)
	read(t, server, 3)
	send(t, server, 5)
	read(t, client, 5)
	time.Sleep(100 * time.Millisecond)
	told := 0
	if err := k.Settle(10*time.Millisecond, func(*Record) { told++ }); err != nil || told != 2 {
		t.Fatal(told, err)
	}
	testkit.Need(t, l.World.Lose(lab.Remote, 1))
	send(t, server, 7) // an event that nobody asked for
	time.Sleep(50 * time.Millisecond)
	testkit.Need(t, l.World.Lose(lab.Remote, 0))
	read(t, client, 7)
	again := nstat(t, l.World, "RetransSegs")
	_ = server.Close()
	_ = client.Close()
	for end := time.Now().Add(10 * time.Second); k.services()[Server].Closed < 2 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
	}
	if got := k.services()[Server]; again == 0 || got.Retransmits != again {
		t.Errorf("%d segments were sent again: %+v", again, got)
	}
}
