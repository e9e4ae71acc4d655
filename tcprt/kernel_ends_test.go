package tcprt

import (
	"bytes"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/anole-os/anole/internal/testkit"
)

// eachTier runs a test with the segments alone, and with the reads of programs too.
func eachTier(t *testing.T, run func(t *testing.T, tier Tier)) {
	testkit.NeedRoot(t)
	for _, tier := range []Tier{Lite, Full} {
		t.Run(tier.String(), func(t *testing.T) { run(t, tier) })
	}
}

// control runs something on a connection's socket.
func control(t *testing.T, c syscall.Conn, do func(fd int) error) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if e := raw.Control(func(fd uintptr) { err = do(int(fd)) }); e != nil || err != nil {
		t.Fatal(e, err)
	}
}

// cork holds back what is sent until it is off, or the side's end.
func cork(t *testing.T, c *net.TCPConn) {
	t.Helper()
	control(t, c, func(fd int) error { return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_CORK, 1) })
}

func reset(c *net.TCPConn) {
	_ = c.SetLinger(0)
	_ = c.Close()
}

func send(t *testing.T, c net.Conn, n int) {
	t.Helper()
	if _, err := c.Write(make([]byte, n)); err != nil {
		t.Fatal(err)
	}
}

// scene is a server's side and a client's of one connection, in the hands of a test.
type scene struct {
	*kit
	port   netip.AddrPort
	server chan *net.TCPConn
}

func stage(t *testing.T, tier Tier) *scene {
	t.Helper()
	s := &scene{server: make(chan *net.TCPConn, 16)}
	s.port = listen(t, "127.0.0.1:0", func(c *net.TCPConn) { s.server <- c })
	s.kit = collect(t, Options{Ports: []uint16{s.port.Port()}, Tier: tier})
	return s
}

func (s *scene) connect() (client, server *net.TCPConn) {
	s.Helper()
	client = dial(s.T, s.port)
	server = <-s.server
	s.Cleanup(func() { _ = server.Close() })
	return client, server
}

// read takes all that is there and more to come, to n bytes.
func read(t *testing.T, c net.Conn, n int) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if got, err := io.CopyN(io.Discard, c, int64(n)); err != nil {
		t.Fatalf("%d bytes of %d: %v", got, n, err)
	}
}

const pause = 60 * time.Millisecond

// whole checks the one record of a role: complete, with its bytes, and as long as
// the test was, with what a busy machine adds.
func (s *scene) whole(role Role, request, answer int, least time.Duration) Record {
	s.Helper()
	r := s.of(role, 1)[0]
	if !r.Complete() || r.RequestBytes != uint32(request) || r.AnswerBytes != uint32(answer) {
		s.Errorf("%s: want %d bytes asked and %d answered, all: %+v", role, request, answer, r)
	}
	if got := r.Total(); got < least || got > least+400*time.Millisecond {
		s.Errorf("%s: took %v, want %v and a little more: %+v", role, got, least, r)
	}
	return r
}

// A client that ends its half first, as nc -N does, is answered all the same.
func TestKernelHalfClosedClient(t *testing.T) {
	for _, answer := range []int{1000, 3 << 20} {
		eachTier(t, func(t *testing.T, tier Tier) {
			s := stage(t, tier)
			client, server := s.connect()
			send(t, client, 4)
			_ = client.CloseWrite()
			read(t, server, 4)
			time.Sleep(pause)
			go func() {
				_, _ = server.Write(make([]byte, answer))
				_ = server.Close()
			}()
			read(t, client, answer)
			_ = client.Close()
			for _, role := range []Role{Server, Client} {
				if r := s.whole(role, 4, answer, pause); r.Flags&HalfClosed == 0 {
					t.Errorf("%s: not told that it was half closed: %+v", role, r)
				}
			}
		})
	}
}

// The last data and the FIN may come in one segment.
func TestKernelFINWithData(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		for _, who := range []string{"client", "server", "both"} {
			t.Run(who, func(t *testing.T) {
				s := stage(t, tier)
				client, server := s.connect()
				if who != "server" {
					cork(t, client)
				}
				send(t, client, 7)
				if who != "server" {
					_ = client.CloseWrite()
				}
				read(t, server, 7)
				time.Sleep(pause)
				if who != "client" {
					cork(t, server)
				}
				send(t, server, 11)
				_ = server.Close()
				if b, err := io.ReadAll(client); err != nil || len(b) != 11 {
					t.Error(len(b), err)
				}
				_ = client.Close()
				for _, role := range []Role{Server, Client} {
					if r := s.whole(role, 7, 11, pause); r.Flags&HalfClosed != 0 != (who != "server") {
						t.Errorf("%s: %+v", role, r)
					}
				}
			})
		}
	})
}

// A reset while the request comes in ends it, whoever sends it.
func TestKernelResetMidRequest(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		for _, who := range []string{"client", "server", "server, with data unread"} {
			t.Run(who, func(t *testing.T) {
				s := stage(t, tier)
				client, server := s.connect()
				send(t, client, 100)
				read(t, server, 50)
				time.Sleep(pause)
				switch who {
				case "client":
					reset(client)
				case "server":
					read(t, server, 50)
					reset(server)
				default:
					_ = server.Close()
				}
				for _, role := range []Role{Server, Client} {
					r := s.of(role, 1)[0]
					if r.Flags&(AbortedRequest|AbortedAnswer|Closed) != AbortedRequest|Closed || r.RequestBytes != 100 || r.AnswerBytes != 0 || r.T2 != 0 || r.T3 != 0 {
						t.Errorf("%s: %+v", role, r)
					}
				}
			})
		}
	})
}

// A reset while the answer goes out ends it.
func TestKernelResetMidReply(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		for _, who := range []string{"client", "server"} {
			t.Run(who, func(t *testing.T) {
				s := stage(t, tier)
				client, server := s.connect()
				_ = client.SetReadBuffer(4096)
				send(t, client, 100)
				read(t, server, 100)
				go func() { _, _ = server.Write(make([]byte, 8<<20)) }()
				read(t, client, 1000)
				time.Sleep(pause)
				if who == "client" {
					reset(client)
				} else {
					reset(server)
				}
				r := s.of(Server, 1)[0]
				if r.Flags&(AbortedRequest|AbortedAnswer|Closed) != AbortedAnswer|Closed || r.RequestBytes != 100 || r.AnswerBytes < 1000 || r.Unacked == 0 || r.T3 != 0 {
					t.Errorf("server: %+v", r)
				}
				r = s.of(Client, 1)[0]
				if r.Flags&(AbortedRequest|Closed) != Closed || r.RequestBytes != 100 || r.AnswerBytes < 1000 {
					t.Errorf("client: %+v", r)
				}
			})
		}
	})
}

// A server that ends the connection when it has answered, as HTTP/1.0's do.
func TestKernelServerCloses(t *testing.T) {
	for _, answer := range []int{10, 3 << 20} {
		eachTier(t, func(t *testing.T, tier Tier) {
			s := stage(t, tier)
			client, server := s.connect()
			send(t, client, 4)
			read(t, server, 4)
			time.Sleep(pause)
			go func() {
				_, _ = server.Write(make([]byte, answer))
				_ = server.Close()
			}()
			if n, err := io.Copy(io.Discard, client); err != nil || n != int64(answer) {
				t.Error(n, err)
			}
			_ = client.Close()
			for _, role := range []Role{Server, Client} {
				if r := s.whole(role, 4, answer, pause); r.Flags&(Closed|HalfClosed) != Closed {
					t.Errorf("%s: %+v", role, r)
				}
			}
		})
	}
}

// An answer in pieces, the first of which are acknowledged before the last goes out
// with the end.
func TestKernelServerClosesAfterPieces(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		s := stage(t, tier)
		client, server := s.connect()
		send(t, client, 4)
		read(t, server, 4)
		send(t, server, 10)
		read(t, client, 10)
		time.Sleep(pause) // until it is acknowledged
		if p := s.pending(); len(p) != 0 {
			t.Errorf("%+v", p)
		}
		send(t, server, 20)
		_ = server.Close()
		if b, err := io.ReadAll(client); err != nil || len(b) != 20 {
			t.Error(len(b), err)
		}
		_ = client.Close()
		for _, role := range []Role{Server, Client} {
			s.whole(role, 4, 30, pause)
		}
	})
}

// A request that the client gives up before it is answered, in good order.
func TestKernelGivenUp(t *testing.T) {
	eachTier(t, func(t *testing.T, tier Tier) {
		s := stage(t, tier)
		client, server := s.connect()
		send(t, client, 4)
		read(t, server, 4)
		time.Sleep(pause)
		_ = client.Close()
		if _, err := server.Read(make([]byte, 1)); err != io.EOF {
			t.Error(err)
		}
		_ = server.Close()
		for _, role := range []Role{Server, Client} {
			if r := s.of(role, 1)[0]; !r.Failed() || r.RequestBytes != 4 || r.AnswerBytes != 0 {
				t.Errorf("%s: %+v", role, r)
			}
		}
	})
}

// A server process that is killed leaves nothing open on either side.
func TestKernelProcessKilled(t *testing.T) {
	if os.Getenv("TCPRT_TEST_VICTIM") != "" {
		victim()
		return
	}
	eachTier(t, func(t *testing.T, tier Tier) {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestKernelProcessKilled$")
		cmd.Env = append(os.Environ(), "TCPRT_TEST_VICTIM=1")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		b := make([]byte, 64)
		n, err := out.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		port := netip.MustParseAddrPort(string(bytes.TrimSpace(b[:n])))
		k := collect(t, Options{Ports: []uint16{port.Port()}, Tier: tier})
		const clients = 20
		for range clients {
			c := dial(t, port)
			send(t, c, 5)
		}
		for end := time.Now().Add(20 * time.Second); len(k.pending()[Server]) < clients && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		}
		time.Sleep(pause)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		for _, role := range []Role{Server, Client} {
			for _, r := range k.of(role, clients) {
				if r.Flags&(AbortedRequest|Closed) != AbortedRequest|Closed || r.RequestBytes != 5 {
					t.Errorf("%s: %+v", role, r)
				}
				if tier == Full && role == Server && r.PID != uint32(cmd.Process.Pid) {
					t.Errorf("of process %d, want %d", r.PID, cmd.Process.Pid)
				}
			}
		}
		if p := k.pending(); len(p) != 0 {
			t.Errorf("still under way: %+v", p)
		}
	})
}

// victim reads, and never answers.
func victim() {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(l.Addr().String() + "\n")
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		go func() { _, _ = io.Copy(io.Discard, c) }()
	}
}
